import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { SHOWN_BYTES } from './run.ts';

const PROGRAM = fileURLToPath(new URL('./fixtures/run-program.ts', import.meta.url));
/** More than a read of the tail needs, and far less than the output has. */
const LIMIT_KIB = 16 * 1024;

it.each([
  ['one line of 64 MiB without end', 'head -c 67108864 /dev/zero | tr "\\000" x'],
  ['64 MiB of short lines on both streams', 'yes line | head -c 67108864 | tee /dev/stderr'],
])('%s do not grow the memory', async (_, command) => {
  const args = ['--conditions=@handlerkit/source', '--import', 'tsx', PROGRAM, command];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { before, after, shown } = JSON.parse(stdout);
  expect(after - before).toBeLessThan(LIMIT_KIB);
  expect(shown).toBeGreaterThan(SHOWN_BYTES);
  expect(shown).toBeLessThan(3 * SHOWN_BYTES);
});
