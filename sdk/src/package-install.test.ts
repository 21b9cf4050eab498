import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecOptions, ExecResult } from './exec.ts';
import type { Host } from './host.ts';
import { createHost } from './host.ts';
import { installPackages } from './package-install.ts';

interface Call {
  readonly argv: readonly string[];
  readonly options: ExecOptions;
}
type Answer = Partial<ExecResult> | (() => Partial<ExecResult>);

let root: string;
let calls: Call[];
let elapsed: number;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-install-'));
  calls = [];
  elapsed = 0;
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const write = (file: string, text: string): void => {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
};
const commands = (): string[] => calls.map(({ argv }) => argv.join(' '));

/** A machine of a distribution whose package manager gives these answers, one after the other, and then succeeds. */
function machine(osRelease: string, answers: readonly Answer[] = [], env: Host['env'] = {}): Host {
  write('/etc/os-release', osRelease);
  const left = [...answers];
  return {
    ...createHost(env),
    root,
    path: (absolute) => join(root, absolute),
    elapsedMs: () => elapsed,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      elapsed += ms;
    },
    exec: async (argv, options = {}) => {
      calls.push({ argv, options });
      const answer = left.shift() ?? {};
      const result = typeof answer === 'function' ? answer() : answer;
      const base = { exitCode: 0, signal: null, timedOut: false, aborted: false, stdout: '', stderr: '' };
      return { ...base, durationMs: 0, ...result };
    },
  };
}

const DEBIAN = 'ID=debian\nVERSION_ID="12"\n';
const APT_BUSY = {
  exitCode: 100,
  stderr:
    'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)\n' +
    'E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?\n',
};

describe('packages', () => {
  it.each([
    ['ID=rhel\nVERSION_ID=9.4', 'dnf -y --setopt=exit_on_lock=True install curl g++'],
    ['ID=rhel\nVERSION_ID=7.9', 'yum -y --setopt=exit_on_lock=True install curl g++'],
    ['ID=azurelinux\nVERSION_ID=3.0', 'tdnf -y install curl g++'],
    ['ID=sles\nVERSION_ID=15.5', 'zypper --non-interactive --no-color install curl g++'],
  ])('on %j are installed by %s', async (osRelease, command) => {
    await installPackages(machine(osRelease), ['curl', 'g++']);
    expect(commands()).toEqual([command]);
  });

  it('are installed by apt without a question, after its lists were read anew', async () => {
    await installPackages(machine(DEBIAN, [], { https_proxy: 'http://proxy:3128', PATH: '/bin' }), ['curl'], {
      env: { EXTRA: '1', LC_ALL: 'de_DE' },
    });
    expect(commands()).toEqual([
      'apt-get -q -y update',
      'apt-get -q -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install curl',
    ]);
    expect(calls[1]?.options).toMatchObject({
      env: {
        DEBIAN_FRONTEND: 'noninteractive',
        NEEDRESTART_SUSPEND: '1',
        LC_ALL: 'C',
        EXTRA: '1',
        PATH: '/bin',
        https_proxy: 'http://proxy:3128',
      },
      graceMs: 30_000,
    });
  });

  it('are installed from the lists that are there when the author says so', async () => {
    await installPackages(machine(DEBIAN), ['curl'], { refresh: false });
    expect(commands()).toEqual([expect.stringContaining('install curl')]);
  });

  it('that are none are no work', async () => {
    await installPackages(machine('ID=flatcar'), []);
    expect(calls).toEqual([]);
  });

  it.each([
    ['-y', 'an option'],
    ['--allow-unauthenticated', 'a long option'],
    ['curl-', "apt's word for removing"],
    ['', 'nothing'],
    ['/tmp/package.deb', 'a path'],
    ['./package.deb', 'a relative path'],
    ['http://example.com/package.rpm', 'a URL'],
    ['curl wget', 'two names'],
    ['lib*', 'a pattern'],
    ['@core', 'a group'],
    ['!curl', "zypper's word for removing"],
    ['curl\nwget', 'two lines'],
    ['$(id)', 'a shell command'],
    ['x'.repeat(300), 'something too long'],
  ])('named %j are refused, and nothing is run: %s', async (name) => {
    await expect(installPackages(machine(DEBIAN), ['curl', name])).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      exitCode: 53,
    });
    expect(calls).toEqual([]);
  });

  it.each(['libc6:i386', 'nginx=1.24.0-1~deb12u1', 'g++', 'nginx-1:1.24.0-3.el9', 'python3.11', '7zip', 'a'])(
    'may be named %s',
    async (name) => {
      await installPackages(machine(DEBIAN), [name], { refresh: false });
      expect(calls[0]?.argv.at(-1)).toBe(name);
    },
  );

  it('cannot be installed where no package manager is known', async () => {
    await expect(installPackages(machine('ID=flatcar'), ['curl'])).rejects.toMatchObject({ exitCode: 51 });
  });
});

