/**
 * The lock around the moments in which a handler decides and records: which sequence runs, how it ended, which version
 * owns the data. It is held for milliseconds, never while the author's code runs; that a run is alive is told by the
 * journal. The lock is a symbolic link whose target names the holder: it is made and read in one step each, so it is
 * never half there, and a holder that died, also before a restart of the machine, is known at once and without a clock.
 */
import { readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { HandlerError, isSystemError } from './errors.ts';
import type { Host } from './host.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { identifyProcess, isRunning } from './process-identity.ts';

/** The lock's name inside the data folder. */
export const LOCK_NAME = '.lock';
/** Milliseconds after which a process gives up that waits for a holder who lives. */
export const LOCK_WAIT_MS = 30_000;
const POLL_MS = 15;

/**
 * Runs `work` while holding the lock in `folder` (an absolute path of the VM), which must exist. Waits for another
 * process up to {@link LOCK_WAIT_MS}, then throws `LOCKED`. A stopped holder still holds it; a dead one does not.
 */
export async function withLock<T>(host: Host, folder: string, work: () => T | Promise<T>): Promise<T> {
  const path = host.path(join(folder, LOCK_NAME));
  const holder = formatHolder(identifyProcess(host, process.pid));
  const since = host.elapsedMs();
  while (!takeLock(host, path, holder)) {
    if (host.elapsedMs() - since > LOCK_WAIT_MS) {
      throw new HandlerError(
        'LOCKED',
        `process ${readHolder(path)?.pid ?? '?'} holds the lock ${join(folder, LOCK_NAME)}; try again when it has ended`,
      );
    }
    // Not all at the same moment: fifty waiters would hinder the one that holds it.
    await host.sleep(POLL_MS * (0.5 + Math.random()));
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

/** Removes the place in the row of a process that was killed while it replaced an abandoned lock. Called under the lock. */
export function removeAbandonedTurn(host: Host, folder: string): void {
  const turn = turnPath(host.path(join(folder, LOCK_NAME)));
  if (isAbandoned(host, turn)) rmSync(turn, { force: true });
}

/** True when the lock is ours now. */
function takeLock(host: Host, path: string, holder: string): boolean {
  if (makeLink(holder, path)) return true;
  return isAbandoned(host, path) && replaceAbandoned(host, path, holder);
}

/**
 * Takes over the lock of a dead holder. Only one process at a time may look and replace, so the place for that is itself
 * taken with a link; it is given back microseconds later, and one that was left by a process killed just then is removed.
 */
function replaceAbandoned(host: Host, path: string, holder: string): boolean {
  const turn = turnPath(path);
  if (!makeLink(holder, turn)) {
    if (isAbandoned(host, turn)) rmSync(turn, { force: true });
    return false;
  }
  try {
    if (!isAbandoned(host, path)) return false;
    const fresh = `${path}.${process.pid}.tmp`;
    rmSync(fresh, { force: true });
    symlinkSync(holder, fresh);
    renameSync(fresh, path);
    return true;
  } finally {
    rmSync(turn, { force: true });
  }
}

function turnPath(path: string): string {
  return `${path}.turn`;
}

/** True when a lock is there whose holder has died. One that names nobody was left by a power failure. */
function isAbandoned(host: Host, path: string): boolean {
  let target: string;
  try {
    target = readlinkSync(path);
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return false;
    if (!isSystemError(thrown, 'EINVAL')) throw thrown;
    throw new HandlerError(
      'STATE_UNUSABLE',
      `${path} is no lock of this extension; move it away and apply the settings again`,
    );
  }
  const holder = parseHolder(target);
  return holder === undefined || !isRunning(host, holder);
}

function readHolder(path: string): ProcessIdentity | undefined {
  try {
    return parseHolder(readlinkSync(path));
  } catch {
    return undefined;
  }
}

function makeLink(target: string, path: string): boolean {
  try {
    symlinkSync(target, path);
    return true;
  } catch (thrown) {
    if (isSystemError(thrown, 'EEXIST')) return false;
    throw thrown;
  }
}

function formatHolder(identity: ProcessIdentity | undefined): string {
  return `${identity?.pid ?? process.pid}:${identity?.startTicks ?? -1}:${identity?.bootId ?? ''}`;
}

function parseHolder(target: string): ProcessIdentity | undefined {
  const match = /^(\d+):(-?\d+):(.*)$/.exec(target);
  return match === null
    ? undefined
    : { pid: Number(match[1]), startTicks: Number(match[2]), bootId: match[3] ?? '' };
}
