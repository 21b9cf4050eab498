/**
 * Files in a folder that a user may change while we work in it: looked at before they are opened, so that no pipe or
 * device is, read through the descriptor that was checked, and replaced whole. What somebody puts in the way is refused,
 * and what lies elsewhere under another name is never written to.
 */
import { randomBytes } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, unlink } from 'node:fs/promises';
import { posix } from 'node:path';
import { isSystemError } from '@handlerkit/sdk';
import { accessError } from './errors.ts';
import type { FolderOwner, HeldFolder } from './held-folder.ts';
import { isSameFile, listFolder } from './held-folder.ts';

/** A regular file that is held open for reading. */
export interface HeldFile {
  /** As the VM sees it; for messages only. */
  readonly path: string;
  readonly stats: BigIntStats;
  readonly content: Buffer;
  /** Path of the file, for another program that runs while it is held. */
  readonly programPath: string;
  close(): Promise<void>;
}

/** What a file may be at most. */
export interface FileRules {
  /** Who may own it besides root. */
  readonly owner: Pick<FolderOwner, 'uid'>;
  readonly limitBytes: number;
}

/** How a file is written. */
export interface Replacement extends FolderOwner {
  readonly mode: number;
  /** The file that is being replaced; `undefined`: there is none. Anything else in its place is `FILE_BUSY`. */
  readonly before: HeldFile | undefined;
  /** Gives the new file what Node cannot: labels and attributes. `programPath` is for another program. */
  dress(programPath: string): Promise<void>;
}

/**
 * Opens and reads a file of a held folder. `undefined` when there is none; throws `PATH_UNSAFE` for a link, a pipe, a
 * device, a file with a second name or another owner, and `PATH_UNUSABLE` for one that is too large. The caller closes
 * what it gets.
 */
export async function holdFile(
  folder: HeldFolder,
  name: string,
  { owner, limitBytes }: FileRules,
): Promise<HeldFile | undefined> {
  const path = posix.join(folder.path, name);
  const marker = await openMarker(folder, name);
  if (marker === undefined) return undefined;
  let handle: FileHandle | undefined;
  try {
    checkFile(path, await marker.stat({ bigint: true }), owner, limitBytes);
    // The same file for sure, whatever its name means by now.
    handle = await open(`/proc/self/fd/${marker.fd}`, READ_FLAGS);
    const content = await readAll(handle, limitBytes);
    const stats = await handle.stat({ bigint: true });
    checkFile(path, stats, owner, limitBytes);
    if (content.length > limitBytes) throw tooLarge(path, limitBytes);
    const { fd } = handle;
    const opened = handle;
    return {
      path,
      stats,
      content,
      programPath: `/proc/${process.pid}/fd/${fd}`,
      close: () => opened.close(),
    };
  } catch (thrown) {
    await handle?.close();
    throw thrown;
  } finally {
    await marker.close();
  }
}

/**
 * Writes a file whole: under a name of its own in the held folder, with its owner and mode, onto the disk, then renamed.
 * Gives what is there now. Throws `FILE_BUSY` when somebody else changed the file or the name at the same time, and the
 * system's error when it cannot be written; then the old file is as it was.
 */
export async function replaceFile(
  folder: HeldFolder,
  name: string,
  content: Uint8Array,
  how: Replacement,
): Promise<BigIntStats> {
  const temporary = `${temporaryPrefix(name)}${randomBytes(6).toString('hex')}`;
  const handle = await open(folder.at(temporary), WRITE_FLAGS, 0o600);
  try {
    await handle.writeFile(content);
    await how.dress(`/proc/${process.pid}/fd/${handle.fd}`);
    // By the descriptor: under that name the folder's owner may have put something else by now.
    await handle.chown(how.uid, how.gid);
    await handle.chmod(how.mode);
    await handle.sync();
    await checkUnchanged(folder, name, how.before);
    await rename(folder.at(temporary), folder.at(name));
    await folder.handle.sync().catch(() => {});
    const written = await handle.stat({ bigint: true });
    const found = await statEntry(folder, name);
    if (found === undefined || !isSameFile(found, written)) throw busy(posix.join(folder.path, name));
    return written;
  } catch (thrown) {
    await unlink(folder.at(temporary)).catch(() => {});
    throw thrown;
  } finally {
    await handle.close();
  }
}

