/**
 * Folders that a user may move about while we work in them: each is opened without following a link, and held. What is
 * in a held folder is reached through its descriptor, so that it stays the same folder whatever becomes of its name.
 * Neither Node nor bun has `openat`; `/proc/self/fd/<n>/<name>` is the same thing.
 */
import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, mkdir, open, readdir, readlink, rmdir } from 'node:fs/promises';
import { posix } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { isSystemError } from '@handlerkit/sdk';
import { accessError } from './errors.ts';

/** A folder that is held open. */
export interface HeldFolder {
  /** As the VM sees it, without links; for messages only, since the folder may be called otherwise by now. */
  readonly path: string;
  readonly handle: FileHandle;
  /** What it was when it was opened. */
  readonly stats: BigIntStats;
  /** Path of an entry, for the functions of `node:fs` in this process. `name` is one component. */
  at(name: string): string;
  /** Path of the folder itself, for another program that runs while it is held. */
  readonly programPath: string;
  close(): Promise<void>;
}

/** Who may own a folder besides root. */
export interface FolderOwner {
  readonly uid: number;
  readonly gid: number;
}

/** Sees each folder of a path, from `/` to the last one. */
export type FolderVisitor = (folder: Pick<HeldFolder, 'path' | 'stats'>) => void;

/**
 * Opens `path`, component by component. Every folder must belong to root or to `owner`. A link is followed only where
 * root alone can have made it: a link of root's in a folder that nobody else writes to. `undefined` when a component is
 * not there; throws `PATH_UNSAFE`. The caller closes what it gets.
 */
export async function holdFolder(
  host: Host,
  path: string,
  owner?: Pick<FolderOwner, 'uid'>,
  visit: FolderVisitor = () => {},
): Promise<HeldFolder | undefined> {
  let names = splitPath(path);
  for (let links = 0; links <= MOST_LINKS; links += 1) {
    const found = await walk(host, names, owner, visit);
    if (found === undefined || 'handle' in found) return found;
    names = found;
  }
  throw accessError('PATH_UNSAFE', `${path} leads through too many links`);
}

/** Opens a folder in a held one, which follows no link. `undefined` when there is none; throws `PATH_UNSAFE`. */
export async function holdChild(
  parent: HeldFolder,
  name: string,
  owner?: Pick<FolderOwner, 'uid'>,
): Promise<HeldFolder | undefined> {
  const path = posix.join(parent.path, checkName(name));
  const handle = await openFolder(parent.at(name)).catch(async (thrown: unknown) => {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    throw await explainFailure(thrown, parent, name);
  });
  return handle === undefined ? undefined : held(path, handle, owner);
}

/**
 * Makes a folder in a held one, and gives it to `owner` by its descriptor. Throws `PATH_UNSAFE` when somebody put
 * something in its place at the same moment.
 */
export async function makeChild(
  parent: HeldFolder,
  name: string,
  owner: FolderOwner,
  mode: number,
): Promise<HeldFolder> {
  await mkdir(parent.at(checkName(name)), { mode: 0o700 });
  const folder = await holdChild(parent, name);
  // Ours belongs to root and is empty. Another one must not change hands.
  if (folder === undefined) throw accessError('FILE_BUSY', `${posix.join(parent.path, name)} was taken away`);
  try {
    if (folder.stats.uid !== BigInt(process.getuid?.() ?? 0) || (await listFolder(folder)).length > 0) {
      throw accessError('FILE_BUSY', `${folder.path} was made by somebody else at the same time`);
    }
    await folder.handle.chown(owner.uid, owner.gid);
    await folder.handle.chmod(mode);
    await folder.handle.sync().catch(() => {});
    await parent.handle.sync().catch(() => {});
    return folder;
  } catch (thrown) {
    await folder.close();
    throw thrown;
  }
}

/** Names in a held folder. */
export async function listFolder(folder: HeldFolder): Promise<readonly string[]> {
  return readdir(`/proc/self/fd/${folder.handle.fd}/`);
}

