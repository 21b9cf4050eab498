import { copyFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HandlerError } from './errors.ts';
import type { ProcessMachine } from './fixtures/process-machine.ts';
import { buildProgram, createProcessMachine, until } from './fixtures/process-machine.ts';
import type { StatusReporter } from './handler.ts';
import { defineHandler } from './handler.ts';
import { createHost } from './host.ts';
import { identifyProcess } from './process-identity.ts';
import type { TestMachine } from './testing/index.ts';
import { createTestMachine } from './testing/index.ts';

const DAEMON = { detached: true, rerun: 'always' };
const MINUTE = 60_000;

describe('in one process, with a clock that is moved', () => {
  let machine: TestMachine;
  afterEach(() => machine.remove());

  function useDaemon(changes: Readonly<Record<string, unknown>> = {}): void {
    const names = { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.0.0' };
    machine = createTestMachine({
      extension: { ...names, enable: DAEMON, manifest: { reportHeartbeat: true }, ...changes },
    });
  }

  /** Starts a daemon that does what the test does with its reporter, until the test stops it. */
  async function startDaemon() {
    const stop = new AbortController();
    let give: (status: StatusReporter) => void = () => undefined;
    const reporter = new Promise<StatusReporter>((resolve) => {
      give = resolve;
    });
    const handler = defineHandler({
      enable: ({ status, signal }) =>
        new Promise((_, reject) => {
          give(status);
          signal.addEventListener('abort', () => reject(signal.reason));
        }),
    });
    const ended = machine.enable(handler, {}, { signal: stop.signal });
    return { status: await reporter, stop, ended };
  }

  const sigterm = new HandlerError('INTERRUPTED', 'the run was ended by SIGTERM before it finished');

  it('says that it works, that it does not, and that it works again, while enable goes on', async () => {
    useDaemon();
    const { status, stop, ended } = await startDaemon();
    expect(machine.readStatus(0)).toMatchObject({ status: 'transitioning', message: 'Enable in progress' });
    await status.ready('listening', [{ name: 'port', status: 'success', code: 0, message: '80' }]);
    expect(machine.readStatus(0)).toMatchObject({
      status: 'success',
      code: 0,
      message: 'Enable succeeded: listening',
      substatus: [{ name: 'port' }],
    });
    await status.degraded({ message: 'the disk is nearly full' });
    expect(machine.readStatus(0)).toMatchObject({
      status: 'warning',
      message: 'Enable succeeded with a warning: the disk is nearly full',
    });
    await status.degraded({ status: 'error', message: 'the disk is full', code: 7 });
    expect(machine.readStatus(0)).toMatchObject({
      status: 'error',
      code: 7,
      message: 'Enable failed: the disk is full',
      substatus: [{ name: 'ErrorClarification', code: 7 }],
    });
    await status.transitioning('not heard');
    await status.ready('listening again');
    expect(machine.readStatus(0)?.message).toBe('Enable succeeded: listening again');
    stop.abort(sigterm);
    expect(await ended).toMatchObject({ exitCode: 1, status: { status: 'error', code: 3 } });
  });

  it('has its time limit until it is ready, and none from then on', async () => {
    useDaemon({ enable: { ...DAEMON, timeoutMinutes: 2 } });
    const slow = await startDaemon();
    await machine.advance(3 * MINUTE);
    expect((await slow.ended).status).toMatchObject({ status: 'error', code: 4 });
    const { status, stop, ended } = await startDaemon();
    await status.ready('listening');
    await machine.advance(60 * 24 * 60 * MINUTE);
    expect(machine.readStatus(0)?.status).toBe('success');
    stop.abort(sigterm);
    await ended;
  });

  it('is in progress when it is started again, until it is ready', async () => {
    useDaemon();
    const first = await startDaemon();
    await first.status.ready('listening');
    first.stop.abort(sigterm);
    await first.ended;
    const second = await startDaemon();
    expect(machine.readStatus(0)?.status).toBe('transitioning');
    await second.status.ready('listening again');
    second.stop.abort(sigterm);
    await second.ended;
  });

  it('hides secrets in what it says', async () => {
    useDaemon();
    const stop = new AbortController();
    const handler = defineHandler({
      enable: async ({ status, addSecret }) => {
        addSecret('rose-bud-1941');
        await status.ready('the word is rose-bud-1941');
        await status.heartbeat({ status: 'NotReady', message: 'it was rose-bud-1941' });
        const heard = [machine.readStatus(0)?.message, machine.readHeartbeat()?.message].join();
        return { message: heard.includes('rose-bud') ? 'leaked' : 'hidden' };
      },
    });
    const { status } = await machine.enable(handler, {}, { signal: stop.signal });
    expect(status?.message).toBe('Enable succeeded: hidden');
  });

  it('tries to say it again each minute when the status cannot be written', async () => {
    useDaemon();
    const { status, stop, ended } = await startDaemon();
    const folder = machine.path(join(machine.handlerFolder(), 'status'));
    rmSync(folder, { recursive: true });
    writeFileSync(folder, 'no folder');
    await status.ready('listening');
    rmSync(folder);
    expect(machine.readStatus(0)).toBeUndefined();
    await machine.advance(MINUTE);
    await until(() => machine.readStatus(0)?.message === 'Enable succeeded: listening');
    stop.abort(sigterm);
    await ended;
  });

  it.each([
    [{ detached: false, rerun: 'always' }, 'one that is not detached'],
    [{ detached: true, rerun: 'once-per-sequence' }, 'one that works once'],
  ])('is told from %j: %s', async (enable) => {
    useDaemon({ enable, manifest: {} });
    const ready = defineHandler({ enable: ({ status }) => status.ready('listening') });
    expect((await machine.enable(ready)).status?.message).toBe(
      'Enable failed: status.ready is for a daemon: set enable.detached to true and enable.rerun to "always" in extension.json, or return from enable when the work is done',
    );
  });

  describe('its heartbeat', () => {
    const age = (): number => statSync(heartbeatPath()).mtimeMs;
    const heartbeatPath = (): string => machine.path(join(machine.handlerFolder(), 'heartbeat.log'));

    it('is there before the author’s code begins, and follows what it says', async () => {
      useDaemon();
      const { status, stop, ended } = await startDaemon();
      expect(machine.readHeartbeat()).toEqual({ status: 'NotReady', message: 'The extension is starting' });
      await status.ready('listening');
      expect(machine.readHeartbeat()).toEqual({ status: 'Ready', message: 'listening' });
      await status.degraded({ message: 'slow' });
      expect(machine.readHeartbeat()).toEqual({ status: 'Ready', message: 'slow' });
      await status.degraded({ status: 'error', message: 'stuck' });
      expect(machine.readHeartbeat()).toEqual({ status: 'NotReady', message: 'stuck' });
      await status.heartbeat({ status: 'Ready', message: 'unstuck' });
      expect(machine.readHeartbeat()).toEqual({ status: 'Ready', message: 'unstuck' });
      expect(machine.readStatus(0)?.message).toBe('Enable failed: stuck');
      stop.abort(sigterm);
      await ended;
    });

    it('is refreshed each minute while the worker lives, and not afterwards', async () => {
      useDaemon();
      const { status, stop, ended } = await startDaemon();
      await status.ready('listening');
      for (let beat = 0; beat < 2; beat++) {
        utimesSync(heartbeatPath(), 1, 1);
        await machine.advance(MINUTE);
        await until(() => age() > 1_000);
        expect(machine.readHeartbeat()).toEqual({ status: 'Ready', message: 'listening' });
      }
      stop.abort(sigterm);
      await ended;
      expect(machine.readHeartbeat()?.status).toBe('NotReady');
      utimesSync(heartbeatPath(), 1, 1);
      await machine.advance(5 * MINUTE);
      expect(age()).toBe(1_000);
    });

    it('says why enable failed', async () => {
      useDaemon();
      const failing = defineHandler({
        enable: async () => {
          throw new Error('no port is free');
        },
      });
      await machine.enable(failing);
      expect(machine.readHeartbeat()).toEqual({
        status: 'NotReady',
        message: 'Enable failed: no port is free',
      });
    });

    it('is refused where the description promises none', async () => {
      useDaemon({ manifest: {} });
      const { status, stop, ended } = await startDaemon();
      await status.ready('listening');
      expect(machine.readHeartbeat()).toBeUndefined();
      await expect(status.heartbeat({ status: 'Ready', message: '' })).rejects.toThrow(
        'set manifest.reportHeartbeat to true',
      );
      stop.abort(sigterm);
      await ended;
    });
  });
});

describe('as a process', () => {
  let programs: string;
  let program: string;
  let machine: ProcessMachine;
  const host = createHost();
  beforeAll(async () => {
    programs = await mkdtemp(join(tmpdir(), 'handlerkit-daemon-'));
    program = buildProgram(programs);
  });
  afterAll(() => rm(programs, { recursive: true, force: true }));
  beforeEach(() => {
    machine = createProcessMachine(program);
    machine.addVersion('1.0.0', DAEMON, { reportHeartbeat: true });
  });
  afterEach(() => machine.remove());

  const isAlive = (pid: number): boolean => identifyProcess(host, pid) !== undefined;
  const start = (options = {}) => machine.run('enable', { words: ['--detach'], ...options });

  /** Waits until a daemon of this sequence, other than `former`, says that it works; gives its process id. */
  async function listening(sequence: number, version?: string, former?: number): Promise<number> {
    return await until(() => {
      const message = machine.status(sequence, version)?.message ?? '';
      const pid = Number(/^Enable succeeded: listening as (\d+)$/.exec(message)?.[1] ?? 0);
      return pid !== 0 && pid !== former && pid;
    });
  }

  it('is left alone by its own sequence, and replaced by a newer one', async () => {
    machine.writeSettings(0, 'daemon');
    await start();
    const first = await listening(0);
    expect(machine.journal()).toMatchObject({ state: 'running', process: { pid: first } });
    expect((await machine.run('enable')).exitCode).toBe(0);
    expect(isAlive(first)).toBe(true);
    machine.writeSettings(1, 'daemon');
    await start({ sequence: 1 });
    const second = await listening(1);
    expect([isAlive(first), isAlive(second)]).toEqual([false, true]);
    expect(machine.status(0)).toMatchObject({
      status: 'success',
      message: 'Stopped: newer settings arrived',
    });
    expect(machine.marks()).toEqual(['0', '1']);
    expect(machine.heartbeat()?.status).toBe('Ready');
  });

  it('is started again when it has died', async () => {
    machine.writeSettings(0, 'daemon');
    await start();
    const first = await listening(0);
    process.kill(first, 'SIGKILL');
    await until(() => !isAlive(first));
    expect(machine.heartbeat()?.status).toBe('Ready');
    await start();
    const second = await listening(0, undefined, first);
    expect(isAlive(second)).toBe(true);
    expect(machine.marks()).toEqual(['0', '0']);
  });

  it('gets its status back when that was lost', async () => {
    machine.writeSettings(0, 'daemon');
    await start();
    const pid = await listening(0);
    rmSync(join(machine.folder(), 'status', '0.status'));
    expect((await machine.run('enable')).exitCode).toBe(0);
    expect(await listening(0)).toBe(pid);
  });

  it('is stopped by disable, which is no error', async () => {
    machine.writeSettings(0, 'daemon');
    await start();
    const pid = await listening(0);
    expect((await machine.run('disable')).exitCode).toBe(0);
    expect(isAlive(pid)).toBe(false);
    const message = 'Stopped: the extension was disabled';
    expect(machine.status(0)).toMatchObject({ status: 'success', message });
    expect(machine.heartbeat()).toEqual({ status: 'NotReady', message });
    await start();
    expect(await listening(0, undefined, pid)).not.toBe(pid);
  });

  it('is an error when somebody else stops it', async () => {
    machine.writeSettings(0, 'daemon');
    await start();
    process.kill(await listening(0), 'SIGTERM');
    await until(() => machine.status(0)?.status === 'error');
    expect(machine.status(0)).toMatchObject({
      status: 'error',
      message: 'Enable failed: the run was ended by SIGTERM before it finished',
    });
  });

  it('says while it works that something is wrong', async () => {
    const gate = machine.writeSettings(0, 'daemon');
    await start();
    await listening(0);
    writeFileSync(gate, '');
    await until(() => machine.status(0)?.message === 'Enable failed: the gate is open');
    expect(machine.heartbeat()).toEqual({ status: 'NotReady', message: 'the gate is open' });
    expect(machine.journal()?.state).toBe('running');
  });

  it('is started anew by an update, and is in progress until the new version’s works', async () => {
    machine.writeSettings(0, 'daemon');
    await start();
    const old = await listening(0);
    machine.addVersion('2.0.0', DAEMON, { reportHeartbeat: true });
    machine.writeSettings(0, 'daemon', '2.0.0');
    expect((await machine.run('disable')).exitCode).toBe(0);
    // The agent copies the statuses between disable and update.
    const status = join('status', '0.status');
    copyFileSync(join(machine.folder(), status), join(machine.folder('2.0.0'), status));
    const env = { VERSION: '2.0.0', AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' };
    expect((await machine.run('update', { version: '2.0.0', env })).exitCode).toBe(0);
    expect(machine.status(0, '2.0.0')).toMatchObject({
      status: 'transitioning',
      message: 'Enable in progress: the new version is started',
    });
    expect((await machine.run('uninstall')).exitCode).toBe(0);
    await start({ version: '2.0.0' });
    const fresh = await listening(0, '2.0.0');
    expect([isAlive(old), isAlive(fresh)]).toEqual([false, true]);
    expect(machine.heartbeat('2.0.0')?.status).toBe('Ready');
  });

  it('of an old version that disable could not stop is replaced by the new version', async () => {
    machine.writeSettings(0, 'daemon');
    await start();
    const old = await listening(0);
    machine.addVersion('2.0.0', DAEMON, { reportHeartbeat: true });
    machine.writeSettings(0, 'daemon', '2.0.0');
    const env = { VERSION: '2.0.0', AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' };
    expect((await machine.run('update', { version: '2.0.0', env })).exitCode).toBe(0);
    await start({ version: '2.0.0' });
    expect(await listening(0, '2.0.0', old)).not.toBe(old);
    expect(isAlive(old)).toBe(false);
  });

  it('ends with the extension', async () => {
    machine.writeSettings(0, 'daemon');
    await start();
    const pid = await listening(0);
    expect((await machine.run('uninstall')).exitCode).toBe(0);
    expect(isAlive(pid)).toBe(false);
    expect(machine.status(0)?.message).toBe('Stopped: the extension was uninstalled');
  });
});
