import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HandlerError } from '@handlerkit/sdk';
import { ERROR_CLARIFICATION, LIB_FOLDER } from '@handlerkit/sdk/contract';
import type { TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';
import { TIMEOUT_LIMIT_SECONDS } from './settings.ts';

let machine: TestMachine;
beforeEach(() => {
  machine = createTestMachine({ extension });
});
afterEach(() => machine.remove());

const inRun = (name: string): string => machine.path(join(LIB_FOLDER, 'custom-script/download/0', name));
const text = (name: string): string => (existsSync(inRun(name)) ? readFileSync(inRun(name), 'utf8') : '');
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await delay(5);
}
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('timeoutInSeconds', () => {
  it('at most what the run has in all', () => {
    expect(TIMEOUT_LIMIT_SECONDS).toBe(extension.enable.timeoutMinutes * 60);
  });

  it.each([
    [0, 'Must be greater than or equal to 1'],
    [-5, 'Must be greater than or equal to 1'],
    [5401, 'Must be less than or equal to 5400'],
    [1.5, 'Invalid type. Expected: integer, given: number'],
    ['60', 'Invalid type. Expected: integer, given: string'],
    [null, 'Invalid type. Expected: integer, given: null'],
  ])('%j is refused', async (timeoutInSeconds, problem) => {
    const { status } = await machine.enable(handler, {
      public: { commandToExecute: 'true', timeoutInSeconds },
    });
    expect(status?.message).toContain(`timeoutInSeconds: ${problem}`);
    expect(status?.code).toBe(-21);
  });

  it('ends the command and what it started, and the status says so with the output so far', async () => {
    const running = machine.enable(handler, {
      public: { commandToExecute: 'sleep 60 & echo $!; wait', timeoutInSeconds: 120 },
    });
    await until(() => text('stdout').endsWith('\n'));
    await machine.advance(119_999);
    expect(machine.readStatus(0)?.status).toBe('transitioning');
    await machine.advance(1);
    const { status, exitCode } = await running;
    const pid = text('stdout');
    expect(exitCode).toBe(1);
    expect(status).toMatchObject({
      status: 'error',
      code: 4,
      message: `Enable failed: failed to execute command: it did not end within 120 seconds ('timeoutInSeconds') and was ended\n[stdout]\n${pid}\n[stderr]\n`,
    });
    await until(() => !isAlive(Number(pid)));
  });

  it('kills a command that ignores SIGTERM', async () => {
    const running = machine.enable(handler, {
      public: {
        commandToExecute: 'trap "echo asked" TERM; echo $$; while :; do sleep 1; done',
        timeoutInSeconds: 1,
      },
    });
    await until(() => text('stdout').endsWith('\n'));
    await machine.advance(1_000);
    const { status } = await running;
    expect(status?.message).toMatch(/within 1 second \('timeoutInSeconds'\).*\[stdout\]\n\d+\nasked\n/s);
    expect(isAlive(Number.parseInt(text('stdout'), 10))).toBe(false);
  });

  it('does not touch a command that ends in time', async () => {
    const { status } = await machine.enable(handler, {
      public: { commandToExecute: 'echo done', timeoutInSeconds: 5400 },
    });
    expect(status?.status).toBe('success');
    await machine.advance(5_400_000);
    expect(machine.readStatus(0)?.status).toBe('success');
  });

  it('without it the run ends after 90 minutes, with the output so far', async () => {
    const running = machine.enable(handler, { public: { commandToExecute: 'echo begun; sleep 60' } });
    await until(() => text('stdout') !== '');
    await machine.advance(90 * 60_000);
    expect((await running).status).toMatchObject({
      code: 4,
      message: 'Enable failed: the time limit of 90 minutes was reached\n[stdout]\nbegun\n\n[stderr]\n',
    });
  });
});

it('the exit code is in the status, and the clarification code in its substatus', async () => {
  const { status, exitCode } = await machine.enable(handler, { public: { commandToExecute: 'exit 42' } });
  expect(exitCode).toBe(1);
  expect(status).toMatchObject({
    status: 'error',
    code: 42,
    substatus: [{ name: ERROR_CLARIFICATION, status: 'error', code: 2, message: 'COMMAND_FAILED' }],
  });
  const signalled = await machine.enable(
    handler,
    { public: { commandToExecute: 'kill -9 $$' } },
    { sequence: 1 },
  );
  expect(signalled.status).toMatchObject({
    code: 2,
    message: expect.stringContaining('exit status=-1 (ended by SIG'),
  });
});

it('a command that makes itself a daemon holds up nobody, and goes on', async () => {
  const command = "setsid sh -c 'echo $$ >pid; exec sleep 60' & while [ ! -s pid ]; do sleep 0.01; done";
  const { status } = await machine.enable(handler, { public: { commandToExecute: command } });
  expect(status?.status).toBe('success');
  const daemon = Number(text('pid'));
  expect(isAlive(daemon)).toBe(true);
  process.kill(daemon, 'SIGKILL');
});

it('a restart in the script ends as an error that says so after the boot, and the script does not run again', async () => {
  const stop = new AbortController();
  const settings = { public: { commandToExecute: 'echo run >>../../log; sleep 60' } };
  const before = machine.enable(handler, settings, { signal: stop.signal });
  const log = machine.path(`${LIB_FOLDER}/custom-script/log`);
  await until(() => existsSync(log) && statSync(log).size > 0);
  // The machine starts anew: what ran is gone, and the boot has another id.
  writeFileSync(machine.path('/proc/sys/kernel/random/boot_id'), '99999999-2222-4333-8444-555555555555\n');
  const { status } = await machine.run(handler, 'enable');
  expect(status).toMatchObject({ status: 'error', code: 3 });
  expect(status?.message).toContain('the machine was restarted');
  expect(readFileSync(log, 'utf8')).toBe('run\n');
  stop.abort(new HandlerError('INTERRUPTED', 'ended by the test'));
  await before;
});
