import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Host } from './host.ts';
import { createHost } from './host.ts';
import type { PackageManagerLock } from './package-manager-lock.ts';
import { findPackageManagerLock, waitForPackageManager } from './package-manager-lock.ts';

let root: string;
let host: Host;
let holders: ChildProcess[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-locks-'));
  holders = [];
  const real = createHost({});
  // The files are below the root; processes and their locks are the machine's own. A look is taken each 5 ms.
  host = {
    ...real,
    root,
    path: (absolute) => (absolute.startsWith('/proc/') ? absolute : join(root, absolute)),
    sleep: (ms, signal) => real.sleep(Math.min(ms, 5), signal),
  };
});
afterEach(async () => {
  await Promise.all(holders.map(end));
  rmSync(root, { recursive: true, force: true });
});

const write = (file: string, text: string): void => {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
};
const useDistribution = (id: string): void => write('/etc/os-release', `ID=${id}\n`);

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** A process that holds the lock of `file` until it is ended, or only has the file open. */
async function hold(
  file: string,
  lock: 'lockf' | 'flock' | 'none' = 'lockf',
  alsoOpen = file,
): Promise<ChildProcess> {
  write(file, '');
  write(alsoOpen, '');
  const take = lock === 'none' ? '' : `fcntl.${lock}(f, fcntl.LOCK_EX)`;
  const program = `import fcntl,sys\nf=open(sys.argv[1],'r+')\ng=open(sys.argv[2])\n${take}\nprint('held',flush=True)\nsys.stdin.read()`;
  const child = spawn('python3', ['-c', program, join(root, file), join(root, alsoOpen)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  holders.push(child);
  await once(child.stdout, 'data');
  return child;
}

describe('a package manager', () => {
  it.each([
    ['debian', '/var/lib/dpkg/lock-frontend', 'lockf'],
    ['debian', '/var/lib/dpkg/lock', 'lockf'],
    ['ubuntu', '/var/lib/apt/lists/lock', 'lockf'],
    ['ubuntu', '/var/cache/apt/archives/lock', 'lockf'],
    ['rhel', '/var/lib/rpm/.rpm.lock', 'lockf'],
    ['sles', '/usr/lib/sysimage/rpm/.rpm.lock', 'lockf'],
    ['fedora', '/run/dnf/rpmtransaction.lock', 'lockf'],
    ['azurelinux', '/run/.tdnf-instance-lockfile', 'flock'],
  ] as const)('of %s is in use while a process holds %s', async (id, file, lock) => {
    useDistribution(id);
    const child = await hold(file, lock);
    expect(await findPackageManagerLock(host)).toEqual({
      file,
      pid: child.pid,
      program: expect.stringMatching(/^python/),
    });
    await end(child);
    expect(await findPackageManagerLock(host)).toBeUndefined();
  });

  it.each([
    ['rhel', '/run/yum.pid'],
    ['rhel', '/var/cache/dnf/metadata_lock.pid'],
    ['rhel', '/var/cache/dnf/download_lock.pid'],
    ['rhel', '/var/lib/dnf/rpmdb_lock.pid'],
    ['sles', '/run/zypp.pid'],
  ])('of %s is in use while the process that %s names runs', async (id, file) => {
    useDistribution(id);
    const child = await hold('/unrelated', 'none');
    write(file, `${child.pid}\n`);
    expect(await findPackageManagerLock(host)).toMatchObject({ file, pid: child.pid });
    await end(child);
    expect(await findPackageManagerLock(host)).toBeUndefined();
  });

  it.each(['', '0', '-1', 'pid', '99999999999999999999', '1 2'])(
    'is free with a pid file that says %j',
    async (text) => {
      useDistribution('rhel');
      write('/run/yum.pid', text);
      expect(await findPackageManagerLock(host)).toBeUndefined();
    },
  );

  it('is free when its lock files are there, open, or locked by nobody', async () => {
    useDistribution('debian');
    expect(await findPackageManagerLock(host)).toBeUndefined();
    await hold('/var/lib/dpkg/lock', 'none');
    write('/var/lib/apt/lists/lock', '');
    expect(await findPackageManagerLock(host)).toBeUndefined();
  });

  it('is free while its lock files are missing, and none is made', async () => {
    useDistribution('debian');
    await waitForPackageManager(host, { limitMs: 0 });
    expect(existsSync(join(root, 'var'))).toBe(false);
  });

  it('is seen in use where the table of locks has another device and inode than the file', async () => {
    useDistribution('debian');
    const child = await hold('/var/lib/dpkg/lock');
    // It holds a lock of something else, and has the file open, but not locked.
    const open = await hold('/var/lib/dpkg/other', 'lockf', '/var/lib/dpkg/lock');
    write(
      '/locks',
      `1: POSIX  ADVISORY  WRITE ${open.pid} 00:2c:111 0 EOF\n` +
        `2: POSIX  ADVISORY  WRITE ${child.pid} 00:2c:222 0 EOF\n`,
    );
    const there = {
      ...host,
      path: (path: string) => (path === '/proc/locks' ? join(root, 'locks') : host.path(path)),
    };
    expect(await findPackageManagerLock(there)).toMatchObject({ file: '/var/lib/dpkg/lock', pid: child.pid });
  });

  it.each([
    ['1: OFDLCK ADVISORY  WRITE -1 PLACE 0 EOF', true, 'a lock of an open file'],
    ['1: POSIX  ADVISORY  READ  1 PLACE 0 EOF', true, 'a lock for reading'],
    ['1: -> POSIX  ADVISORY  WRITE 1 PLACE 0 EOF', false, 'a process that waits'],
    ['1: LEASE  ACTIVE    READ  1 PLACE 0 EOF', false, 'a lease'],
    ['1: POSIX  ADVISORY  WRITE 1 PLACE1 0 EOF', false, 'another inode'],
    ['nonsense', false, 'no lock at all'],
  ])('%#: %s is in use: %s (%s)', async (row, isLocked) => {
    useDistribution('debian');
    write('/var/lib/dpkg/lock', '');
    const { dev, ino } = statSync(join(root, 'var/lib/dpkg/lock'));
    const hex = (part: number): string => part.toString(16).padStart(2, '0');
    const place = `${hex((dev >> 8) & 0xfff)}:${hex(dev & 0xff)}:${ino}`;
    write('/locks', `${row.replace('PLACE', place)}\n`);
    const there = {
      ...host,
      path: (path: string) => (path === '/proc/locks' ? join(root, 'locks') : host.path(path)),
    };
    expect((await findPackageManagerLock(there)) !== undefined).toBe(isLocked);
  });

  it('that is not known is error 51', async () => {
    useDistribution('flatcar');
    await expect(waitForPackageManager(host)).rejects.toMatchObject({
      code: 'UNSUPPORTED_SYSTEM',
      message: expect.stringContaining('flatcar'),
    });
  });
});

describe('waiting for the package manager', () => {
  it('ends when the holder ends, and says once what it waits for', async () => {
    useDistribution('debian');
    const child = await hold('/var/lib/dpkg/lock-frontend');
    const waited: PackageManagerLock[] = [];
    await waitForPackageManager(host, {
      onWait: async (lock) => {
        waited.push(lock);
        await end(child);
      },
    });
    expect(waited).toEqual([
      { file: '/var/lib/dpkg/lock-frontend', pid: child.pid, program: expect.any(String) },
    ]);
  });

  it('says again when another process is what it waits for', async () => {
    useDistribution('debian');
    const first = await hold('/var/lib/dpkg/lock-frontend');
    const second = await hold('/var/lib/apt/lists/lock');
    const waited: (number | undefined)[] = [];
    await waitForPackageManager(host, {
      onWait: async ({ pid }) => {
        waited.push(pid);
        await end(pid === first.pid ? first : second);
      },
    });
    expect(waited).toEqual([first.pid, second.pid]);
  });

  it('ends after the limit with error 56, the file, the pid and the program', async () => {
    useDistribution('debian');
    const child = await hold('/var/lib/dpkg/lock');
    let elapsed = 0;
    const slow: Host = {
      ...host,
      elapsedMs: () => elapsed,
      sleep: async (ms) => {
        elapsed += ms;
      },
    };
    const error = await waitForPackageManager(slow, { limitMs: 60_200 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'PACKAGE_MANAGER_LOCKED',
      exitCode: 56,
      message: expect.stringMatching(
        new RegExp(`after 60 seconds: /var/lib/dpkg/lock is held by process ${child.pid} \\(python[^)]*\\);`),
      ),
    });
    expect(elapsed).toBe(60_200);
  });

  it('ends with the reason of an abort, before it and during it', async () => {
    useDistribution('debian');
    await hold('/var/lib/dpkg/lock');
    const reason = new Error('superseded');
    await expect(waitForPackageManager(host, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const onWait = (): void => controller.abort(reason);
    await expect(waitForPackageManager(host, { signal: controller.signal, onWait })).rejects.toBe(reason);
  });
});
