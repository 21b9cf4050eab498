/**
 * Small files that another program reads, or that must survive a crash: written whole under a temporary name in the
 * same folder, synced, renamed. A reader sees the old text or the new one, never a part. Synchronous on purpose: the
 * files are tiny, and the enable path has no time for a thread pool to start.
 */
import type { Stats } from 'node:fs';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { isSystemError } from './errors.ts';

/** How {@link writeWholeFile} writes. */
export interface WriteOptions {
  /** Permission bits, set when the file is made; default 0600. */
  readonly mode?: number;
  /**
   * Default true: the text is on disk when the call returns, and survives a power failure. False: it survives the end
   * of this process only.
   */
  readonly durable?: boolean;
}

/** Replaces `path` by `text`, or by these bytes. Throws the system's error; then the former file is untouched and no temporary one is left. */
export function writeWholeFile(path: string, text: string | Uint8Array, options: WriteOptions = {}): void {
  const temporary = `${path}.${process.pid}.tmp`;
  removeQuietly(temporary);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = openSync(temporary, flags, options.mode ?? 0o600);
  try {
    try {
      writeFileSync(file, text);
      if (options.durable !== false) fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (thrown) {
    removeQuietly(temporary);
    throw namingPath(thrown, path);
  }
  if (options.durable !== false) syncFolder(dirname(path));
}

/**
 * Removes the temporary files in `folder` of processes that ended while they wrote: those of files for which `isOurs` is
 * true and of processes for which `isRunning` is not.
 */
export function removeUnfinishedFiles(
  folder: string,
  isOurs: (name: string) => boolean,
  isRunning: (pid: number) => boolean,
): void {
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch {
    return;
  }
  for (const name of names) {
    const [, file = '', pid = ''] = /^(.+)\.(\d+)\.tmp$/s.exec(name) ?? [];
    if (isOurs(file) && !isRunning(Number(pid))) rmSync(join(folder, name), { force: true });
  }
}

/**
 * The text of a file, `undefined` when there is none; `/dev/null` is empty. Throws the system's error for what cannot be read,
 * and an error that names the path for what is no file. Never waits: reading a pipe or a device might not end, and no signal
 * would end it.
 */
export function readTextIfThere(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    throw thrown;
  }
  try {
    const stats = fstatSync(file);
    if (stats.isFile()) return readOpenFile(file, path);
    if (stats.isCharacterDevice() && stats.rdev === NULL_DEVICE) return '';
    throw new Error(`${path} is ${kindOf(stats)}, where a regular file belongs`);
  } finally {
    closeSync(file);
  }
}

function readOpenFile(file: number, path: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (thrown) {
    throw namingPath(thrown, path);
  }
}

/** A full disk is told by the call on the open file, and that error names none: with the path it can be acted upon. */
function namingPath(thrown: unknown, path: string): unknown {
  if (!(thrown instanceof Error) || !('code' in thrown)) return thrown;
  if ('path' in thrown && thrown.path !== undefined) return thrown;
  return Object.assign(new Error(`${thrown.message} '${path}'`, { cause: thrown }), {
    code: thrown.code,
    path,
  });
}

/** Number of `/dev/null`, by a link to which a file is masked. Source: Linux, Documentation/admin-guide/devices.txt. */
const NULL_DEVICE = 0x103;

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder';
  return stats.isFIFO() ? 'a pipe' : 'a device';
}

/** What cannot be removed (no such folder, read-only) is told by what follows, or must not hide what went wrong before. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Said above.
  }
}

/** Makes a rename durable. A file system that cannot sync a folder is no error. */
function syncFolder(folder: string): void {
  let file: number;
  try {
    file = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return;
  }
  try {
    fsyncSync(file);
  } catch {
    // EINVAL on file systems without it.
  } finally {
    closeSync(file);
  }
}
