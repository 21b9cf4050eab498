/**
 * Writes a package's zip: sorted names, one fixed time, plain deflate, so that the same input gives the same bytes.
 * The agent unpacks with Python's zipfile: no symlinks, no names that it would bend, no zip64. Source: agent-contract 1.3;
 * APPNOTE.TXT 6.3.10 sections 4.3.7, 4.3.12, 4.3.16.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, lstat, open, rename } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { ToolError } from '../errors.ts';
import { withWorkFolder } from './work-folder.ts';

export interface ZipEntry {
  /** Path inside the package, with `/`. */
  readonly name: string;
  readonly mode: 0o644 | 0o755;
  /** The text itself, or the path of the file that holds the content. */
  readonly content: { readonly text: string } | { readonly file: string };
}

export interface WrittenEntry {
  readonly name: string;
  readonly sizeBytes: number;
  readonly packedBytes: number;
}

export interface WrittenZip {
  readonly sizeBytes: number;
  /** Lower-case hex digest of the whole file. */
  readonly sha256: string;
  readonly entries: readonly WrittenEntry[];
}

/** Compresses the file `source` to raw deflate data in the file `target`. Used for large entries; without it they are stored. */
export type Deflate = (source: string, target: string) => Promise<void>;

/**
 * Writes the zip to `file`: whole or not at all (temporary name, fsync, rename). Throws {@link ToolError} for a name
 * that a file system or the agent would misread, for a source that is no regular file, and for more than 4 GiB.
 */
export async function writeZip(
  entries: readonly ZipEntry[],
  file: string,
  deps: {
    readonly deflate: Deflate | undefined;
    /** Called with the finished zip before it gets its name; when it throws, there is none. */
    readonly inspect?: ((zip: string) => Promise<void>) | undefined;
  },
): Promise<WrittenZip> {
  checkEntryNames(entries.map((entry) => entry.name));
  const sorted = [...entries].sort((a, b) => (a.name < b.name ? -1 : 1));
  const folder = dirname(file);
  return await withWorkFolder(folder, async (work) => {
    const temporary = join(work, 'package.zip');
    const prepared = await inParallel(sorted, availableParallelism(), (entry, index) =>
      prepare(entry, join(work, String(index)), deps.deflate),
    );
    const output = await open(temporary, 'wx', 0o644);
    try {
      const written = await writeAll(prepared, output);
      await output.sync();
      await deps.inspect?.(temporary);
      await rename(temporary, file);
      await syncFolder(folder);
      return written;
    } finally {
      await output.close();
    }
  });
}

/** Throws {@link ToolError} for names that are absolute, climb, clash in case, or are a file and a folder at once. */
export function checkEntryNames(names: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const name of names) {
    const refuse = (why: string): ToolError =>
      new ToolError('PACKAGE_NAME_REFUSED', `The package cannot hold ${JSON.stringify(name)}: ${why}`, {
        hint: 'Rename the file, or take it out of "files" in extension.json.',
      });
    if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) throw refuse('the name is absolute.');
    if (/[\\\u0000-\u001f\u007f]/.test(name))
      throw refuse('the name holds a backslash or a control character.');
    if (name.split('/').some((part) => part === '' || part === '.' || part === '..')) {
      throw refuse('the name has an empty, "." or ".." part.');
    }
    if (Buffer.byteLength(name) > 1024) throw refuse('the name is longer than 1024 bytes.');
    const folded = name.toLowerCase().normalize('NFC');
    const other = seen.get(folded);
    if (other === name) throw refuse('two files would have this name.');
    if (other !== undefined) throw refuse(`it differs from ${JSON.stringify(other)} in case only.`);
    seen.set(folded, name);
  }
  for (const [folded, name] of seen) {
    for (let at = folded.indexOf('/'); at !== -1; at = folded.indexOf('/', at + 1)) {
      const file = seen.get(folded.slice(0, at));
      if (file === undefined) continue;
      throw new ToolError(
        'PACKAGE_NAME_REFUSED',
        `The package cannot hold ${JSON.stringify(name)}: ${JSON.stringify(file)} is a file.`,
      );
    }
  }
}

interface Prepared {
  readonly entry: ZipEntry;
  readonly crc: number;
  readonly sizeBytes: number;
  readonly packedBytes: number;
  /** 8 deflated, 0 stored. */
  readonly method: 8 | 0;
  readonly data: { readonly bytes: Buffer } | { readonly file: string };
}

const LARGE_BYTES = 1024 * 1024;
const MAX_BYTES = 0xffff_fffe;
/** 1 January 1980, 00:00: the earliest time that the format knows. */
const DOS_DATE = 0x0021;
const DOS_TIME = 0;
const UTF8_FLAG = 0x0800;

