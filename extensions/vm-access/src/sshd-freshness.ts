/**
 * Whether the sshd that runs has read its configuration as it is now. sshd reads it when it starts and when it is told to;
 * a file that was changed since, by hand or by a run that was killed, has no effect yet, whatever `sshd -T` says.
 */
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { readTextIfThere, writeWholeFile } from '@handlerkit/sdk';
import * as z from 'zod';
import { SSH_FOLDER } from './sshd-pattern.ts';
import type { SshdListener } from './sshd-process.ts';
import type { SshdFile } from './sshd-tree.ts';
import { hostFiles, listFiles, readSshdTree } from './sshd-tree.ts';
import type { StepContext } from './step.ts';

/** True when a file of the configuration is younger than what one of `listeners` has read. */
export function isConfigNewer(context: StepContext, listeners: readonly SshdListener[]): boolean {
  const { host } = context;
  const record = readRecord(context);
  const files = listFiles(readSshdTree(hostFiles(host)));
  const changed = Math.max(
    0,
    ...files.flatMap((file) => [file.path, ...foldersOf(file)]).map((path) => changeTime(host, path)),
  );
  return listeners.some((listener) => {
    const recorded = record?.listeners.includes(identify(listener)) === true ? record.at : undefined;
    return changed > (recorded === undefined ? startTime(host, listener.pid) : Date.parse(recorded));
  });
}

/** Remembers that `listeners` have read the configuration as it was at `at`. */
export function recordRead(context: StepContext, listeners: readonly SshdListener[], at: Date): void {
  const { host, dataFolder } = context;
  mkdirSync(host.path(dataFolder), { recursive: true, mode: 0o700 });
  const record: ReadRecord = { at: at.toISOString(), listeners: listeners.map(identify) };
  writeWholeFile(host.path(join(dataFolder, RECORD_FILE)), `${JSON.stringify(record)}\n`);
}

const RECORD_FILE = 'sshd-read.json';
const RECORD = z.object({ at: z.iso.datetime(), listeners: z.array(z.string()) });
type ReadRecord = z.infer<typeof RECORD>;

/** Ticks of a second in `/proc`: the same on every Linux that this runs on. */
const TICKS = 100;
/** The time at which the machine was started is told in whole seconds. */
const UNCERTAIN_MS = 1_000;

/** A process of sshd at one reading: it opens its sockets anew when it reads again. */
function identify({ pid, sockets }: SshdListener): string {
  return `${pid}:${sockets.map(({ inode }) => inode).join(',')}`;
}

function readRecord({ host, dataFolder }: StepContext): ReadRecord | undefined {
  try {
    const text = readTextIfThere(host.path(join(dataFolder, RECORD_FILE)));
    return text === undefined ? undefined : RECORD.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Folders in which an `Include` looks with a pattern: a file that is gone shows there. */
function foldersOf(file: SshdFile): readonly string[] {
  return (
    file.directives
      .filter(({ keyword }) => keyword === 'include')
      .flatMap(({ args }) => args)
      .map((pattern) => dirname(resolve(SSH_FOLDER, pattern)))
      // Others write to that one too.
      .filter((folder) => folder !== SSH_FOLDER)
  );
}

function changeTime(host: Host, path: string): number {
  return statSync(host.path(path), { throwIfNoEntry: false })?.ctimeMs ?? 0;
}

/** When a process was started, in milliseconds of the epoch, rather too early; 0 when it is gone. */
function startTime(host: Host, pid: number): number {
  try {
    const boot = /^btime (\d+)$/m.exec(readFileSync(host.path('/proc/stat'), 'utf8'))?.[1];
    const stat = readFileSync(host.path(`/proc/${pid}/stat`), 'utf8');
    // The name may hold spaces and brackets.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return Number(boot) * 1_000 + (Number(ticks) / TICKS) * 1_000 - UNCERTAIN_MS;
  } catch {
    return 0;
  }
}
