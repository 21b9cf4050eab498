/**
 * The lock around the moments in which a handler decides and records: which sequence runs, how it ended, which version
 * owns the data. It is held for milliseconds, never while the author's code runs; that a run is alive is told by the
 * journal. The lock is a symbolic link whose target names the holder: it is made and read in one step each, so it is
 * never half there, and a holder that died, also before a restart of the machine, is known at once and without a clock.
 */
import { readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
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
/** Between the lock's name and that of a dead process: the place of its heir. */
const TURN_SUFFIX = '.turn';

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

/**
 * Removes the places that processes killed while they took over have left. Called under the lock, whose holder lives, so
 * that none of them counts.
 */
export function removeAbandonedTurns(host: Host, folder: string): void {
  const path = host.path(folder);
  for (const name of readdirSync(path)) {
    if (name.startsWith(`${LOCK_NAME}${TURN_SUFFIX}`)) rmSync(join(path, name), { force: true });
  }
}

/** True when the lock is ours now. */
function takeLock(host: Host, path: string, holder: string): boolean {
  if (makeLink(holder, path)) return true;
  const former = readTarget(path);
  return former !== undefined && isDead(host, former) && takeOver(host, path, former, holder);
}

/**
 * Takes over from a dead holder. Each dead process has one place for its heir, a link that only the first can make; the heir
 * of an heir who died, too, is the next in turn. So one at a time may replace the lock, whoever is killed in between. The
 * places go when the lock has another holder: who makes one afterwards sees that.
 */
function takeOver(host: Host, path: string, former: string, holder: string): boolean {
  const places = claimPlaces(host, path, former, holder);
  const own = places.at(-1);
  if (own === undefined) return false;
  let done: readonly string[] = [own];
  try {
    if (readTarget(path) === former) {
      const fresh = `${path}.${process.pid}.tmp`;
      rmSync(fresh, { force: true });
      symlinkSync(holder, fresh);
      renameSync(fresh, path);
      done = places;
      return true;
    }
    done = places;
    return false;
  } finally {
    for (const place of done) rmSync(place, { force: true });
  }
}

/** The places of the dead one's heirs, of which the last is this process's own now; none while an heir lives. */
function claimPlaces(host: Host, path: string, dead: string, holder: string): readonly string[] {
  const place = `${path}${TURN_SUFFIX}.${dead.replaceAll(/[^\w:-]/g, '_')}`;
  if (makeLink(holder, place)) return [place];
  const heir = readTarget(place);
  if (heir === undefined || !isDead(host, heir)) return [];
  if (heir === dead) {
    // Left by a power failure: nobody inherits from himself.
    rmSync(place, { force: true });
    return [];
  }
  const further = claimPlaces(host, path, heir, holder);
  return further.length === 0 ? [] : [place, ...further];
}

/** Whom a lock or a place names; `undefined` when it is not there. */
function readTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    if (!isSystemError(thrown, 'EINVAL')) throw thrown;
    throw new HandlerError(
      'STATE_UNUSABLE',
      `${path} is no lock of this extension; move it away and apply the settings again`,
    );
  }
}

/** True of a holder that has ended. One that names nobody was left by a power failure. */
function isDead(host: Host, target: string): boolean {
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
