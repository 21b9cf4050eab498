/**
 * Unpacks a package as the agent does, with what Python's `zipfile.extractall` makes of it: over the top of what is
 * there, without the modes of the zip, a symlink as a small file that holds its target, and never outside the folder.
 * Source: CPython 3 `Lib/zipfile` ZipFile._extract_member, ZipExtFile; agent-contract 1.3.
 */
import { createWriteStream } from 'node:fs';
import { chmod, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import type { Entry, ZipFile } from 'yauzl';
import { getFileNameLowLevel, openPromise } from 'yauzl';
import { isMissing, makeFolder } from './agent-files.ts';

/** Unpacks `zipFile` into `folder`, which is made when it is missing. Throws an error whose message says why it failed. */
export async function unpackPackage(zipFile: string, folder: string): Promise<void> {
  // The names come raw, because yauzl refuses the ones that Python merely trims.
  const zip = await openPromise(zipFile, { lazyEntries: true, autoClose: false, decodeStrings: false });
  try {
    await makeFolder(folder, FOLDER_MODE);
    for await (const entry of zip.eachEntry()) await unpackEntry(zip, entry, folder);
  } finally {
    zip.close();
  }
}

/** The name of an entry whose zip was opened without `decodeStrings`: as it was packed, whatever it is. */
export function entryName(entry: Entry): string {
  return getFileNameLowLevel(entry.generalPurposeBitFlag, entry.fileNameRaw, entry.extraFields, true);
}

/** Where Python puts an entry, relative to the folder: without empty, `.` and `..` parts, and up to the first NUL. */
export function entryPath(name: string): string {
  const [text = ''] = name.split('\0');
  return text
    .split('/')
    .filter((part) => part !== '' && part !== '.' && part !== '..')
    .join('/');
}

const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;

async function unpackEntry(zip: ZipFile, entry: Entry, folder: string): Promise<void> {
  const name = entryName(entry);
  const path = entryPath(name);
  const target = path === '' ? folder : `${folder}/${path}`;
  if (name.endsWith('/')) {
    await makeFolders(folder, path);
    return;
  }
  if (entry.isEncrypted()) throw new Error(`${name} is encrypted, and the agent has no password`);
  await makeFolders(folder, posix.dirname(path));
  const existing = await kindOf(target);
  if (existing === 'folder') throw new Error(`${name} would replace a folder`);
  const source = await zip.openReadStreamPromise(entry);
  await pipeline(source, checkSum(entry.crc32, name), createWriteStream(target, { mode: FILE_MODE }));
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

/** Passes bytes on and fails at the end when they are not those that were packed. */
function checkSum(expected: number, name: string): Transform {
  let sum = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sum = crc32(chunk, sum);
      done(null, chunk);
    },
    flush(done) {
      done(sum === expected ? null : new Error(`${name} is damaged: its checksum does not match`));
    },
  });
}

async function kindOf(path: string): Promise<'folder' | 'file' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
}
