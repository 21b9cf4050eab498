/**
 * Makes a script that was written on another system readable for a shell: UTF-16 becomes UTF-8, a byte order mark goes,
 * CR LF becomes LF. The file is streamed into a new one that takes its place when it is whole, so memory stays constant
 * and a failure leaves the former file. Source: Custom Script 2.1.19 section 5.
 */
import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { createConverter, readMark } from './convert-text.ts';
import { scriptError, systemCode } from './errors.ts';

/** Mode of everything that may be run. */
export const PROGRAM_MODE = 0o500;

/** Converts the file when it is a script; gives true when it was rewritten. Throws `FILE_NOT_PREPARED`. */
export async function convertScriptFile(path: string, shownAs: string): Promise<boolean> {
  try {
    const file = await open(path, 'r');
    try {
      if (!(await isScript(file, path)) || !(await needsConversion(file))) return false;
      await rewrite(file, path);
      return true;
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw scriptError(
      'FILE_NOT_PREPARED',
      `the line ends of ${shownAs} could not be converted (${systemCode(cause)}); check the free space on the VM's disk`,
      cause,
    );
  }
}

const SCRIPT_EXTENSIONS = new Set(['.sh', '.txt', '.py', '.pl']);
/** How much of a file is looked at for `#!`. */
const HEAD_BYTES = 64;
const CHUNK_BYTES = 64 * 1024;

async function isScript(file: FileHandle, path: string): Promise<boolean> {
  if (SCRIPT_EXTENSIONS.has(extname(path).toLowerCase())) return true;
  const head = await readAt(file, 0, HEAD_BYTES);
  const converter = createConverter(readMark(head));
  return converter.push(head).toString('latin1').startsWith('#!');
}

async function needsConversion(file: FileHandle): Promise<boolean> {
  if (readMark(await readAt(file, 0, 3)).encoding !== 'none') return true;
  // Each piece begins with the last byte of the one before, so that a CR LF on the border is seen.
  for (let at = 0; ; at += CHUNK_BYTES - 1) {
    const chunk = await readAt(file, at, CHUNK_BYTES);
    if (chunk.includes('\r\n')) return true;
    if (chunk.length < CHUNK_BYTES) return false;
  }
}

async function rewrite(file: FileHandle, path: string): Promise<void> {
  // Named as the SDK names a download, so that the next enable removes what a kill leaves of it.
  const temporary = join(dirname(path), `.${randomUUID()}.${process.pid}.part`);
  const target = await open(temporary, 'wx', PROGRAM_MODE);
  try {
    try {
      const converter = createConverter(readMark(await readAt(file, 0, 3)));
      for (let at = 0; ; at += CHUNK_BYTES) {
        const chunk = await readAt(file, at, CHUNK_BYTES);
        await target.writeFile(converter.push(chunk));
        if (chunk.length < CHUNK_BYTES) break;
      }
      await target.writeFile(converter.end());
      await target.sync();
    } finally {
      await target.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
}

async function readAt(file: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let length = 0;
  while (length < bytes) {
    const { bytesRead } = await file.read(buffer, length, bytes - length, position + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}
