import { defineConfig } from 'vitest/config';
import { TotalLine } from './test/total-line.ts';

// Without 'import': Node would apply it to require() too, and hand a dual package's ES module to CommonJS.
const conditions = ['@handlerkit/source', 'node', 'default'];
const source = { resolve: { conditions }, ssr: { resolve: { conditions } } };
const unit = (name: string, root: string) => ({
  ...source,
  test: { name, root, include: ['src/**/*.test.ts'], testTimeout: 30_000 },
});

export default defineConfig({
  test: {
    reporters: ['default', new TotalLine()],
    projects: [
      unit('sdk', 'sdk'),
      unit('custom-script', 'extensions/custom-script'),
      unit('tools', 'tools'),
      {
        ...source,
        test: { name: 'borders', root: 'test', include: ['borders/*.test.ts'], testTimeout: 60_000 },
      },
      {
        ...source,
        test: {
          name: 'black-box',
          root: 'test',
          include: ['conformance/**/*.test.ts', 'e2e/**/*.test.ts'],
          globalSetup: ['./packed-zip.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
