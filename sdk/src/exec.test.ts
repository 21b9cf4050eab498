import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecOptions } from './exec.ts';
import { execCommand, shellExitCode, signalGroup } from './exec.ts';
import { until } from './fixtures/process-machine.ts';
import { createHost } from './host.ts';
import { identifyProcess } from './process-identity.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-exec-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const sh = (script: string, options: ExecOptions = {}, ...args: string[]) =>
  execCommand(['sh', '-c', script, 'sh', ...args], options);
const isAlive = (pid: number): boolean => identifyProcess(createHost(), pid) !== undefined;
const pidIn = (name: string): number => Number(readFileSync(join(folder, name), 'utf8'));
/** The pid that a script wrote, once its line is whole. */
const writtenPid = (name: string): Promise<number> =>
  until(
    () =>
      existsSync(join(folder, name)) &&
      readFileSync(join(folder, name), 'utf8').endsWith('\n') &&
      pidIn(name),
  );

describe('a command', () => {
  it.each([0, 1, 3, 127, 255])('that exits with %i is a result', async (code) => {
    const result = await sh(`exit ${code}`);
    expect(result).toMatchObject({ exitCode: code, signal: null, timedOut: false, aborted: false });
    expect(shellExitCode(result)).toBe(code);
  });

  it('that a signal ends has no exit code, and the one that a shell would report', async () => {
    const result = await sh('kill -9 $$');
    expect(result).toMatchObject({ exitCode: null, signal: 'SIGKILL', aborted: false, timedOut: false });
    expect(shellExitCode(result)).toBe(137);
  });

  it.each([
    [['/nonexistent/program'], 'ENOENT', 'no such program'],
    [['/etc/passwd'], 'EACCES', 'no program'],
    [['true', 'se\0cret'], 'ERR_INVALID_ARG_VALUE', 'a NUL in an argument'],
    [['true', 'secret'.repeat(1_000_000)], 'E2BIG', 'an argument that is too long'],
    [[], 'no program was named', 'nothing at all'],
  ])('%#: cannot be started: %s', async (argv, reason) => {
    const error = await execCommand(argv).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'COMMAND_NOT_STARTED', message: expect.stringContaining(reason) });
    expect(String(error)).not.toContain('secret');
  });

  it('runs in the folder, and with the environment, that were given, and no other', async () => {
    const result = await execCommand(['/usr/bin/env'], { cwd: folder, env: { ONLY: 'this one' } });
    expect(result.stdout).toBe('ONLY=this one\n');
    expect((await sh('pwd -P', { cwd: folder })).stdout).toBe(`${folder}\n`);
  });

  it('that is killed from outside takes along what it waited for', async () => {
    let leader = 0;
    const script = `sh -c 'echo $$ >${folder}/waited-for; while :; do sleep 0.02; done'; echo after`;
    const running = sh(script, {
      onStart: (pid) => {
        leader = pid;
      },
    });
    const waitedFor = await writtenPid('waited-for');
    process.kill(leader, 'SIGKILL');
    expect(await running).toMatchObject({ exitCode: null, signal: 'SIGKILL', stdout: '' });
    expect(isAlive(waitedFor)).toBe(false);
  });

  it('leads a session and a process group of its own', async () => {
    let pid = 0;
    const { stdout } = await sh('cut -d" " -f5,6 /proc/$$/stat', {
      onStart: (started) => {
        pid = started;
      },
    });
    expect(stdout).toBe(`${pid} ${pid}\n`);
  });

  it('reads text, bytes, a file, or nothing', async () => {
    writeFileSync(join(folder, 'input'), 'from the file');
    expect((await execCommand(['cat'], { stdin: 'zwölf' })).stdout).toBe('zwölf');
    expect((await execCommand(['cat'], { stdin: new Uint8Array([65, 66]) })).stdout).toBe('AB');
    expect((await execCommand(['cat'], { stdinFile: join(folder, 'input') })).stdout).toBe('from the file');
    expect(await execCommand(['cat'])).toMatchObject({ exitCode: 0, stdout: '' });
  });
});

