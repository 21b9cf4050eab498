/**
 * The order of the test files: those that take minutes begin at once, beside the short ones, so that none of them is left
 * alone at the end. Most of their time they wait: for an agent's periods, a server, an attacker's minute.
 */
import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

/**
 * Ends of paths, the longest first, but for one: the cases about the embedded agent keep both processors busy, and so come
 * when those that wait are under way. A file that is not named keeps vitest's own order behind them.
 */
const LONGEST = [
  'conformance/agent-waagent.test.ts',
  'src/authorized-keys-attack.test.ts',
  'docs/docs.test.ts',
  'check/dry-run.test.ts',
  'e2e/first-hour.test.ts',
  'reliability/secrets.test.ts',
  'reliability/crash.test.ts',
  'vm-access/login.test.ts',
  'vm-access/weak-points.test.ts',
  'conformance/packed-waagent.test.ts',
  'vm-access/authorized-keys.test.ts',
  'conformance/overlay-vm.test.ts',
  'systems/least-system.test.ts',
  'reliability/load.test.ts',
  'reliability/faults-disk.test.ts',
  'e2e/lifecycle.test.ts',
  'conformance/agent-embedded.test.ts',
  'conformance/sdk-lifecycle.test.ts',
  'waagent/waagent-vm.test.ts',
  'conformance/relocated-vm.test.ts',
  'e2e/ui.test.ts',
];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}

function rank({ moduleId }: TestSpecification): number {
  const at = LONGEST.findIndex((end) => moduleId.endsWith(end));
  return at === -1 ? LONGEST.length : at;
}