/** Removes an empty folder from a held one; throws the system's error, such as `ENOTEMPTY`. */
export async function removeChild(parent: HeldFolder, name: string): Promise<void> {
  await rmdir(parent.at(checkName(name)));
}

/** Whether two entries are the same file. */
export function isSameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/** The permission bits. */
export function modeOf(stats: BigIntStats): number {
  return Number(stats.mode & 0o7777n);
}

/** Bits with which others than the owner write. */
export const WRITABLE_BY_OTHERS = 0o022;

const MOST_LINKS = 16;
const FOLDER_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The folder, the names of a path without the link that was met, or `undefined`. */
async function walk(
  host: Host,
  names: readonly string[],
  owner: Pick<FolderOwner, 'uid'> | undefined,
  visit: FolderVisitor,
): Promise<HeldFolder | readonly string[] | undefined> {
  let folder = await held('/', await open(host.path('/'), FOLDER_FLAGS & ~constants.O_NOFOLLOW), owner);
  try {
    const passed = [folder];
    for (const [index, name] of names.entries()) {
      const link = await readTrustedLink(folder, name);
      if (link !== undefined) {
        await folder.close();
        return [...splitPath(posix.resolve(folder.path, link)), ...names.slice(index + 1)];
      }
      const next = await holdChild(folder, name, owner);
      await folder.close();
      if (next === undefined) return undefined;
      folder = next;
      passed.push(folder);
    }
    passed.forEach(visit);
    return folder;
  } catch (thrown) {
    await folder.close();
    throw thrown;
  }
}

/** What a link of root's names, where only root can have put it; `undefined` for everything else. */
async function readTrustedLink(folder: HeldFolder, name: string): Promise<string | undefined> {
  const { stats } = folder;
  if (stats.uid !== 0n || (modeOf(stats) & WRITABLE_BY_OTHERS) !== 0) return undefined;
  const entry = await lstat(folder.at(name)).catch(() => undefined);
  return entry?.isSymbolicLink() === true && entry.uid === 0 ? readlink(folder.at(name)) : undefined;
}

async function held(
  path: string,
  handle: FileHandle,
  owner: Pick<FolderOwner, 'uid'> | undefined,
): Promise<HeldFolder> {
  try {
    const stats = await handle.stat({ bigint: true });
    if (stats.uid !== 0n && stats.uid !== BigInt(owner?.uid ?? 0)) {
      throw accessError('PATH_UNSAFE', `${path} belongs to another user (uid ${stats.uid})`);
    }
    return {
      path,
      handle,
      stats,
      at: (name) => `/proc/self/fd/${handle.fd}/${checkName(name)}`,
      programPath: `/proc/${process.pid}/fd/${handle.fd}`,
      close: () => handle.close(),
    };
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

async function openFolder(path: string): Promise<FileHandle> {
  return open(path, FOLDER_FLAGS);
}

async function explainFailure(thrown: unknown, parent: HeldFolder, name: string): Promise<unknown> {
  const path = posix.join(parent.path, name);
  if (isSystemError(thrown, 'ENOTDIR') || isSystemError(thrown, 'ELOOP')) {
    const entry = await lstat(parent.at(name)).catch(() => undefined);
    const kind = entry?.isSymbolicLink() === true ? 'a symbolic link' : 'no folder';
    return accessError('PATH_UNSAFE', `${path} is ${kind}; put a folder in its place and try again`);
  }
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown reason';
  return accessError('PATH_UNUSABLE', `${path} cannot be opened (${code})`, { cause: thrown });
}

function splitPath(path: string): readonly string[] {
  if (!path.startsWith('/')) throw accessError('PATH_UNUSABLE', `${path} is no absolute path`);
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  return names.map(checkName);
}

function checkName(name: string): string {
  if (name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name)) return name;
  throw accessError('PATH_UNUSABLE', `${JSON.stringify(name)} is no name of a file or folder`);
}
