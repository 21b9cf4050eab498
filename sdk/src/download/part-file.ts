/**
 * The temporary file of one download: written in order, hashed on the way, emptied to begin again, renamed when it is
 * whole. Memory that the runtime holds for written pieces is freed on the way.
 */
import type { Hash } from 'node:crypto';
import { createHash, randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { constants, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { releaseChunk } from '../bun-runtime.ts';

export interface PartFile {
  /** Bytes that are in it. */
  readonly length: number;
  /** Writes all of it, and may empty it then. */
  append(chunk: Uint8Array): Promise<void>;
  /** Empties it; the next byte is the first. Only `withMd5` takes the time for {@link PartFile.md5}. */
  restart(withMd5: boolean): Promise<void>;
  sha256(): string;
  /** `undefined` when it was not wanted, and where the system forbids MD5. */
  md5(): string | undefined;
  /** Bytes that a program may still write in its folder; `undefined` when the file system does not say. */
  freeBytes(): Promise<number | undefined>;
  /** Puts it on disk and gives it its name. */
  finish(): Promise<void>;
  /** Closes it, and removes it when it is not finished. Never throws. */
  dispose(): Promise<void>;
}

/** Makes the file beside `target`, with just these permission bits. Throws the system's error. */
export async function createPartFile(target: string, mode: number): Promise<PartFile> {
  const path = join(dirname(target), `.${randomUUID()}.part`);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  let length = 0;
  let isFinished = false;
  let hashes = createHashes(false);
  return {
    get length() {
      return length;
    },
    async append(chunk) {
      await writeAll(file, chunk, length);
      hashes.sha256.update(chunk);
      hashes.md5?.update(chunk);
      length += chunk.byteLength;
      releaseChunk(chunk);
    },
    async restart(withMd5) {
      if (length > 0) await file.truncate(0);
      length = 0;
      hashes = createHashes(withMd5);
    },
    sha256: () => hashes.sha256.copy().digest('hex'),
    md5: () => hashes.md5?.copy().digest('hex'),
    async freeBytes() {
      try {
        const { bavail, bsize, blocks } = await statfs(dirname(target));
        return blocks > 0 ? bavail * bsize : undefined;
      } catch {
        return undefined;
      }
    },
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

function createHashes(withMd5: boolean): { readonly sha256: Hash; readonly md5: Hash | undefined } {
  let md5: Hash | undefined;
  try {
    if (withMd5) md5 = createHash('md5');
  } catch {
    // Not allowed under FIPS; the length is checked all the same.
  }
  return { sha256: createHash('sha256'), md5 };
}

async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.byteLength; ) {
    const { bytesWritten } = await file.write(chunk, done, chunk.byteLength - done, position + done);
    done += bytesWritten;
  }
}
