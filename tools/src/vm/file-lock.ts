/**
 * Locks between tool processes that the kernel gives back when their owner dies, so none is ever stale.
 * Node has no flock(2); flock(1) locks the open file that it inherits, and the lock then stays with our own descriptor.
 * Source: flock(2), flock(1).
 */
import { spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { MachineError } from './machine-error.ts';

export interface FileLock {
  release(): void;
}

/** Seconds that another tool may hold a lock before this one gives up. */
const PATIENCE_SECONDS = 60;

/**
 * Waits for a lock on the file `path`, made with its folder when it is missing.
 * Throws `vm-locked` after a minute.
 */
export async function lockFile(path: string, kind: 'exclusive' | 'shared', flock: string): Promise<FileLock> {
  for (;;) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openLockFile(path);
    try {
      await flockDescriptor(fd, kind, flock, path);
      // The folder may have been deleted while we waited: then the lock is on a file that nobody else will see.
      if (isStillAt(fd, path)) return { release: once(() => closeSync(fd)) };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
  }
}

/** Opens a lock file as a descriptor of its own, for a child that locks it itself. */
export function openLockFile(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
}

function flockDescriptor(
  fd: number,
  kind: 'exclusive' | 'shared',
  flock: string,
  path: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(flock, [`--${kind}`, '--timeout', String(PATIENCE_SECONDS), '3'], {
      stdio: ['ignore', 'ignore', 'ignore', fd],
      env: {},
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) return resolve();
      reject(
        new MachineError(
          'vm-locked',
          `Another handlerkit process has held ${path} for ${PATIENCE_SECONDS} seconds.`,
          'Wait for that process, or end it, and run the command again.',
        ),
      );
    });
  });
}

function isStillAt(fd: number, path: string): boolean {
  const held = fstatSync(fd);
  const there = statSync(path, { throwIfNoEntry: false });
  return there !== undefined && there.ino === held.ino && there.dev === held.dev;
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
