/** Commands that will not end, that leave something behind, or that destroy what they stand on, under packed handlers. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import { findProcesses } from './process-tree.ts';

let probe: UnpackedPackage;
let customScript: UnpackedPackage;
let handler: LaidOutHandler;
beforeAll(() => {
  probe = unpackPackage(inject('probeZip'));
  customScript = unpackPackage(inject('customScriptZip'));
});
afterAll(() => {
  probe.remove();
  customScript.remove();
});
afterEach(() => handler.remove());

/** Applies a command to Custom Script, and waits for its result. */
const runScript = async (commandToExecute: string, more: Readonly<Record<string, unknown>> = {}) => {
  handler = layOutHandler(customScript);
  handler.writeSettings(0, { public: { commandToExecute, ...more } });
  const started = performance.now();
  expect((await handler.run('enable')).exitCode).toBe(0);
  const status = await until('the result', () => {
    const now = handler.readStatus(0);
    return now?.status === 'transitioning' ? undefined : now;
  });
  return { status, durationMs: performance.now() - started };
};
/** Runs a command in the probe, which is ended by the SDK's limit. */
const runProbe = (command: string, limits: Readonly<Record<string, number>>) => {
  handler = layOutHandler(probe);
  return handler.enable(0, {
    public: { steps: [{ do: 'exec', argv: ['/bin/sh', '-c', command], ...limits }] },
  });
};
const nobodyIsLeft = (): Promise<true> =>
  until('the end of all processes', () => findProcesses(join(handler.libFolder, '..')).length === 0);
const FOREVER = 'while :; do sleep 0.1; done';

describe('a command that leaves something behind', () => {
  it.each([
    ['in the background', 'sleep 60 & echo done'],
    ['in a session of its own', "setsid sh -c 'sleep 60' & echo done"],
    ['by two forks', "(setsid sh -c 'sleep 60' &) ; echo done"],
    ['that keeps on printing', `(while echo more; do sleep 0.01; done) & echo done`],
  ])('A16: %s, with its streams open, ends at once with its result', async (_, command) => {
    const { status, durationMs } = await runScript(command);
    expect(status).toMatchObject({ status: 'success' });
    expect(status.message).toContain('done\n');
    expect(durationMs).toBeLessThan(20_000);
    // It was asked to live on.
    expect(handler.processes().length).toBeGreaterThan(0);
  });
});

describe('a command that will not end', () => {
  const limits = { timeoutMs: 400, graceMs: 300 };

  it.each([
    ['ignores SIGTERM', `trap '' TERM; echo part; ${FOREVER}`],
    ['is stopped', 'echo part; kill -STOP $$'],
    ['has a stopped child', `echo part; sh -c 'kill -STOP $$' & ${FOREVER}`],
    [
      'has children that ignore SIGTERM',
      `echo part; for n in 1 2 3; do (trap '' TERM; ${FOREVER}) & done; wait`,
    ],
    [
      'leaves zombies',
      'echo part; python3 -c "import os, time\nif os.fork() == 0: os._exit(0)\ntime.sleep(60)"',
    ],
    [
      'forks again and again',
      `echo part; f() { (f &) ; sleep 0.02; }; trap '' TERM; while :; do (sleep 5 &); sleep 0.05; done`,
    ],
  ])(
    'A17: and %s is gone with all of its group within the grace, and its output is kept',
    async (_, command) => {
      const { status, durationMs } = await runProbe(command, limits);
      expect(status).toMatchObject({ status: 'error' });
      expect(status.message).toContain('[stdout]\npart\n');
      expect(durationMs).toBeLessThan(20_000);
      await nobodyIsLeft();
    },
  );

  it('A17: and has a child in a session of its own ends all the same; that child goes on, as a daemon does', async () => {
    const { status } = await runProbe(`setsid sh -c '${FOREVER}' & echo part; ${FOREVER}`, limits);
    expect(status).toMatchObject({ status: 'error' });
    expect(status.message).toContain('part\n');
    expect(handler.processes().length).toBeGreaterThan(0);
  });

  it('A21: of Custom Script at its time limit is an error with the output so far, and leaves nothing', async () => {
    const { status } = await runScript(`echo first; echo problem >&2; sleep 60 & wait`, {
      timeoutInSeconds: 1,
    });
    expect(status).toMatchObject({ status: 'error', code: 4 });
    expect(status.message).toMatch(/within 1 second .*\[stdout\]\nfirst\n\n\[stderr\]\nproblem\n/s);
    expect(status.substatus).toMatchObject([{ message: 'TIMED_OUT' }]);
    await nobodyIsLeft();
  });
});

it('A18: a command that reads its input finds the end of it at once', async () => {
  const { status } = await runScript('cat; read line || echo "no line"; head -c 1 /dev/stdin | wc -c');
  expect(status).toMatchObject({ status: 'success' });
  expect(status.message).toContain('[stdout]\nno line\n0\n');
});

describe('a command that destroys what it stands on', () => {
  it.each<[string, (handler: LaidOutHandler) => string]>([
    ['its own folder', () => 'rm -rf "$PWD"'],
    ['the data folder', ({ libFolder }) => `rm -rf ${libFolder}/custom-script`],
    ['its folder, for another of that name', () => 'd=$PWD; cd /; rm -rf "$d"; echo x >"$d"'],
    ['the handler’s program', (machine) => `rm -rf ${machine.folder()}/bin`],
    ['the handler’s logs', ({ logFolder }) => `rm -rf ${logFolder}`],
    ['journal and number', (machine) => `rm -f ${machine.folder()}/journal.json ${machine.folder()}/mrseq`],
    ['the status folder', (machine) => `rm -rf ${machine.folder()}/status`],
  ])('A19: that removes %s has its status all the same', async (_, destroy) => {
    handler = layOutHandler(customScript);
    const machine = handler;
    const mark = join(machine.libFolder, '..', 'mark');
    machine.writeSettings(0, {
      public: { commandToExecute: `echo run >>${mark}; echo before; ${destroy(machine)}; echo after` },
    });
    expect((await machine.run('enable')).exitCode).toBe(0);
    const status = await until('the result', () => {
      if (!existsSync(machine.statusFile(0))) return undefined;
      const now = machine.readStatus(0);
      return now?.status === 'transitioning' ? undefined : now;
    });
    expect(status).toMatchObject({ status: 'success' });
    expect(status.message).toContain('[stdout]\nbefore\nafter\n');
    await nobodyIsLeft();
    expect(readFileSync(mark, 'utf8')).toBe('run\n');
  });
});
