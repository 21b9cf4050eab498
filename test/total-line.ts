/**
 * Vitest reporter that prints the one line which tells how a whole run went: `N passed, N failed, N skipped`, after the
 * reason of each skipped test. A test file that could not be loaded counts as failed. Under `test/run.sh`, which names a
 * file for it, the line goes there: the script prints it last, after whatever vitest still has to say.
 */
import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

export class TotalLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const totals = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const skipped: string[] = [];
    for (const module of modules) {
      const tests = [...module.children.allTests()];
      if (tests.length === 0 || module.errors().length > 0) totals.failed += 1;
      for (const test of tests) {
        const { state } = test.result();
        if (state === 'passed') totals.passed += 1;
        else if (state === 'failed') totals.failed += 1;
        else {
          totals.skipped += 1;
          skipped.push(describeSkip(test));
        }
      }
    }
    for (const line of skipped) process.stdout.write(`${line}\n`);
    const line = `${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`;
    const file = process.env.HANDLERKIT_TOTAL_FILE;
    if (file === undefined) process.stdout.write(line);
    else writeFileSync(file, line);
  }
}

function describeSkip(test: TestCase): string {
  const result = test.result();
  const note = result.state === 'skipped' ? result.note : undefined;
  return `skipped: ${test.fullName}${note === undefined ? '' : ` (${note})`}`;
}
