/**
 * A detached enable: the agent has its answer in milliseconds, and the work goes on whatever becomes of the agent's
 * command; its time limit; a run that was interrupted and runs again. A packed handler in real processes.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

describe('a detached enable of a packed handler', () => {
  let unpacked: UnpackedPackage;
  let handler: LaidOutHandler;
  beforeAll(() => {
    unpacked = unpackPackage(inject('detachedProbeZip'));
  });
  afterAll(() => unpacked.remove());
  beforeEach(() => {
    handler = layOutHandler(unpacked);
  });
  afterEach(() => handler.remove());

  const gate = (): string => join(handler.libFolder, 'go');
  const waiting = (): { public: Record<string, unknown> } => ({
    public: {
      steps: [
        { do: 'wait-for-file', path: gate() },
        { do: 'end', message: 'went on' },
      ],
    },
  });
  const finalStatus = (sequence = 0) =>
    until('the final status', () => {
      const status = handler.readStatus(sequence);
      return status?.status === 'transitioning' ? undefined : status;
    });
  const running = () => until('the run', () => handler.trace().at(-1));

  it('answers the agent within milliseconds and leaves a status that says that it is in progress', async () => {
    handler.writeSettings(0, waiting());
    const answers: number[] = [];
    for (let n = 0; n < 9; n++) answers.push((await handler.run('enable')).durationMs);
    const nothing: number[] = [];
    for (let n = 0; n < 9; n++) {
      const started = performance.now();
      execFileSync('/bin/true');
      nothing.push(performance.now() - started);
    }
    const median = (times: number[]): number => times.sort((a, b) => a - b)[4] ?? Number.NaN;
    expect(median(answers)).toBeLessThan(Math.max(100, 20 * median(nothing)));
    expect(handler.readStatus(0)).toMatchObject({ status: 'transitioning', message: 'Enable in progress' });
    writeFileSync(gate(), '');
    expect((await finalStatus()).message).toBe('Enable succeeded: went on');
    expect(handler.trace()).toHaveLength(1);
  });

  it("goes on when the agent kills the command's process group", async () => {
    handler.writeSettings(0, waiting());
    const operation = handler.start('enable');
    const { pid } = await running();
    try {
      operation.signalGroup('SIGKILL');
    } catch {
      // The group has nobody left: the launcher has answered, and the worker is in a session of its own.
    }
    expect(sessionOf(pid)).toBe(pid);
    writeFileSync(gate(), '');
    expect((await finalStatus()).message).toBe('Enable succeeded: went on');
  });

  it('holds neither the streams nor the terminal of the agent', async () => {
    handler.writeSettings(0, waiting());
    await handler.run('enable');
    const { pid } = await running();
    const streams = execFileSync(
      'readlink',
      [0, 1, 2].map((n) => `/proc/${pid}/fd/${n}`),
    ).toString();
    expect(streams).toBe('/dev/null\n/dev/null\n/dev/null\n');
    writeFileSync(gate(), '');
    await finalStatus();
  });

  it('never lets the placeholder replace a final status, and writes a lost one again', async () => {
    handler.writeSettings(0, { public: { steps: [{ do: 'end', message: 'done' }] } });
    await handler.run('enable');
    const status = await finalStatus();
    const before = statSync(handler.statusFile(0));
    await handler.run('enable');
    await until('the second worker to end', () => handler.processes().length === 0);
    expect(statSync(handler.statusFile(0)).ino).toBe(before.ino);
    rmSync(handler.statusFile(0));
    await handler.run('enable');
    expect(await finalStatus()).toEqual(status);
    expect(handler.trace()).toHaveLength(1);
  });

  it('ends at its time limit: SIGTERM, then SIGKILL to all that the command left, and an error with the output so far', async () => {
    const file = (name: string): string => join(handler.libFolder, name);
    // Neither the shell nor what it has started in the background heeds SIGTERM.
    const script = `trap 'echo heard >>${file('heard')}' TERM; (trap '' TERM; echo $$ >${file('pid')}; while :; do sleep 0.1; done) & echo 'half done'; while :; do sleep 0.1; done`;
    handler.writeSettings(0, {
      public: { steps: [{ do: 'exec', argv: ['/bin/sh', '-c', script], graceMs: 300 }] },
    });
    await handler.run('enable');
    const status = await finalStatus();
    expect(status).toMatchObject({ status: 'error', code: 4 });
    expect(status.message).toMatch(
      /^Enable failed: the time limit of 6 seconds was reached\n\[stdout\]\nhalf done\n/,
    );
    expect(status.substatus).toEqual([
      { name: 'ErrorClarification', status: 'error', code: 4, message: 'TIMED_OUT' },
    ]);
    expect(existsSync(file('heard'))).toBe(true);
    await until('the end of all processes', () => handler.processes().length === 0);
  });

  it('runs again when it was killed, where the extension asks for that', async () => {
    handler.writeSettings(0, waiting());
    await handler.run('enable');
    const { pid } = await running();
    process.kill(pid, 'SIGKILL');
    await until('the end of the worker', () => handler.processes().length === 0);
    await handler.run('enable');
    await until('the second run', () => handler.trace().length === 2);
    writeFileSync(gate(), '');
    expect((await finalStatus()).message).toBe('Enable succeeded: went on');
    await handler.run('enable');
    await until('the third worker to end', () => handler.processes().length === 0);
    expect(handler.trace()).toHaveLength(2);
  });

  it('is ended by a newer sequence, which then runs', async () => {
    handler.writeSettings(0, waiting());
    await handler.run('enable');
    await running();
    handler.writeSettings(1, { public: { steps: [{ do: 'end', message: 'second' }] } });
    await handler.run('enable', { sequence: 1 });
    expect((await finalStatus(1)).message).toBe('Enable succeeded: second');
    expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: 5 });
  });

  it('is carried on by an update in the middle: the result lands in the new version, and nothing runs twice', async () => {
    handler.writeSettings(0, waiting());
    await handler.run('enable');
    const { pid } = await running();
    handler.addVersion('1.1.0');
    await handler.run('disable');
    const update = await handler.run('update', {
      version: '1.1.0',
      variables: { updatingFromVersion: '1.0.0', targetVersion: '1.1.0', disableExitCode: '0' },
    });
    expect(update).toMatchObject({ exitCode: 0, stderr: '' });
    await handler.run('uninstall');
    rmSync(handler.folder(), { recursive: true });
    handler.writeSettings(0, waiting(), { version: '1.1.0' });
    await handler.run('enable', { version: '1.1.0' });
    expect(handler.readStatus(0, { version: '1.1.0' })?.status).toBe('transitioning');
    writeFileSync(gate(), '');
    await until(
      'the result in the new version',
      () => handler.readStatus(0, { version: '1.1.0' })?.status === 'success',
    );
    expect(handler.trace().filter(({ operation }) => operation === 'enable')).toMatchObject([{ pid }]);
  });

  it('is ended by uninstall, which waits for that and leaves no process and no data', async () => {
    handler.writeSettings(0, {
      public: { steps: [{ do: 'exec', argv: ['/bin/sh', '-c', 'sleep 600'] }] },
    });
    await handler.run('enable');
    await until('the command', () => handler.processes().some((pid) => readCommand(pid).includes('600')));
    expect((await handler.run('uninstall')).exitCode).toBe(0);
    expect(handler.processes()).toEqual([]);
    expect(existsSync(handler.dataFolder)).toBe(false);
    expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: 3 });
    expect(handler.readStatus(0)?.message).toContain('the extension was uninstalled');
    // Twice is no failure.
    expect((await handler.run('uninstall')).exitCode).toBe(0);
  });
});

function sessionOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
}

function readCommand(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
