/**
 * Unpacks a package as the agent does, with what Python's `zipfile.extractall` makes of it: over the top of what is
 * there, without the modes of the zip, a symlink as a small file that holds its target, and never outside the folder.
 * Source: CPython 3 `Lib/zipfile` ZipFile._extract_member, ZipFile.open; agent-contract 1.3.
 */
import { createWriteStream } from 'node:fs';
import { chmod, open, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isMissing, makeFolder } from './agent-files.ts';
import { readZipContent } from './zip-content.ts';
import { NEWEST_ZIP_VERSION, readZipStructure, type ZipRecord } from './zip-structure.ts';

/** An entry of a zip as Python sees it. */
export interface ZipMember {
  readonly record: ZipRecord;
  /** Place in the directory of the zip, from 0. */
  readonly index: number;
  /** The name up to the first NUL. */
  readonly name: string;
}

/** Unpacks `zipFile` into `folder`, which is made when it is missing. Throws an error whose message says why it failed. */
export async function unpackPackage(zipFile: string, folder: string): Promise<void> {
  const members = await listMembers(zipFile);
  await makeFolder(folder, FOLDER_MODE);
  for (const member of members) await unpackMember(zipFile, member, folder);
}

/**
 * What Python extracts, in its order: each name as often as it is there, and every time the last entry of that name.
 * Throws `ZipUnreadable`, another error for what Python refuses as a whole, and the system's errors.
 */
export async function listMembers(zipFile: string): Promise<readonly ZipMember[]> {
  const file = await open(zipFile, 'r');
  try {
    const { records } = await readZipStructure(file, (await file.stat()).size);
    const members = records.map((record, index) => ({ record, index, name: cutName(record.name) }));
    for (const { record, name } of members) {
      if (!record.isNameValid)
        throw new Error(`the name ${JSON.stringify(name)} is marked as UTF-8 and is none`);
      if (record.versionNeeded > NEWEST_ZIP_VERSION) {
        throw new Error(`${name} needs version ${record.versionNeeded / 10} of the format; Python reads 6.3`);
      }
    }
    const last = new Map(members.map((member) => [member.name, member]));
    return members.flatMap(({ name }) => last.get(name) ?? []);
  } finally {
    await file.close();
  }
}

/** Throws what Python refuses when it opens the entry, before it writes a file. */
export function refuseUnreadable({ record, name }: ZipMember): void {
  if (record.local === undefined) throw new Error(`${name} has no header where the directory says`);
  if (record.isExotic) throw new Error(`${name} is packed in a way that Python cannot read`);
  if (!record.local.isSameName) throw new Error(`${name} has another name in its own header`);
  if (record.isEncrypted) throw new Error(`${name} is encrypted, and the agent has no password`);
}

/** Where Python puts an entry, relative to the folder: without empty, `.` and `..` parts, and up to the first NUL. */
export function entryPath(name: string): string {
  return cutName(name)
    .split('/')
    .filter((part) => part !== '' && part !== '.' && part !== '..')
    .join('/');
}

const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;

function cutName(name: string): string {
  const [text = ''] = name.split('\0', 1);
  return text;
}

async function unpackMember(zipFile: string, member: ZipMember, folder: string): Promise<void> {
  const { record, name, index } = member;
  const path = entryPath(name);
  const target = path === '' ? folder : `${folder}/${path}`;
  if (name.endsWith('/')) {
    await makeFolders(folder, path);
    return;
  }
  await makeFolders(folder, posix.dirname(path));
  refuseUnreadable(member);
  const existing = await kindOf(target);
  if (existing === 'folder') throw new Error(`${name} would replace a folder`);
  await pipeline(readZipContent(zipFile, record, index), createWriteStream(target, { mode: FILE_MODE }));
  // A file that was there keeps its mode; a new one gets what the agent's umask makes of it, not the tool's.
  if (existing === undefined) await chmod(target, FILE_MODE);
}

/** Makes the folders of `path` below `folder` one by one, so that each new one gets its mode. */
async function makeFolders(folder: string, path: string): Promise<void> {
  let at = folder;
  for (const part of path.split('/').filter((one) => one !== '' && one !== '.')) {
    at = `${at}/${part}`;
    await makeFolder(at, FOLDER_MODE);
  }
}

async function kindOf(path: string): Promise<'folder' | 'file' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
}