/** Removes a file if it is still the one that `stats` are of. Throws `FILE_BUSY` otherwise. */
export async function removeFile(folder: HeldFolder, name: string, stats: BigIntStats): Promise<void> {
  const found = await statEntry(folder, name);
  if (found === undefined) return;
  if (!isSameFile(found, stats) || found.size !== stats.size) throw busy(posix.join(folder.path, name));
  await unlink(folder.at(name));
  await folder.handle.sync().catch(() => {});
}

/** Removes what a run that was killed has left beside a file. */
export async function removeLeftovers(folder: HeldFolder, name: string): Promise<void> {
  for (const entry of await listFolder(folder)) {
    if (entry.startsWith(temporaryPrefix(name))) await unlink(folder.at(entry)).catch(() => {});
  }
}

/** What an entry of a held folder is, no link followed; `undefined` when there is none. */
export async function statEntry(folder: HeldFolder, name: string): Promise<BigIntStats | undefined> {
  const marker = await openMarker(folder, name);
  try {
    return await marker?.stat({ bigint: true });
  } finally {
    await marker?.close();
  }
}

/** Linux: a descriptor that only marks an entry. Nothing is opened by it, no pipe, no device. */
const O_PATH = 0o10000000;
const MARKER_FLAGS = O_PATH | constants.O_NOFOLLOW;
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const WRITE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

function temporaryPrefix(name: string): string {
  return `.${name}.vm-access-`;
}

async function openMarker(folder: HeldFolder, name: string): Promise<FileHandle | undefined> {
  try {
    return await open(folder.at(name), MARKER_FLAGS);
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    throw thrown;
  }
}

function checkFile(
  path: string,
  stats: BigIntStats,
  owner: Pick<FolderOwner, 'uid'>,
  limitBytes: number,
): void {
  const kind = kindOf(stats);
  if (kind !== undefined) {
    throw accessError('PATH_UNSAFE', `${path} is ${kind}; put a regular file in its place, or remove it`);
  }
  if (stats.nlink > 1n) {
    throw accessError('PATH_UNSAFE', `${path} is also another file (hard link); remove it and try again`);
  }
  if (stats.uid !== 0n && stats.uid !== BigInt(owner.uid)) {
    throw accessError('PATH_UNSAFE', `${path} belongs to another user (uid ${stats.uid})`);
  }
  if (stats.size > BigInt(limitBytes)) throw tooLarge(path, limitBytes);
}

function tooLarge(path: string, limitBytes: number): Error {
  return accessError('PATH_UNUSABLE', `${path} has more than ${limitBytes} bytes; shorten or remove it`);
}

function kindOf(stats: BigIntStats): string | undefined {
  if (stats.isFile()) return undefined;
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isFIFO()) return 'a named pipe';
  if (stats.isSocket()) return 'a socket';
  if (stats.isDirectory()) return 'a folder';
  return 'a device';
}

async function readAll(handle: FileHandle, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length <= limitBytes) {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, null);
    if (bytesRead === 0) break;
    chunks.push(buffer.subarray(0, bytesRead));
    length += bytesRead;
  }
  return Buffer.concat(chunks);
}

const CHUNK_BYTES = 64 * 1024;

async function checkUnchanged(folder: HeldFolder, name: string, before: HeldFile | undefined): Promise<void> {
  const now = await statEntry(folder, name);
  const isUnchanged =
    before === undefined
      ? now === undefined
      : now !== undefined &&
        isSameFile(now, before.stats) &&
        now.size === before.stats.size &&
        now.mtimeNs === before.stats.mtimeNs &&
        now.nlink === 1n;
  if (!isUnchanged) throw busy(posix.join(folder.path, name));
}

function busy(path: string): Error {
  return accessError('FILE_BUSY', `${path} was changed by somebody else at the same time; try again`);
}
