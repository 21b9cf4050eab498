import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/longest-first.ts';
import { TotalLine } from './test/total-line.ts';

// Without 'import': Node would apply it to require() too, and hand a dual package's ES module to CommonJS.
const conditions = ['@handlerkit/source', 'node', 'default'];
const source = { resolve: { conditions }, ssr: { resolve: { conditions } } };
/** Absolute, so that a package's own `npm test` finds its tests too. */
const folder = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/**
 * Tests beside their sources. A worker keeps its modules from one file to the next, for to start one and to read the
 * modules anew costs more than most of these files: what a test changes in the process, it takes back.
 */
const unit = (name: string, path: string) => ({
  ...source,
  test: { name, root: folder(path), include: ['src/**/*.test.ts'], testTimeout: 60_000, isolate: false },
});

/** Its tests make VMs, too. */
const tools = unit('tools', 'tools');

export default defineConfig({
  test: {
    reporters: ['default', new TotalLine()],
    sequence: { sequencer: LongestFirst },
    // More than processors: many tests wait, for agents, servers, children and timers.
    maxWorkers: 4,
    projects: [
      unit('sdk', 'sdk'),
      unit('custom-script', 'extensions/custom-script'),
      unit('vm-access', 'extensions/vm-access'),
      {
        ...tools,
        test: {
          ...tools.test,
          globalSetup: ['run-folder', 'bundled-tool'].map((name) => folder(`test/${name}.ts`)),
        },
      },
      {
        ...source,
        test: { name: 'borders', root: folder('test'), include: ['borders/*.test.ts'], testTimeout: 60_000 },
      },
      {
        ...source,
        test: {
          name: 'black-box',
          root: folder('test'),
          include: ['{conformance,docs,e2e,reliability,systems,vm-access}/**/*.test.ts'],
          globalSetup: ['./run-folder.ts', './bundled-tool.ts', './packed-zip.ts'],
          // Groups of cases about an agent, side by side in one file: each has a VM, and waits for its agent.
          maxConcurrency: 12,
          // Far from what a test takes: only a test that hangs should meet them, also on a busy machine.
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