async function prepare(entry: ZipEntry, target: string, deflate: Deflate | undefined): Promise<Prepared> {
  if ('text' in entry.content) return prepareBytes(entry, Buffer.from(entry.content.text));
  const { file } = entry.content;
  const stats = await lstat(file);
  if (!stats.isFile()) {
    throw new ToolError(
      'PACKAGE_FILE_REFUSED',
      `The package cannot hold ${entry.name}: ${file} is no regular file.`,
      {
        hint: 'Put the file itself in the place of the link: the agent does not unpack links.',
      },
    );
  }
  if (stats.size > MAX_BYTES) throw tooLarge(entry.name);
  if (stats.size < LARGE_BYTES) return prepareBytes(entry, await readAll(file));
  let crc = 0;
  let sizeBytes = 0;
  for await (const chunk of chunks(file)) {
    crc = crc32(chunk, crc);
    sizeBytes += chunk.length;
  }
  const stored: Prepared = { entry, crc, sizeBytes, packedBytes: sizeBytes, method: 0, data: { file } };
  if (deflate === undefined) return stored;
  await deflate(file, target);
  const packedBytes = (await lstat(target)).size;
  return packedBytes < sizeBytes
    ? { entry, crc, sizeBytes, packedBytes, method: 8, data: { file: target } }
    : stored;
}

function prepareBytes(entry: ZipEntry, bytes: Buffer): Prepared {
  const deflated = deflateRawSync(bytes, { level: 9 });
  const smaller = deflated.length < bytes.length;
  const data = smaller ? deflated : bytes;
  return {
    entry,
    crc: crc32(bytes),
    sizeBytes: bytes.length,
    packedBytes: data.length,
    method: smaller ? 8 : 0,
    data: { bytes: data },
  };
}

async function writeAll(prepared: readonly Prepared[], output: FileHandle): Promise<WrittenZip> {
  const hash = createHash('sha256');
  let offset = 0;
  const write = async (bytes: Buffer): Promise<void> => {
    hash.update(bytes);
    for (let done = 0; done < bytes.length; ) done += (await output.write(bytes, done)).bytesWritten;
    offset += bytes.length;
  };
  const directory: Buffer[] = [];
  for (const item of prepared) {
    if (offset + item.packedBytes > MAX_BYTES) throw tooLarge(item.entry.name);
    directory.push(centralHeader(item, offset));
    await write(localHeader(item));
    const start = offset;
    if ('bytes' in item.data) await write(item.data.bytes);
    else for await (const chunk of chunks(item.data.file)) await write(chunk);
    if (offset - start !== item.packedBytes) {
      throw new ToolError('PACKAGE_FILE_REFUSED', `${item.entry.name} changed while it was being packed.`);
    }
  }
  const central = Buffer.concat(directory);
  if (offset + central.length > MAX_BYTES || prepared.length >= 0xffff) throw tooLarge('the list of files');
  const end = endOfDirectory(prepared.length, central.length, offset);
  await write(central);
  await write(end);
  return {
    sizeBytes: offset,
    sha256: hash.digest('hex'),
    entries: prepared.map(({ entry, sizeBytes, packedBytes }) => ({
      name: entry.name,
      sizeBytes,
      packedBytes,
    })),
  };
}

/** The fields that the local and the central header share, from "version needed" to "extra field length". */
function sharedFields(item: Prepared, name: Buffer): Buffer {
  const fields = Buffer.alloc(26);
  fields.writeUInt16LE(20, 0);
  fields.writeUInt16LE(name.length === item.entry.name.length ? 0 : UTF8_FLAG, 2);
  fields.writeUInt16LE(item.method, 4);
  fields.writeUInt16LE(DOS_TIME, 6);
  fields.writeUInt16LE(DOS_DATE, 8);
  fields.writeUInt32LE(item.crc, 10);
  fields.writeUInt32LE(item.packedBytes, 14);
  fields.writeUInt32LE(item.sizeBytes, 18);
  fields.writeUInt16LE(name.length, 22);
  return fields;
}

function localHeader(item: Prepared): Buffer {
  const name = Buffer.from(item.entry.name);
  return Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), sharedFields(item, name), name]);
}

function centralHeader(item: Prepared, offset: number): Buffer {
  const name = Buffer.from(item.entry.name);
  const rest = Buffer.alloc(14);
  // Comment length, disk number and internal attributes stay 0; the upper half of the external ones is the Unix mode.
  rest.writeUInt32LE(((0o100000 | item.entry.mode) << 16) >>> 0, 6);
  rest.writeUInt32LE(offset, 10);
  // "Made by" Unix, version 2.0.
  return Buffer.concat([Buffer.from('PK\x01\x02\x14\x03', 'latin1'), sharedFields(item, name), rest, name]);
}

function endOfDirectory(count: number, sizeBytes: number, offset: number): Buffer {
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(sizeBytes, 12);
  end.writeUInt32LE(offset, 16);
  return end;
}

function tooLarge(what: string): ToolError {
  return new ToolError('PACKAGE_TOO_LARGE', `The package would be larger than 4 GiB with ${what}.`, {
    hint: 'Let the extension download large files when it runs.',
  });
}

async function readAll(file: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks(file)) parts.push(chunk);
  return Buffer.concat(parts);
}

async function* chunks(file: string): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(file, { highWaterMark: LARGE_BYTES })) {
    yield Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Like `Promise.all` over `work`, but at most `limit` at a time; waits for all that were started, also after a failure. */
async function inParallel<T, U>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<U>,
): Promise<readonly U[]> {
  const results = new Map<number, U>();
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item !== undefined) results.set(index, await work(item, index));
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.max(1, limit) }, lane));
  for (const outcome of lanes) if (outcome.status === 'rejected') throw outcome.reason;
  return items.flatMap((_, index) => {
    const result = results.get(index);
    return result === undefined ? [] : [result];
  });
}
