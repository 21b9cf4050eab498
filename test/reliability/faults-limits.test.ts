/** The limits that a system sets a process, under a packed handler: length of files, open files, memory. What does not fit ends clearly. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isFinal } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, it } from 'vitest';
import type { EndedOperation, LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import { unfinishedFiles } from './small-disk.ts';

let unpacked: UnpackedPackage;
let handler: LaidOutHandler;
beforeAll(() => {
  unpacked = unpackPackage(inject('probeZip'));
});
afterAll(() => unpacked.remove());
beforeEach(() => {
  handler = layOutHandler(unpacked);
});
afterEach(() => handler.remove());

const marks = (): string => join(handler.libFolder, '..', 'marks');
const countMarks = (sequence: number): number =>
  (existsSync(marks()) ? readFileSync(marks(), 'utf8') : '')
    .split('\n')
    .filter((line) => line === `${sequence}`).length;

/** One enable under a limit, and another without; gives the first. */
const enableUnder = async (sequence: number, limit: string): Promise<EndedOperation> => {
  const command = `echo ${sequence} >>${marks()}; echo hello`;
  handler.writeSettings(sequence, { public: { steps: [{ do: 'exec', argv: ['/bin/sh', '-c', command] }] } });
  const ended = await handler.run('enable', { sequence, wrapper: ['prlimit', limit] });
  const status = handler.readStatus(sequence);
  if (ended.exitCode === 0) expect([limit, status?.status]).toEqual([limit, 'success']);
  else expect([limit, status?.status]).not.toEqual([limit, 'success']);
  await handler.run('enable', { sequence });
  const after = handler.readStatus(sequence);
  expect(isFinal(after?.status ?? 'transitioning'), limit).toBe(true);
  expect(countMarks(sequence), limit).toBe(after?.status === 'success' ? 1 : 0);
  expect(unfinishedFiles(handler.libFolder)).toEqual([]);
  return ended;
};

it('A9: files that may not grow beyond a limit leave none half written, and the text names file and cause', async () => {
  const told: string[] = [];
  for (const [sequence, bytes] of [0, 1, 100, 300, 500, 1000, 8192].entries()) {
    const { exitCode, stderr } = await enableUnder(sequence, `--fsize=${bytes}`);
    if (bytes === 8192) expect(exitCode).toBe(0);
    else expect(exitCode).not.toBe(0);
    // Its own stderr is a file as well, as an agent gives it. What the probe writes by itself, it tells by itself.
    if (bytes > 300 && stderr.includes('STATE_UNUSABLE')) told.push(stderr);
  }
  expect(told.length).toBeGreaterThan(0);
  for (const text of told) {
    expect(text).toMatch(/EFBIG/);
    expect(text).toContain(handler.libFolder);
  }
});

it('A10: as few open files as a shell can live with are enough, and fewer run nothing', async () => {
  for (const [sequence, files] of [3, 5, 8, 12, 16, 32].entries()) {
    const { exitCode } = await enableUnder(sequence, `--nofile=${files}`);
    if (files >= 12) expect([files, exitCode]).toEqual([files, 0]);
  }
});

it('A10: less memory than the program needs runs nothing, and the next enable does', async () => {
  const codes: (number | null)[] = [];
  for (const [sequence, mib] of [50, 150, 200, 250, 400].entries()) {
    codes.push((await enableUnder(sequence, `--as=${mib * 2 ** 20}`)).exitCode);
  }
  expect(codes[0]).not.toBe(0);
  expect(codes.at(-1)).toBe(0);
});

it('A10: a machine that starts no further process is told as that', async () => {
  handler.writeSettings(0, { public: { steps: [{ do: 'exec', argv: ['/bin/true'] }] } });
  // The program's own call; the shells before it start none this way.
  const wrapper = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=pidfd_open'];
  const failing = [...wrapper, '-e', 'inject=pidfd_open:error=EAGAIN'];
  const { exitCode, stderr } = await handler.run('enable', { wrapper: failing });
  expect([exitCode, stderr]).toEqual([
    1,
    'Enable failed: COMMAND_NOT_STARTED: /bin/true cannot be started: EAGAIN\n',
  ]);
  expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: 1 });
});
