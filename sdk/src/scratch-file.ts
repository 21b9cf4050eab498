/**
 * A file for what passes between this process and a child, wherever the machine takes one: the folder for temporary
 * files may be read-only, full, out of inodes or missing, and that is no reason for a command not to run.
 */
import { ftruncateSync, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { openUnnamedFile } from './captured-output.ts';
import { HandlerError } from './errors.ts';

/** What a command names for its own files, as far as it does. */
export interface ScratchUse {
  readonly stdoutFile?: string | undefined;
  readonly stderrFile?: string | undefined;
  readonly cwd?: string | undefined;
}

/**
 * The folders that are tried, in this order: that for temporary files, those of the command's own output files, those
 * that every Linux has, and the command's working folder.
 */
export function scratchFolders(temporary: string, use: ScratchUse): readonly string[] {
  const own = [use.stdoutFile, use.stderrFile].flatMap((file) => (file === undefined ? [] : [dirname(file)]));
  return [...new Set([temporary, ...own, '/dev/shm', '/run', '/var/tmp', use.cwd ?? '.'])];
}

/**
 * Opens a file without a name, mode 0600, in the first of `folders` that takes `bytes` (default: a file that will be
 * written later, and takes one byte now). It can be read and appended to, and is read from its beginning. Throws
 * `COMMAND_NOT_STARTED` with what is wrong with each folder when none does.
 */
export async function openScratchFile(
  folders: readonly string[],
  bytes: Uint8Array = new Uint8Array(),
): Promise<FileHandle> {
  const problems: string[] = [];
  for (const folder of folders) {
    try {
      return await openIn(folder, bytes);
    } catch (thrown) {
      const reason = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown reason';
      problems.push(`${folder} (${reason})`);
    }
  }
  throw new HandlerError(
    'COMMAND_NOT_STARTED',
    `no folder takes a temporary file for a command: ${problems.join(', ')}; free some space and inodes in one of them, or make it writable`,
  );
}

async function openIn(folder: string, bytes: Uint8Array): Promise<FileHandle> {
  const file = await openUnnamedFile(folder);
  try {
    if (bytes.length === 0) {
      // A full file system opens files, and takes no byte.
      writeSync(file.fd, ' ', 0);
      ftruncateSync(file.fd);
    }
    // By position, so that the child begins to read at the beginning.
    for (let at = 0; at < bytes.length; ) {
      at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten;
    }
    return file;
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}
