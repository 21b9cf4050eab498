/**
 * Waits until no other program changes the machine's packages. The lock files are only looked at, never taken: their
 * holder is seen in the kernel's table of locks, or in the pid file that dnf, yum and zypper write instead.
 * Source: the programs' own lock files; docs-and-reliability 1.1 (exit code 56); sdk-anchors 4, row 31.
 */
import { readFileSync } from 'node:fs';
import type { PackageManager } from './distribution.ts';
import { readDistribution } from './distribution.ts';
import { HandlerError } from './errors.ts';
import type { LockHolder } from './file-lock-holder.ts';
import { describeProcess, findLockHolder } from './file-lock-holder.ts';
import type { Host } from './host.ts';
import { identifyProcess } from './process-identity.ts';

/** A lock of a package manager that another program holds. */
export interface PackageManagerLock extends LockHolder {
  /** Absolute path of the lock file. */
  readonly file: string;
}

/** How long, and how, to wait for a package manager. */
export interface PackageManagerWaitOptions {
  /** Milliseconds to wait at most; default four minutes, which an enable that is not detached has. 0 looks once. */
  readonly limitMs?: number;
  readonly signal?: AbortSignal;
  /** Called when the waiting begins, and again whenever another process or file is what is waited for. */
  readonly onWait?: (lock: PackageManagerLock) => void | Promise<void>;
}

/** The agent ends an enable after five minutes. */
export const DEFAULT_PACKAGE_MANAGER_LIMIT_MS = 240_000;
/** Milliseconds between two looks. */
export const PACKAGE_MANAGER_POLL_MS = 500;

/**
 * Waits until nobody holds a lock of the distribution's package manager. Throws `PACKAGE_MANAGER_LOCKED` (exit code 56)
 * after the limit, with the lock file, the holder's pid and its program; the signal's reason when it is aborted; and
 * `UNSUPPORTED_SYSTEM` where no package manager is known. Takes no lock itself: another program may be faster.
 */
export async function waitForPackageManager(
  host: Host,
  options: PackageManagerWaitOptions = {},
): Promise<void> {
  await waitForLocks(host, await requirePackageManager(host), options);
}

/** Who keeps the distribution's package manager from working just now; `undefined` when nobody does. */
export async function findPackageManagerLock(host: Host): Promise<PackageManagerLock | undefined> {
  return findLock(host, await requirePackageManager(host));
}

/** The distribution's package manager. Throws `UNSUPPORTED_SYSTEM` where none is known. */
export async function requirePackageManager(host: Host): Promise<PackageManager> {
  const { name, id, packageManager } = await readDistribution(host);
  if (packageManager !== undefined) return packageManager;
  throw new HandlerError(
    'UNSUPPORTED_SYSTEM',
    `no package manager is known for ${name} (${id}); use a VM image with apt, dnf, yum, zypper or tdnf`,
  );
}

/** The same as {@link waitForPackageManager}, for a package manager that is known already. */
export async function waitForLocks(
  host: Host,
  packageManager: PackageManager,
  options: PackageManagerWaitOptions,
): Promise<void> {
  const limitMs = options.limitMs ?? DEFAULT_PACKAGE_MANAGER_LIMIT_MS;
  const start = host.elapsedMs();
  let told = '';
  while (true) {
    options.signal?.throwIfAborted();
    const lock = findLock(host, packageManager);
    if (lock === undefined) return;
    const left = limitMs - (host.elapsedMs() - start);
    if (left <= 0) throw lockedError(lock, limitMs);
    if (told !== describe(lock)) {
      told = describe(lock);
      await options.onWait?.(lock);
    }
    await host.sleep(Math.min(PACKAGE_MANAGER_POLL_MS, left), options.signal);
  }
}

/** Programs of the rpm family look at each other's locks, and more than one of them may be installed. */
const RPM_LOCKS = {
  files: [
    '/var/lib/rpm/.rpm.lock',
    '/usr/lib/sysimage/rpm/.rpm.lock',
    '/run/dnf/rpmtransaction.lock',
    '/run/.tdnf-instance-lockfile',
  ],
  pidFiles: [
    '/run/yum.pid',
    '/var/cache/dnf/metadata_lock.pid',
    '/var/cache/dnf/download_lock.pid',
    '/var/lib/dnf/rpmdb_lock.pid',
    '/run/zypp.pid',
  ],
};
const DPKG_LOCKS = {
  files: [
    '/var/lib/dpkg/lock-frontend',
    '/var/lib/dpkg/lock',
    '/var/lib/apt/lists/lock',
    '/var/cache/apt/archives/lock',
  ],
  pidFiles: [],
};

function findLock(host: Host, packageManager: PackageManager): PackageManagerLock | undefined {
  const { files, pidFiles } = packageManager === 'apt' ? DPKG_LOCKS : RPM_LOCKS;
  for (const file of files) {
    const holder = findLockHolder(host, file);
    if (holder !== undefined) return { file, ...holder };
  }
  for (const file of pidFiles) {
    const pid = readPid(host.path(file));
    // The programs themselves believe the file for as long as there is a process of this number.
    if (pid !== undefined && identifyProcess(host, pid) !== undefined) {
      return { file, ...describeProcess(host, pid) };
    }
  }
  return undefined;
}

function readPid(path: string): number | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim();
    return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

function lockedError(lock: PackageManagerLock, limitMs: number): HandlerError {
  return new HandlerError(
    'PACKAGE_MANAGER_LOCKED',
    `the package manager is still in use after ${Math.round(limitMs / 1000)} seconds: ${describe(lock)}; ` +
      'wait until it has finished, or end it, and try again',
  );
}

function describe({ file, pid, program }: PackageManagerLock): string {
  const holder = pid === undefined ? 'another process' : `process ${pid}${program ? ` (${program})` : ''}`;
  return `${file} is held by ${holder}`;
}
