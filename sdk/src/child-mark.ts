/**
 * A mark in the environment of every command that a run starts: which process started it, and as which. What the command
 * starts inherits it. A worker that is killed between the start of a command and its note in the journal leaves a command
 * that only the mark tells; and of a group whose leader has ended, only the mark tells that its number was not given to
 * somebody else since.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Host } from './host.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { readBootId } from './process-identity.ts';

export interface MarkedProcess {
  readonly pid: number;
  /** The pid of the command that it belongs to, or of what has left that command for a session of its own. */
  readonly session: number;
  /** Ticks since boot at which it started. */
  readonly startTicks: number;
  /** As which command of its worker it was started, or what started it; the first is 1. */
  readonly number: number;
}

/** The environment of a command, with the mark that it is the `number`th of this worker. */
export function markEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  worker: ProcessIdentity,
  number: number,
): Record<string, string> {
  const entries = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { ...Object.fromEntries(entries), [VARIABLE]: `${worker.pid}.${worker.startTicks}.${number}` };
}

/** What runs of a worker of this boot, the oldest first. A process that has cleared its environment is not found. */
export function findMarkedProcesses(host: Host, worker: ProcessIdentity): readonly MarkedProcess[] {
  if (worker.bootId !== readBootId(host)) return [];
  const prefix = `${VARIABLE}=${worker.pid}.${worker.startTicks}.`;
  return listPids(host)
    .flatMap((pid) => readMarked(host, pid, prefix) ?? [])
    .sort((one, other) => one.startTicks - other.startTicks || one.pid - other.pid);
}

const VARIABLE = 'HANDLERKIT_COMMAND';

function listPids(host: Host): number[] {
  try {
    return readdirSync(host.path('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function readMarked(host: Host, pid: number, prefix: string): MarkedProcess | undefined {
  try {
    const environment = readFileSync(host.path(`/proc/${pid}/environ`), 'utf8').split('\0');
    const mark = environment.find((line) => line.startsWith(prefix));
    if (mark === undefined) return undefined;
    const stat = readFileSync(host.path(`/proc/${pid}/stat`), 'utf8');
    // As the program's name may hold anything, the fields are counted from its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      pid,
      session: Number(fields[3]),
      startTicks: Number(fields[19]),
      number: Number(mark.slice(prefix.length)),
    };
  } catch {
    // Ended, or of another user, which only a handler that is not root cannot read.
    return undefined;
  }
}
