/** Runs as the agent makes them: real processes that are killed, stopped, superseded, updated and deleted half-way. */
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseStatus } from './contract/status.ts';
import { signalGroup } from './exec.ts';
import type { ProcessMachine } from './fixtures/process-machine.ts';
import { buildProgram, createProcessMachine, until } from './fixtures/process-machine.ts';
import { createHost } from './host.ts';
import { identifyProcess } from './process-identity.ts';

let build: string;
let program: string;
let machine: ProcessMachine;
const host = createHost();

beforeAll(() => {
  build = mkdtempSync(join(tmpdir(), 'handlerkit-program-'));
  program = buildProgram(build);
});
afterAll(() => rmSync(build, { recursive: true, force: true }));
beforeEach(() => {
  machine = createProcessMachine(program);
});
afterEach(() => machine.remove());

const isAlive = (pid: number): boolean => identifyProcess(host, pid) !== undefined;
const readPid = (gate: string): Promise<number> =>
  until(() => existsSync(gate) && Number(readFileSync(gate, 'utf8')));
const begun = (count: number): Promise<true> => until(() => machine.marks().length === count);

/** What the agent does before it runs `update`: the new folder, its settings, `mrseq` and the statuses. */
function prepareUpdate(from: string, to: string): void {
  machine.addVersion(to, { detached: true });
  if (machine.mrseq(from) !== undefined)
    copyFileSync(join(machine.folder(from), 'mrseq'), join(machine.folder(to), 'mrseq'));
  for (const name of readdirSync(join(machine.folder(from), 'status')))
    copyFileSync(join(machine.folder(from), 'status', name), join(machine.folder(to), 'status', name));
}

const updateEnv = { VERSION: '2.0.0', AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' };

describe('a run whose process is killed', () => {
  it('is called interrupted by the next enable, which ends the command that it left behind', async () => {
    const gate = machine.writeSettings(0, 'child');
    const first = machine.start('enable');
    const orphan = await readPid(gate);
    await until(() => machine.journal()?.children.length === 1);
    process.kill(first.pid, 'SIGKILL');
    expect((await first.ended).signal).toBe('SIGKILL');
    expect(isAlive(orphan)).toBe(true);
    const next = await machine.run('enable');
    expect(next.exitCode).toBe(1);
    expect(machine.status(0)).toMatchObject({ status: 'error', code: 3 });
    expect(machine.status(0)?.message).toContain('its process was killed');
    await until(() => !isAlive(orphan));
    expect(machine.marks()).toEqual(['0']);
    expect((await machine.run('enable')).exitCode).toBe(0);
  });

  it('at any moment leaves one final status, no second run, no lock and no half-written file', async () => {
    const since = performance.now();
    machine.writeSettings(0, 'nothing');
    await machine.run('enable');
    const whole = performance.now() - since;
    for (let sequence = 1; sequence <= 12; sequence++) {
      machine.writeSettings(sequence, 'nothing');
      const run = machine.start('enable', { sequence });
      const killer = setTimeout(() => signalGroup(run.pid, 'SIGKILL'), whole * (0.5 + sequence / 24));
      await run.ended;
      clearTimeout(killer);
      const next = await machine.run('enable', { sequence });
      expect([0, 1]).toContain(next.exitCode);
      expect(['success', 'error']).toContain(machine.status(sequence)?.status);
    }
    // A process may still be dying when the next enable looks; what it left is the one's after that.
    await machine.run('enable', { sequence: 12 });
    const marks = machine.marks();
    expect(new Set(marks).size).toBe(marks.length);
    const left = readdirSync(machine.root, { recursive: true, encoding: 'utf8' });
    expect(left.filter((name) => /\.tmp$|\.lock/.test(name))).toEqual([]);
  });
});

describe('a run that is asked to end', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('says so after %s', async (signal) => {
    machine.writeSettings(0, 'wait');
    const run = machine.start('enable');
    await begun(1);
    process.kill(run.pid, signal);
    expect((await run.ended).exitCode).toBe(1);
    expect(machine.status(0)).toMatchObject({ status: 'error', code: 3 });
    expect(machine.status(0)?.message).toContain(`ended by ${signal}`);
  });

  it('ends its command too, although the author’s code did not hand its signal on', async () => {
    const gate = machine.writeSettings(0, 'child');
    const run = machine.start('enable');
    const child = await readPid(gate);
    process.kill(run.pid, 'SIGTERM');
    await run.ended;
    expect(isAlive(child)).toBe(false);
    expect(machine.status(0)?.message).toContain('SIGTERM');
  });

  it('kills a command that ignores SIGTERM after its grace', async () => {
    const gate = machine.writeSettings(0, 'stubborn');
    const run = machine.start('enable');
    const child = await readPid(gate);
    process.kill(run.pid, 'SIGTERM');
    await run.ended;
    expect(isAlive(child)).toBe(false);
    expect(machine.status(0)).toMatchObject({ status: 'error', code: 3 });
  });
});