describe('a limit', () => {
  const trap = 'trap "echo ended >&2; exit 7" TERM; echo $$ >pid; while :; do sleep 0.02; done';

  it('ends the command with SIGTERM, and keeps its output so far', async () => {
    const result = await sh(`echo begun; ${trap}`, { cwd: folder, timeoutMs: 300 });
    expect(result).toMatchObject({ exitCode: 7, timedOut: true, aborted: false });
    expect(result).toMatchObject({ stdout: 'begun\n', stderr: expect.stringContaining('ended\n') });
  });

  it('kills one that ignores SIGTERM, and its grandchild, when the grace is over', async () => {
    const result = await sh(
      `trap '' TERM; sh -c 'echo $$ >grandchild; while :; do sleep 0.02; done' & ${trap.replace(/^.*TERM;/, '')}`,
      { cwd: folder, timeoutMs: 300, graceMs: 200 },
    );
    expect(result).toMatchObject({ signal: 'SIGKILL', timedOut: true });
    await until(() => !isAlive(pidIn('grandchild')));
  });

  it('gives a grandchild the same grace when the command itself ends at once', async () => {
    const grandchild = `trap 'sleep 0.2; echo tidy >tidy; exit' TERM; echo $$ >grandchild; while :; do sleep 0.02; done`;
    const result = await sh('sh -c "$1" & wait', { cwd: folder, timeoutMs: 300 }, grandchild);
    expect(result).toMatchObject({ timedOut: true, signal: 'SIGTERM' });
    expect(readFileSync(join(folder, 'tidy'), 'utf8')).toBe('tidy\n');
    expect(isAlive(pidIn('grandchild'))).toBe(false);
  });

  it('ends a command that was stopped', async () => {
    const result = await sh('kill -STOP $$', { timeoutMs: 200, graceMs: 10_000 });
    expect(result).toMatchObject({ signal: 'SIGTERM', timedOut: true });
  });

  it('of more than a timer can measure is none', async () => {
    expect(await sh('sleep 0.1', { timeoutMs: Number.POSITIVE_INFINITY })).toMatchObject({ timedOut: false });
    expect(await sh('sleep 0.1', { timeoutMs: 2 ** 31 })).toMatchObject({ timedOut: false });
  });

  it('is cancelled in the same way', async () => {
    const stop = new AbortController();
    const running = sh(trap, { cwd: folder, signal: stop.signal });
    const pid = await writtenPid('pid');
    stop.abort();
    expect(await running).toMatchObject({ exitCode: 7, aborted: true, timedOut: false });
    expect(isAlive(pid)).toBe(false);
  });

  it('that was reached before the command began lets nothing begin', async () => {
    const result = await sh('echo begun >begun', { cwd: folder, signal: AbortSignal.abort() });
    expect(result).toMatchObject({ exitCode: null, signal: 'SIGTERM', aborted: true, stdout: '' });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('output', () => {
  it('of a background process that keeps the streams open holds up nobody', async () => {
    const since = performance.now();
    const result = await sh('sleep 30 & echo $! >pid; echo done', { cwd: folder });
    expect(performance.now() - since).toBeLessThan(25_000);
    expect(result).toMatchObject({ exitCode: 0, stdout: 'done\n' });
    const pid = pidIn('pid');
    expect(isAlive(pid)).toBe(true);
    process.kill(pid, 'SIGKILL');
  });

  it('of 50 MB costs the memory of its tail', async () => {
    global.gc?.();
    const before = process.memoryUsage().rss;
    let most = before;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss);
    }, 5);
    const result = await sh('head -c 50000000 /dev/zero | tr "\\0" x; echo; echo end', { tailBytes: 8 });
    clearInterval(watch);
    expect(result.stdout).toBe('xxx\nend\n');
    expect(most - before).toBeLessThan(20_000_000);
  });

  it.each([
    [3, '€', 'the whole last character'],
    [4, '€', 'one byte of the character before'],
    [5, '€', 'two bytes of it'],
    [6, '€€', 'both'],
    [0, '', 'nothing'],
  ])('is cut to its last %i bytes at a character: %j (%s)', async (tailBytes, text) => {
    expect((await sh('printf €€€€', { tailBytes })).stdout).toBe(text);
  });

  it('that is no UTF-8 is valid text all the same', async () => {
    expect((await sh('printf "a\\377b"')).stdout).toBe('a\uFFFDb');
  });

  it('goes to files of mode 0600, also where others were before, and into no link', async () => {
    const [stdoutFile, stderrFile] = [join(folder, 'out'), join(folder, 'err')];
    writeFileSync(stdoutFile, 'what an earlier run left', { mode: 0o644 });
    const result = await sh('echo out; echo err >&2', { stdoutFile, stderrFile });
    expect(result).toMatchObject({ stdout: 'out\n', stderr: 'err\n' });
    for (const [file, text] of [[stdoutFile, 'out\n'] as const, [stderrFile, 'err\n'] as const]) {
      expect(readFileSync(file, 'utf8')).toBe(text);
      expect(statSync(file).mode & 0o777).toBe(0o600);
    }
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'link'));
    await expect(sh('echo x', { stdoutFile: join(folder, 'link') })).rejects.toMatchObject({ code: 'ELOOP' });
    expect(existsSync(join(folder, 'elsewhere'))).toBe(false);
  });

  it('is not written over by a child that opens its stream by name', async () => {
    expect((await sh('echo one; echo two >>/dev/stdout; echo three')).stdout).toBe('one\ntwo\nthree\n');
  });

  it('and input leave no file behind, even while the command runs', async () => {
    const before = process.env.TMPDIR;
    process.env.TMPDIR = folder;
    try {
      const stop = new AbortController();
      let during: readonly string[] | undefined;
      await execCommand(['sleep', '30'], {
        stdin: 'secret',
        signal: stop.signal,
        onStart: () => {
          during = readdirSync(folder);
          stop.abort();
        },
      });
      expect(during).toEqual([]);
      await execCommand(['/nonexistent/program']).catch(() => undefined);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
    }
  });
});

