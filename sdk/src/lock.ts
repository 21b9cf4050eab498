/**
 * The lock around the moments in which a handler decides and records: which sequence runs, how it ended, which version
 * owns the data. It is held for milliseconds, never while the author's code runs; that a run is alive is told by the
 * journal. A lock whose holder died is taken over after {@link STALE_MS}.
 */
import { join } from 'node:path';
import { HandlerError, isSystemError } from './errors.ts';

/** Milliseconds after which a lock that nobody refreshes counts as left behind. */
const STALE_MS = 5_000;
const WAIT_MS = 50;
const ATTEMPTS = 600;

/**
 * Runs `work` while holding the lock in `folder`, which must exist. Waits up to half a minute for another process, then
 * throws `LOCKED`.
 */
export async function withLock<T>(folder: string, work: () => T | Promise<T>): Promise<T> {
  // Loaded when needed: an operation that takes no lock does not pay for it.
  const { default: lockfile } = await import('proper-lockfile');
  let release: () => Promise<void>;
  try {
    release = await lockfile.lock(folder, {
      lockfilePath: join(folder, LOCK_NAME),
      realpath: false,
      stale: STALE_MS,
      retries: { retries: ATTEMPTS, factor: 1, minTimeout: WAIT_MS, maxTimeout: WAIT_MS, randomize: true },
      // A lock lost to a clock jump or a long stall is noticed when it is released; what was written is whole anyway.
      onCompromised: () => undefined,
    });
  } catch (cause) {
    if (!isSystemError(cause, 'ELOCKED')) throw cause;
    throw new HandlerError(
      'LOCKED',
      `another process holds the lock in ${folder}; try again when it has ended`,
      { cause },
    );
  }
  try {
    return await work();
  } finally {
    await release().catch(() => undefined);
  }
}

/** The lock's name inside the data folder. */
export const LOCK_NAME = '.lock';
