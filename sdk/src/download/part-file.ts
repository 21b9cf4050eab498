/**
 * The temporary file of one download: written in order, emptied to begin again, read back for a checksum that somebody
 * asked for, renamed when it is whole.
 */
import { createHash, randomUUID } from 'node:crypto';
import { closeSync, fstatSync, openSync, readdirSync, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { constants, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { releaseChunk, saveBody } from '../bun-runtime.ts';

export interface PartFile {
  /** Bytes that are in it. */
  readonly length: number;
  /** The folder that it is in. */
  readonly folder: string;
  /** Writes all of it, and may empty it then. */
  append(chunk: Uint8Array): Promise<void>;
  /**
   * Fills the empty file with a body, without a copy in this program's memory; `undefined` where the runtime cannot, and
   * when the file is not empty.
   */
  readonly receive: ((response: Response) => Promise<void>) | undefined;
  /** Empties it; the next byte is the first. */
  restart(): Promise<void>;
  /** Lower-case hex. `undefined` where the system forbids the algorithm. Throws the reason of `signal`. */
  digest(algorithm: 'sha256' | 'md5', signal: AbortSignal): Promise<string | undefined>;
  /** Puts it on disk and gives it its name. */
  finish(): Promise<void>;
  /** Closes it, and removes it when it is not finished. Never throws. */
  dispose(): Promise<void>;
}

/**
 * Makes the file beside `target`, 0600 until it is finished and has `mode`. `save` is how the runtime saves a body by
 * itself, `undefined` where it cannot. Throws the system's error.
 */
export async function createPartFile(
  target: string,
  mode: number,
  save: typeof saveBody = saveBody,
): Promise<PartFile> {
  const folder = dirname(target);
  const path = join(folder, `.${randomUUID()}.${process.pid}.part`);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  let length = 0;
  let isReceiving = false;
  let isFinished = false;
  const receiveWith = async (saveInto: NonNullable<typeof saveBody>, response: Response): Promise<void> => {
    // The runtime writes where its handle stands, so each body gets one that stands at the beginning.
    // At once, as the body grows in memory until somebody takes it.
    const own = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW);
    isReceiving = true;
    try {
      const saved = await saveInto(response, own);
      const { size } = fstatSync(file.fd);
      if (saved === size) return;
      // Nothing of it is to be trusted, nor to be continued.
      await file.truncate(0);
      throw new Error(`${size} bytes are in the file, but ${saved} were saved`);
    } finally {
      isReceiving = false;
      length = fstatSync(file.fd).size;
      closeSync(own);
    }
  };
  return {
    folder,
    get length() {
      return isReceiving ? fstatSync(file.fd).size : length;
    },
    get receive() {
      return save === undefined || length > 0
        ? undefined
        : (response: Response) => receiveWith(save, response);
    },
    async append(chunk) {
      await writeAll(file, chunk, length);
      length += chunk.byteLength;
      releaseChunk(chunk);
    },
    async restart() {
      if (length > 0) await file.truncate(0);
      length = 0;
    },
    digest: (algorithm, signal) => digestOf(file, algorithm, signal),
    async finish() {
      await file.chmod(mode);
      await file.sync();
      await rename(path, target);
      isFinished = true;
    },
    async dispose() {
      await file.close().catch(() => undefined);
      if (!isFinished) await rm(path, { force: true }).catch(() => undefined);
    },
  };
}

/**
 * Removes what downloads of killed processes have left in a folder and those below it; processes for which `isRunning`
 * is true still write theirs. What cannot be looked at or removed stays.
 */
export function removeUnfinishedDownloads(folder: string, isRunning: (pid: number) => boolean): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      const [, pid] = /^\.[\da-f-]{36}\.(\d+)\.part$/.exec(entry.name) ?? [];
      if (entry.isDirectory()) removeUnfinishedDownloads(path, isRunning);
      else if (pid !== undefined && !isRunning(Number(pid))) rmSync(path, { force: true });
    }
  } catch {
    // Removed meanwhile, or a disk that takes nothing: what follows will tell.
  }
}

const READ_BYTES = 256 * 1024;

async function digestOf(
  file: FileHandle,
  algorithm: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  let hash: ReturnType<typeof createHash>;
  try {
    hash = createHash(algorithm);
  } catch {
    // Not allowed under FIPS; the length is checked all the same.
    return undefined;
  }
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (let position = 0; ; ) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.byteLength; ) {
    const { bytesWritten } = await file.write(chunk, done, chunk.byteLength - done, position + done);
    done += bytesWritten;
  }
}
