/** Enable that fails before it knows the handler's environment, below a launcher that has already answered the agent. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatStatus, parseStatus } from './contract/status.ts';
import { defineHandler } from './handler.ts';
import { createHost } from './host.ts';
import { runOperation } from './lifecycle.ts';

const DESCRIPTION = { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.0.0' };

let root: string;
let base: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-early-'));
  base = join(root, 'Contoso.Samples.Greeter-1.0.0');
  for (const folder of ['bin', 'config', 'status']) mkdirSync(join(base, folder), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const statusFile = (sequence: number): string => join(base, 'status', `${sequence}.status`);
const readStatus = (sequence: number) => parseStatus(readFileSync(statusFile(sequence), 'utf8'), 'status');
function writeStatus(sequence: number, status: 'transitioning' | 'success'): void {
  const text = {
    operation: 'Enable',
    message: 'before',
    code: 0,
    substatus: [],
    time: '2026-01-01T00:00:00Z',
  };
  writeFileSync(statusFile(sequence), formatStatus({ ...text, status }));
}
const enable = (env: Record<string, string> = {}): Promise<number> =>
  runOperation(defineHandler({ async enable() {} }), DESCRIPTION, ['enable'], {
    host: createHost(env),
    programPath: join(base, 'bin', 'handler-x64'),
    signal: new AbortController().signal,
    stderr: () => undefined,
  });

describe('without the agent’s variables', () => {
  beforeEach(() => {
    for (const [sequence, time] of [
      [9, 100],
      [3, 200],
    ] as const) {
      writeFileSync(join(base, 'config', `${sequence}.settings`), '');
      utimesSync(join(base, 'config', `${sequence}.settings`), time, time);
    }
  });

  it('the placeholder of the newest settings becomes the error', async () => {
    writeStatus(3, 'transitioning');
    expect(await enable()).toBe(53);
    expect(readStatus(3)).toMatchObject({
      status: 'error',
      code: -10,
      message: expect.stringContaining('HandlerEnvironment.json was found neither'),
    });
    expect(existsSync(statusFile(9))).toBe(false);
  });

  it('the number that the agent gives counts more', async () => {
    writeStatus(9, 'transitioning');
    expect(await enable({ ConfigSequenceNumber: '9' })).toBe(53);
    expect([readStatus(9).status, existsSync(statusFile(3))]).toEqual(['error', false]);
  });

  it('a finished status stays', async () => {
    writeStatus(3, 'success');
    await enable();
    expect(readStatus(3).message).toBe('before');
  });
});

it('without settings there is no number, and nothing is written', async () => {
  expect(await enable()).toBe(53);
  expect(existsSync(join(base, 'status'))).toBe(true);
  expect(existsSync(statusFile(0))).toBe(false);
});