describe('several processes', () => {
  it('of one sequence: the second exits 0 at once and leaves the status alone', async () => {
    const gate = machine.writeSettings(0, 'wait');
    const first = machine.start('enable');
    await begun(1);
    const file = join(machine.folder(), 'status', '0.status');
    const before = readFileSync(file, 'utf8');
    expect((await machine.run('enable')).exitCode).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe(before);
    writeFileSync(gate, '');
    expect((await first.ended).exitCode).toBe(0);
    expect(machine.status(0)?.message).toBe('Enable succeeded: the gate is open');
    expect(machine.marks()).toEqual(['0']);
  });

  it('fifty at once: the author’s code runs once, and all exit 0', async () => {
    machine.writeSettings(0, 'nothing');
    // What a process left that died with the lock in its hand must not let two of them in.
    await machine.run('install');
    symlinkSync('4000000:1:gone', join(machine.root, 'Contoso.Samples.Greeter.data', '.lock'));
    const all = await Promise.all(Array.from({ length: 50 }, () => machine.run('enable')));
    expect(all.filter(({ exitCode }) => exitCode !== 0)).toEqual([]);
    expect(machine.marks()).toEqual(['0']);
    expect(machine.status(0)?.status).toBe('success');
  });

  it('a newer sequence ends an older one that runs, and both statuses are right', async () => {
    machine.writeSettings(1, 'wait');
    machine.writeSettings(2, 'nothing');
    const older = machine.start('enable', { sequence: 1 });
    await begun(1);
    expect((await machine.run('enable', { sequence: 2 })).exitCode).toBe(0);
    expect((await older.ended).exitCode).toBe(1);
    expect(machine.status(1)).toMatchObject({ status: 'error', code: 5 });
    expect(machine.status(2)?.status).toBe('success');
    expect(machine.mrseq()).toBe('2');
    expect(machine.journal()).toMatchObject({ sequence: 2, state: 'finished' });
  });

  it('a newer sequence ends an older run that was stopped, in order', async () => {
    machine.writeSettings(1, 'wait');
    machine.writeSettings(2, 'nothing');
    const older = machine.start('enable', { sequence: 1 });
    await begun(1);
    process.kill(older.pid, 'SIGSTOP');
    expect((await machine.run('enable', { sequence: 2 })).exitCode).toBe(0);
    expect((await older.ended).exitCode).toBe(1);
    expect(machine.status(1)).toMatchObject({ status: 'error', code: 5 });
    expect(machine.status(2)?.status).toBe('success');
  });
});

