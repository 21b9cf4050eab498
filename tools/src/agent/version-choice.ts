/**
 * Which of the versions that can be had the agent takes. Pure.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` decide_version, `common/utils/flexible_version.py` matches;
 * agent-contract 13.1.
 */
import { compareVersions } from '@handlerkit/sdk/contract';
import type { GoalStateExtension, GoalStatePackage } from './goal-state.ts';

/**
 * The newest version whose leading numbers are those of `requested`: `1.0` takes 1.0.7, `1.0.0` takes 1.0.0.3 but not
 * 1.0.1. `undefined` when there is none. Neither pinning nor the newest of all plays a role: that is the platform's choice.
 */
export function decideVersion(requested: string, available: readonly string[]): string | undefined {
  return available.toSorted(compareVersions).findLast((version) => matches(requested, version));
}

/** The package that is to be installed for an entry of the goal state; `undefined` when its version cannot be had. */
export function choosePackage(extension: GoalStateExtension): GoalStatePackage | undefined {
  const { version, packageFile, packages = [{ version, packageFile }] } = extension;
  const chosen = decideVersion(
    version,
    packages.map((one) => one.version),
  );
  return packages.find((one) => one.version === chosen);
}

function matches(requested: string, version: string): boolean {
  const [wanted, found] = [parts(requested), parts(version)];
  return wanted.length <= found.length && wanted.every((part, index) => part === found[index]);
}

/** `01` is 1; a pre-release is a part of its own. */
function parts(version: string): readonly string[] {
  return version
    .split(/[.-]|(?<=\d)(?=[a-z])/)
    .map((part) => (/^\d+$/.test(part) ? String(BigInt(part)) : part));
}
