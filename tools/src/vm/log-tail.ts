/** A file that another program appends to, read from where the last look ended. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { isSystemError } from '@handlerkit/sdk';

export interface LogTail {
  /** What was appended since the last look; '' when nothing was, or there is no file. A file that became shorter is read anew. */
  read(): string;
}

/** Starts `backBytes` before the present end of the file; with 0 only what is appended from now on is read. */
export function openLogTail(file: string, backBytes: number): LogTail {
  let offset = Math.max(0, sizeOf(file) - backBytes);
  const decoder = new StringDecoder('utf8');
  return {
    read() {
      if (sizeOf(file) < offset) offset = 0;
      const bytes = readFrom(file, offset);
      offset += bytes.length;
      return decoder.write(bytes);
    },
  };
}

/** The last lines of a file, at most `lines`; none when there is no file. */
export function lastLines(file: string, lines: number): readonly string[] {
  const text = openLogTail(file, LAST_LINES_BYTES).read();
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-lines);
}

const LAST_LINES_BYTES = 64 * 1024;

function sizeOf(file: string): number {
  return withFile(file, (handle) => fstatSync(handle).size) ?? 0;
}

function readFrom(file: string, offset: number): Buffer {
  const read = (handle: number): Buffer => {
    const buffer = Buffer.alloc(Math.max(0, fstatSync(handle).size - offset));
    return buffer.subarray(0, readSync(handle, buffer, 0, buffer.length, offset));
  };
  return withFile(file, read) ?? Buffer.alloc(0);
}

function withFile<T>(file: string, action: (handle: number) => T): T | undefined {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    throw thrown;
  }
  try {
    return action(handle);
  } finally {
    closeSync(handle);
  }
}
