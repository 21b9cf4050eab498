/**
 * Which process holds a kernel lock (fcntl or flock) on a file, found out without taking the lock: nobody else is kept
 * from it, and a lock file that does not exist is not made. Source: proc_locks(5), proc_pid_fdinfo(5).
 */
import type { BigIntStats } from 'node:fs';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { Host } from './host.ts';

/** A process that holds a lock on a file. */
export interface LockHolder {
  /** `undefined` when the kernel does not say: a lock of an open file, not of a process. */
  readonly pid: number | undefined;
  /** Name of the program, at most 15 characters, as the kernel has it; `undefined` when it has ended meanwhile. */
  readonly program: string | undefined;
}

/**
 * The process that holds a lock on `file` (an absolute path of the VM); `undefined` when nobody does, when there is no
 * such file, and when the holder is hidden in another process namespace.
 */
export function findLockHolder(host: Host, file: string): LockHolder | undefined {
  const stats = statIfThere(host.path(file));
  if (stats === undefined) return undefined;
  const locks = readLocks(host);
  const place = formatPlace(stats);
  const found = locks.find((lock) => lock.place === place);
  if (found !== undefined) return describeProcess(host, found.pid);
  // On btrfs and some overlays the kernel's table has another device or inode than stat, so each holder's own files decide.
  const pids = new Set(locks.map((lock) => lock.pid).filter((pid) => pid !== undefined));
  const pid = [...pids].find((candidate) => hasLocked(host, candidate, stats));
  return pid === undefined ? undefined : describeProcess(host, pid);
}

/** The process with its program's name. */
export function describeProcess(host: Host, pid: number | undefined): LockHolder {
  const program = pid === undefined ? '' : readIfThere(host.path(`/proc/${pid}/comm`)).trim();
  return { pid, program: program === '' ? undefined : program };
}

interface KernelLock {
  readonly pid: number | undefined;
  /** Device and inode as the table prints them. */
  readonly place: string;
}

/** A line that begins with an arrow is of a process that waits, not of one that holds; leases keep nobody out. */
const LOCK_ROW = /^\d+: (?:POSIX|FLOCK|OFDLCK) +\S+ +\S+ +(-?\d+) ([0-9a-f]+:[0-9a-f]+:\d+) /;

function readLocks(host: Host): KernelLock[] {
  return readIfThere(host.path('/proc/locks'))
    .split('\n')
    .flatMap((line) => {
      const [, pid, place] = LOCK_ROW.exec(line) ?? [];
      return place === undefined ? [] : [{ pid: Number(pid) > 0 ? Number(pid) : undefined, place }];
    });
}

/** `major:minor:inode`, the first two in hexadecimal with at least two digits. */
function formatPlace({ dev, ino }: BigIntStats): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn & 0xffffffffn);
  const hex = (part: bigint): string => part.toString(16).padStart(2, '0');
  return `${hex(major)}:${hex(minor)}:${ino}`;
}

/** True when the process has this very file open and locked. */
function hasLocked(host: Host, pid: number, file: BigIntStats): boolean {
  const folder = host.path(`/proc/${pid}`);
  return listIfThere(`${folder}/fd`).some((number) => {
    const open = statIfThere(`${folder}/fd/${number}`);
    if (open === undefined || open.ino !== file.ino || open.dev !== file.dev) return false;
    return readIfThere(`${folder}/fdinfo/${number}`)
      .split('\n')
      .some((line) => line.startsWith('lock:') && LOCK_ROW.test(line.slice('lock:'.length).trim()));
  });
}

// Processes come and go while they are looked at: what is gone holds nothing.

function statIfThere(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function listIfThere(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