describe('an installation that fails', () => {
  it('ends with error 52, the exit code and the end of the output', async () => {
    const said = { stdout: 'x'.repeat(5_000), exitCode: 100, stderr: 'E: Unable to locate package nope\n' };
    const error = await installPackages(machine(DEBIAN, [{}, said]), ['nope']).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: 'DEPENDENCY_MISSING',
      exitCode: 52,
      message: expect.stringMatching(
        /^apt cannot install nope: exit code 100: …x+\nE: Unable to locate package nope$/,
      ),
    });
    expect(String(error).length).toBeLessThan(1_200);
  });

  it('shows no query of a URL', async () => {
    const said = { exitCode: 1, stderr: 'Cannot fetch https://mirror.example/repo?sig=secret\n' };
    const error = await installPackages(machine('ID=fedora\nVERSION_ID=41', [said]), ['a']).catch(String);
    expect(error).toContain('https://mirror.example/repo');
    expect(error).not.toContain('secret');
  });

  it('says by which signal it ended', async () => {
    const killed = { exitCode: null, signal: 'SIGKILL' as const };
    await expect(installPackages(machine('ID=azurelinux', [killed]), ['a'])).rejects.toMatchObject({
      message: 'tdnf cannot install a: signal SIGKILL',
    });
  });

  it('says also why the lists could not be read, and a success does not', async () => {
    const update = { exitCode: 100, stderr: 'E: The repository has no Release file\n' };
    const install = { exitCode: 100, stderr: 'E: Unable to locate package a\n' };
    const error = await installPackages(machine(DEBIAN, [update, install]), ['a']).catch(String);
    expect(error).toMatch(/Unable to locate package a; before, .* no Release file/);
    await installPackages(machine(DEBIAN, [update]), ['a']);
  });

  it.each([
    [102, true],
    [103, true],
    [106, true],
    [107, false],
    [104, false],
    [8, false],
  ])('of zypper with exit code %i is a success: %s', async (exitCode, isDone) => {
    const outcome = await installPackages(machine('ID=sles\nVERSION_ID=15.5', [{ exitCode }]), ['a']).then(
      () => true,
      () => false,
    );
    expect(outcome).toBe(isDone);
    expect(calls).toHaveLength(1);
  });
});

describe('an installation while another program installs', () => {
  it.each<[string, Answer, string]>([
    [DEBIAN, APT_BUSY, 'apt'],
    [
      DEBIAN,
      { exitCode: 100, stderr: 'dpkg: error: dpkg frontend lock was locked by another process\n' },
      'dpkg',
    ],
    [DEBIAN, { exitCode: 100, stderr: 'E: Unable to lock directory /var/lib/apt/lists/\n' }, 'apt lists'],
    ['ID=rhel\nVERSION_ID=9', { exitCode: 200, stderr: 'Waiting…' }, 'dnf'],
    ['ID=fedora\nVERSION_ID=41', { exitCode: 1, stderr: 'Failed to obtain rpm transaction lock.' }, 'dnf 5'],
    [
      'ID=azurelinux',
      {
        exitCode: 1,
        stderr:
          "error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)",
      },
      'rpm',
    ],
    ['ID=sles\nVERSION_ID=15', { exitCode: 7, stdout: 'System management is locked' }, 'zypper'],
  ])('%#: is tried again: %3$s', async (osRelease, busy) => {
    await installPackages(machine(osRelease, [busy, busy]), ['curl'], { refresh: false });
    expect(calls).toHaveLength(3);
    expect(new Set(commands()).size).toBe(1);
  });

  it('waits for the lists and then for the installation', async () => {
    await installPackages(machine(DEBIAN, [APT_BUSY, {}, APT_BUSY]), ['curl']);
    expect(commands().map((command) => /update|install/.exec(command)?.[0])).toEqual([
      'update',
      'update',
      'install',
      'install',
    ]);
  });

  it('ends after the limit, all waiting together, with error 56 and what was said', async () => {
    const host = machine(DEBIAN, [...Array<Answer>(1_000).fill(APT_BUSY)]);
    await expect(installPackages(host, ['curl'], { limitMs: 30_000 })).rejects.toMatchObject({
      code: 'PACKAGE_MANAGER_LOCKED',
      exitCode: 56,
      message: expect.stringMatching(
        /^apt is still in use after 30 seconds: E: Could not get lock .* \(unattended-upgr\)/,
      ),
    });
    expect(elapsed).toBe(30_000);
  });

  it('does not start before a lock that can be seen is free', async () => {
    write('/var/lib/dpkg/lock', '');
    const { dev, ino } = statSync(join(root, 'var/lib/dpkg/lock'));
    const device = [(dev >> 8) & 0xfff, dev & 0xff].map((part) => part.toString(16).padStart(2, '0'));
    write('/proc/locks', `1: POSIX  ADVISORY  WRITE 812 ${device.join(':')}:${ino} 0 EOF\n`);
    write('/proc/812/comm', 'unattended-upgr\n');
    const waited: string[] = [];
    await installPackages(machine(DEBIAN), ['curl'], {
      onWait: ({ file, pid, program }) => {
        expect(calls).toEqual([]);
        waited.push(`${file} ${pid} ${program}`);
        write('/proc/locks', '');
      },
    });
    expect(waited).toEqual(['/var/lib/dpkg/lock 812 unattended-upgr']);
    expect(calls).toHaveLength(2);
  });

  it.each([
    ['E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)', 'no right'],
    ['E: Unable to acquire the dpkg frontend lock, are you root?', 'not root'],
    [
      'Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend.\nE: no space',
      'it waited itself',
    ],
  ])('%#: is not tried again when the lock is not the reason (%s: %s)', async (stderr) => {
    const host = machine(DEBIAN, [{ exitCode: 100, stderr }]);
    await expect(installPackages(host, ['curl'], { refresh: false })).rejects.toMatchObject({ exitCode: 52 });
    expect(calls).toHaveLength(1);
  });

  it('ends with the reason of an abort, while it installs and while it waits', async () => {
    const reason = new Error('superseded');
    const during = new AbortController();
    const abort = (): Partial<ExecResult> => {
      during.abort(reason);
      return { exitCode: null, signal: 'SIGTERM', aborted: true };
    };
    const host = machine(DEBIAN, [abort]);
    await expect(installPackages(host, ['curl'], { signal: during.signal })).rejects.toBe(reason);
    expect(calls[0]?.options.signal).toBe(during.signal);
    await expect(installPackages(host, ['curl'], { signal: during.signal })).rejects.toBe(reason);
    expect(calls).toHaveLength(1);
  });
});
