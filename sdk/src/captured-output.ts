/**
 * Where a child's output goes when nobody named a file for it, and where its input comes from: a file without a name, so
 * that nothing is left behind however this process ends. What is captured has a bound on disk: only the end of the output
 * is ever asked for, so the file is emptied when it has grown too long, and its end is kept in memory.
 * Source: open(2), `O_TMPFILE`.
 */
import { randomUUID } from 'node:crypto';
import { constants as fsConstants, fstatSync, ftruncateSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** The output of one stream in a file that does not grow for ever. */
export interface CapturedOutput {
  /** The last bytes so far as text; a character that the cut goes through is left out. */
  readTail(): string;
  /** Ends the watch. The file stays open. */
  end(): void;
}

/** Opens a new file of `folder` that has no name, mode 0600, for reading and appending. */
export async function openUnnamedFile(folder: string): Promise<FileHandle> {
  try {
    return await open(folder, UNNAMED | APPENDED, MODE);
  } catch {
    // Not every file system can do that; where it is the folder that is wrong, the next try tells.
    return openUnlinkedFile(folder);
  }
}

/** The same for a file system that cannot open a file without a name: it has one for a moment. */
export async function openUnlinkedFile(folder: string): Promise<FileHandle> {
  const path = join(folder, `handlerkit-exec-${randomUUID()}`);
  const file = await open(path, fsConstants.O_CREAT | fsConstants.O_EXCL | APPENDED, MODE);
  await rm(path);
  return file;
}

/** Reads the end of an open file that stays as it is. */
export function readTail(file: FileHandle, bytes: number): string {
  const { size } = fstatSync(file.fd);
  return decodeTail(readEnd(file.fd, size, bytes), bytes < size);
}

/**
 * Keeps an open file near `limitBytes`: it is looked at ten times a second and emptied when it is longer. The last
 * `tailBytes` of all output stay readable. Every writer must append.
 */
export function captureOutput(file: FileHandle, limitBytes: number, tailBytes: number): CapturedOutput {
  // One buffer for all looks: a command may print for hours, and what is thrown away is not collected at once.
  let buffer: Buffer | undefined;
  let kept = 0;
  /** Adds what the file holds between two places to what is kept of the output before. */
  const take = (from: number, to: number): void => {
    buffer ??= Buffer.alloc(tailBytes);
    const fresh = Math.min(to - from, tailBytes);
    const stay = Math.min(kept, tailBytes - fresh);
    buffer.copyWithin(0, kept - stay, kept);
    kept = stay + readSync(file.fd, buffer, stay, fresh, to - fresh);
  };
  const look = (): void => {
    let read = 0;
    let { size } = fstatSync(file.fd);
    if (size <= Math.max(limitBytes, tailBytes)) return;
    // What came while the end was read belongs to it. At once, so that hardly anything can come in between.
    for (; size > read; size = fstatSync(file.fd).size) {
      take(read, size);
      read = size;
    }
    ftruncateSync(file.fd);
  };
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  return {
    readTail: () => {
      const { size } = fstatSync(file.fd);
      const bytes = Buffer.concat([buffer?.subarray(0, kept) ?? EMPTY, readEnd(file.fd, size, tailBytes)]);
      const tail = bytes.subarray(Math.max(0, bytes.length - tailBytes));
      return decodeTail(tail, buffer !== undefined || tailBytes < size);
    },
    end: () => clearInterval(timer),
  };
}

const EMPTY = Buffer.alloc(0);
const MODE = 0o600;
const LOOK_MS = 100;
// O_APPEND: a child that opens /dev/stderr by itself must not write over what is there.
const APPENDED = fsConstants.O_RDWR | fsConstants.O_APPEND;
/** `O_TMPFILE`, which Node does not name: a bit of its own and that of a folder. The same on every processor of today. */
const UNNAMED = 0o20000000 | fsConstants.O_DIRECTORY;

function readEnd(fd: number, size: number, bytes: number): Buffer {
  const length = Math.min(size, bytes);
  const buffer = Buffer.alloc(length);
  return buffer.subarray(0, readSync(fd, buffer, 0, length, size - length));
}

/** @param isCut true when there is something before `bytes`, so that they may begin within a character. */
function decodeTail(bytes: Buffer, isCut: boolean): string {
  let start = 0;
  while (isCut && start < 3 && start < bytes.length && ((bytes[start] ?? 0) & 0xc0) === 0x80) start++;
  return bytes.toString('utf8', start);
}