describe('a detached run', () => {
  it('goes on in a session of its own after the agent has its answer', async () => {
    const gate = machine.writeSettings(0, 'wait');
    const answer = machine.start('enable', { words: ['--detach'] });
    expect(await answer.ended).toMatchObject({ exitCode: 0, stderr: '' });
    await begun(1);
    const worker = machine.journal()?.process.pid ?? 0;
    const stat = readFileSync(`/proc/${worker}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    // Fields 5 and 6 of the line: process group and session.
    expect([Number(stat[2]), Number(stat[3])]).toEqual([worker, worker]);
    writeFileSync(gate, '');
    await until(() => machine.status(0)?.status === 'success');
  });

  it('survives an update, whose version gets the result, and the old version’s uninstall', async () => {
    machine.addVersion('1.0.0', { detached: true });
    const gate = machine.writeSettings(0, 'wait');
    await machine.run('enable', { words: ['--detach'] });
    await begun(1);
    const worker = machine.journal()?.process.pid ?? 0;
    expect((await machine.run('disable')).exitCode).toBe(0);
    prepareUpdate('1.0.0', '2.0.0');
    machine.writeSettings(0, 'nothing', '2.0.0');
    const update = await machine.run('update', { version: '2.0.0', env: updateEnv });
    expect(update).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await machine.run('uninstall')).exitCode).toBe(0);
    expect(isAlive(worker)).toBe(true);
    rmSync(machine.folder('1.0.0'), { recursive: true });
    await machine.run('install', { version: '2.0.0' });
    expect((await machine.run('enable', { version: '2.0.0' })).exitCode).toBe(0);
    expect(machine.status(0, '2.0.0')?.status).toBe('transitioning');
    writeFileSync(gate, '');
    await until(() => machine.status(0, '2.0.0')?.status === 'success');
    await until(() => !isAlive(worker));
    expect(machine.status(0, '2.0.0')?.message).toBe('Enable succeeded: the gate is open');
    expect(machine.journal('2.0.0')?.state).toBe('finished');
    expect(machine.marks()).toEqual(['0']);
    expect(existsSync(machine.folder('1.0.0'))).toBe(false);
  });

  it('is ended by the new version’s newer sequence after an update', async () => {
    machine.writeSettings(0, 'wait');
    await machine.run('enable', { words: ['--detach'] });
    await begun(1);
    prepareUpdate('1.0.0', '2.0.0');
    machine.writeSettings(1, 'nothing', '2.0.0');
    await machine.run('update', { version: '2.0.0', sequence: 1, env: updateEnv });
    await machine.run('uninstall', { sequence: 1 });
    rmSync(machine.folder('1.0.0'), { recursive: true });
    await machine.run('enable', { version: '2.0.0', sequence: 1 });
    expect(machine.status(0, '2.0.0')).toMatchObject({ status: 'error', code: 5 });
    expect(machine.status(1, '2.0.0')?.status).toBe('success');
  });

  it('is ended by the uninstall of the only version, and its status says so before the folder goes', async () => {
    machine.writeSettings(0, 'wait');
    await machine.run('enable', { words: ['--detach'] });
    await begun(1);
    const worker = machine.journal()?.process.pid ?? 0;
    expect((await machine.run('uninstall')).exitCode).toBe(0);
    expect(isAlive(worker)).toBe(false);
    expect(machine.status(0)?.message).toBe(
      'Enable failed: the extension was uninstalled while this run was working',
    );
    expect(existsSync(join(machine.root, 'Contoso.Samples.Greeter.data'))).toBe(false);
    expect((await machine.run('uninstall')).exitCode).toBe(0);
  });

  it('that is a daemon is ended by disable', async () => {
    machine.addVersion('1.0.0', { rerun: 'always', detached: true });
    machine.writeSettings(0, 'wait');
    await machine.run('enable', { words: ['--detach'] });
    await begun(1);
    expect((await machine.run('disable')).exitCode).toBe(0);
    expect(machine.status(0)?.message).toContain('the extension was disabled');
    expect(machine.journal()?.state).toBe('finished');
    await machine.run('enable', { words: ['--detach'] });
    await begun(2);
  });
});

describe('code that goes astray', () => {
  it.each(['rejection', 'exception'])(
    'ends enable as an error after a %s that nobody caught',
    async (does) => {
      machine.writeSettings(0, does);
      const { exitCode } = await machine.run('enable');
      expect(exitCode).toBe(1);
      expect(machine.status(0)).toMatchObject({ status: 'error', code: -1 });
      expect(machine.status(0)?.message).toBe(`Enable failed: an error that nobody caught: a stray ${does}`);
    },
  );

  it('fails install', async () => {
    const { exitCode, stderr } = await machine.run('install', { env: { FIXTURE_INSTALL: 'stray' } });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('a stray rejection');
  });
});

describe('a disk', () => {
  /** Runs a script of the shell, to which the command is given, where the statuses have a disk of their own. */
  const onSmallDisk = (script: string): string[] => {
    const tmpfs = `folder=$1; mount -t tmpfs -o size=64k,mode=700 tmpfs "$folder/status" && shift && ${script}`;
    return ['unshare', '--mount', 'sh', '-c', tmpfs, 'sh', machine.folder()];
  };

  it.skipIf(process.getuid?.() !== 0)(
    'that is full at the end takes the result in place of the progress (a disk of its own needs root)',
    async () => {
      machine.writeSettings(0, 'fill');
      const { exitCode, stderr } = await machine.run('enable', {
        wrapper: onSmallDisk(`"$@"; code=$?; cp "$folder/status/0.status" "$folder"; exit $code`),
      });
      expect([exitCode, stderr]).toEqual([0, '']);
      const seen = readFileSync(join(machine.folder(), '0.status'), 'utf8');
      expect(parseStatus(seen, '0.status').message).toBe('Enable succeeded: the disk is full');
    },
  );

  it.skipIf(process.getuid?.() !== 0)(
    'that takes nothing at all at the end: the exit code and stderr tell the result (a disk of its own needs root)',
    async () => {
      machine.writeSettings(0, 'flood');
      const { exitCode, stderr } = await machine.run('enable', { wrapper: onSmallDisk('exec "$@"') });
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(
        /^Enable failed: STATE_UNUSABLE: the result cannot be written: ENOSPC.+0\.status'; make room/,
      );
      expect(stderr).toContain('The result was: Enable succeeded: the disk is full');
      // The journal lay on another disk, so the next enable writes the status from it.
      expect((await machine.run('enable')).exitCode).toBe(0);
      expect(machine.status(0)?.message).toBe('Enable succeeded: the disk is full');
      expect(machine.marks()).toEqual(['0']);
    },
  );

  it('that takes the status but not the journal has a result that nobody takes for a death', async () => {
    machine.writeSettings(0, 'talkative');
    // No file may be longer than 1,536 bytes: the status is shorter, the journal, which holds it too, is not.
    const limited = ['sh', '-c', 'trap "" 25; ulimit -f 3; exec "$@"', 'sh'];
    expect((await machine.run('enable', { wrapper: limited })).exitCode).toBe(0);
    expect(machine.journal()).toBeUndefined();
    const succeeded = { status: 'success', message: expect.stringMatching(/^Enable succeeded: x+$/) };
    expect(machine.status(0)).toMatchObject(succeeded);
    expect((await machine.run('enable')).exitCode).toBe(0);
    expect(machine.status(0)).toMatchObject(succeeded);
    expect(machine.marks()).toEqual(['0']);
  });

  it.skipIf(process.getuid?.() !== 0)(
    'that is read-only is said on stderr (a disk of its own needs root)',
    async () => {
      machine.writeSettings(0, 'nothing');
      const { exitCode, stderr } = await machine.run('enable', {
        wrapper: [
          'unshare',
          '--mount',
          'sh',
          '-c',
          'mount --bind -o ro "$1" "$1" && mount -o remount,bind,ro "$1" && shift && cd . && exec "$@"',
          'sh',
          machine.root,
        ],
      });
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/^Enable failed: STATE_UNUSABLE: .*EROFS/);
      expect(machine.marks()).toEqual([]);
    },
  );

  it('that lost the status and data folders gets them again', async () => {
    const gate = machine.writeSettings(0, 'wait');
    const run = machine.start('enable');
    await begun(1);
    rmSync(join(machine.folder(), 'status'), { recursive: true });
    rmSync(join(machine.root, 'Contoso.Samples.Greeter.data'), { recursive: true });
    writeFileSync(gate, '');
    expect((await run.ended).exitCode).toBe(0);
    expect(machine.status(0)?.status).toBe('success');
  });
});
