/**
 * Facts about processes, read from a mounted proc file system.
 * Source: proc(5), `/proc/pid/stat`, `/proc/pid/environ`, `/proc/pid/task/tid/children`.
 * A number alone never names a process here: numbers are used again, so the start time goes with it.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isSystemError } from '@handlerkit/sdk';

export interface ProcessName {
  readonly pid: number;
  /** Boot id of the kernel and clock ticks since then. */
  readonly started: string;
}

export interface ProcessStat {
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  readonly startTicks: string;
}

/** One row of `/proc/pid/stat`; `undefined` when there is no such process. `proc` is another mount of proc. */
export function readProcess(pid: number, proc = '/proc'): ProcessStat | undefined {
  const text = read(`${proc}/${pid}/stat`);
  if (text === undefined) return undefined;
  // The program's name is in parentheses and may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: fields[0] ?? '',
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    startTicks: fields[19] ?? '',
  };
}

/** The name under which a living process can be found again; `undefined` when it is gone or a zombie. */
export function nameProcess(pid: number): ProcessName | undefined {
  const stat = readProcess(pid);
  if (stat === undefined || stat.state === 'Z' || stat.state === 'X') return undefined;
  return { pid, started: `${kernelBootId()}/${stat.startTicks}` };
}

export function isAlive(name: ProcessName): boolean {
  return nameProcess(name.pid)?.started === name.started;
}

/** Numbers of all processes that `proc` shows; none when it cannot be read. */
export function listProcesses(proc = '/proc'): number[] {
  try {
    return readdirSync(proc)
      .filter((entry) => /^\d+$/.test(entry))
      .map(Number);
  } catch {
    return [];
  }
}

/** Children of a process. Kernels without `children` are served by a walk through all processes. */
export function childrenOf(pid: number): number[] {
  const text = read(`/proc/${pid}/task/${pid}/children`);
  if (text !== undefined) return text.split(' ').filter(Boolean).map(Number);
  return listProcesses().filter((other) => readProcess(other)?.parent === pid);
}

/** Living processes, other than this one, that were started with `entry` (`NAME=value`) in their environment. */
export function processesWithEnvironment(entry: string): number[] {
  return listProcesses().filter((pid) => {
    if (pid === process.pid || nameProcess(pid) === undefined) return false;
    return (read(`/proc/${pid}/environ`) ?? '').split('\0').includes(entry);
  });
}

/** Boot id of the running kernel. */
export function kernelBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Names the pid namespace of this process on this boot: outside of it, its process numbers mean nothing. */
export function pidNamespace(): string {
  return `${kernelBootId()}/${readlinkSync('/proc/self/ns/pid')}`;
}

/** Sends SIGKILL to a process (or with a negative number to its group), unless it is gone or another user's. */
export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isSystemError(error, 'ESRCH') && !isSystemError(error, 'EPERM')) throw error;
  }
}

/** True while a process of the group lives. Zombies do not count: an orphan's may stay where process 1 is slow. */
export function isGroupAlive(group: number): boolean {
  return listProcesses().some((pid) => {
    const stat = readProcess(pid);
    return stat?.group === group && stat.state !== 'Z' && stat.state !== 'X';
  });
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Gone in the meantime, or of another user.
    return undefined;
  }
}