it('a signal to a group that has ended is no error', async () => {
  let group = 0;
  await execCommand(['true'], {
    onStart: (pid) => {
      group = pid;
    },
  });
  expect(() => signalGroup(group, 'SIGTERM')).not.toThrow();
});

describe('a command of another user', () => {
  const nobody = { name: 'nobody', uid: 65534, gid: 65534 };

  it.runIf(process.getuid?.() === 0)(
    'has the ids and groups of the user, and can open its streams again',
    async () => {
      const stdoutFile = join(folder, 'stdout');
      const script = 'id -u; id -g; id -G; echo problem >/dev/stderr; exec </dev/stdin; cat';
      const result = await sh(script, { user: nobody, stdin: 'canary', stdoutFile });
      expect(result).toMatchObject({ exitCode: 0, stderr: 'problem\n' });
      expect(result.stdout).toMatch(/^65534\n65534\n65534\ncanary$/);
      expect(statSync(stdoutFile)).toMatchObject({ uid: 65534, gid: 65534 });
      expect(statSync(stdoutFile).mode & 0o777).toBe(0o600);
      // What every program shares is not given away.
      expect((await sh('true', { user: nobody })).exitCode).toBe(0);
      expect(statSync('/dev/null').uid).toBe(0);
    },
  );

  it.runIf(process.getuid?.() === 0)('is ended at its limit as any other', async () => {
    const result = await sh('sleep 60', { user: nobody, timeoutMs: 100 });
    expect(result).toMatchObject({ timedOut: true, signal: 'SIGTERM' });
  });

  it('needs nothing when it is the user of this process', async () => {
    const user = { name: 'me', uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 };
    expect((await sh('id -u', { user })).stdout).toBe(`${user.uid}\n`);
  });
});
