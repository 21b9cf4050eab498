/**
 * Which process it was: pid, start time and boot. A pid alone is used again; these three together are not.
 */
import { readFileSync } from 'node:fs';
import type { Host } from './host.ts';
import { readTextIfThere } from './whole-file.ts';

export interface ProcessIdentity {
  readonly pid: number;
  /** Ticks since boot at which the process started, as the kernel counts them. */
  readonly startTicks: number;
  readonly bootId: string;
}

/** The identity of a running process; `undefined` when it has ended (a zombie has, too). */
export function identifyProcess(host: Host, pid: number): ProcessIdentity | undefined {
  const startTicks = readStartTicks(host, pid);
  return startTicks === undefined ? undefined : { pid, startTicks, bootId: readBootId(host) };
}

/** True while just that process runs, in this boot. */
export function isRunning(host: Host, identity: ProcessIdentity): boolean {
  return identity.bootId === readBootId(host) && readStartTicks(host, identity.pid) === identity.startTicks;
}

/** The id of this boot of the machine; empty where the kernel gives none. */
export function readBootId(host: Host): string {
  return (readTextIfThere(host.path('/proc/sys/kernel/random/boot_id')) ?? '').trim();
}

function readStartTicks(host: Host, pid: number): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(host.path(`/proc/${pid}/stat`), 'utf8');
  } catch {
    return undefined;
  }
  // The program's name is in parentheses and may hold anything, so the fields are counted from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  if (state === 'Z' || state === 'X') return undefined;
  return Number(fields[19]);
}
