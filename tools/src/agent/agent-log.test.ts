import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cutHead, openHandlerLog } from './agent-log.ts';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm, HANDLER } from './fixtures/test-vm.ts';
import { handlerInstance } from './handler-instance.ts';

let vm: TestVm;
beforeEach(async () => {
  vm = await createTestVm();
});
afterEach(() => vm.dispose());

describe("the agent's log", () => {
  const open = () =>
    openHandlerLog(handlerInstance(vm.machine, HANDLER, '1.0.0'), {
      now: vm.now,
      onEvent: (event) => vm.events.push(event),
    });
  const read = () => readFile(join(vm.machine.logFolder, HANDLER, 'CommandExecution.log'), 'utf8');

  it('has one line per entry with time, level and handler, in ASCII', async () => {
    const log = await open();
    await log.info('plain é € 😀');
    await log.warn('careful');
    const prefix = '2026-01-02T03:04:05.000000Z';
    expect(await read()).toBe(
      `${prefix} INFO ExtHandler [${HANDLER}-1.0.0] plain \\xe9 \\u20ac \\U0001f600\n` +
        `${prefix} WARNING ExtHandler [${HANDLER}-1.0.0] careful\n`,
    );
    expect(await readFile(join(vm.folder, 'log', 'waagent.log'), 'utf8')).toBe(await read());
  });

  it('hides the query of a shared access signature, in the file and in notes', async () => {
    const log = await open();
    await log.error('https://x.blob.core.windows.net/a?sv=1&sig=secret failed');
    expect(await read()).not.toContain('secret');
    expect(vm.events).toEqual([
      {
        kind: 'note',
        handlerName: HANDLER,
        text: 'https://x.blob.core.windows.net/a?<redacted> failed',
      },
    ]);
  });

  it('loses its head when it is too long, up to the beginning of a line', async () => {
    const file = join(vm.folder, 'long.log');
    await writeFile(file, 'line 1\nline 2\nline 3\n');
    await cutHead(file, 21);
    expect(await readFile(file, 'utf8')).toBe('line 1\nline 2\nline 3\n');
    await cutHead(file, 10);
    expect(await readFile(file, 'utf8')).toBe('line 3\n');
    await cutHead(join(vm.folder, 'none.log'), 10);
  });
});
