/** Zips that the page has sent, in a folder of this server's own, readable for its user only. The last few are kept. */
import { randomUUID } from 'node:crypto';
import { createWriteStream, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ToolError, usageError } from '../errors.ts';

export interface Upload {
  readonly id: string;
  /** As the user's file is called; for people only. */
  readonly name: string;
  readonly path: string;
}

export interface Uploads {
  /** Writes a stream to a file. Throws `UPLOAD_TOO_LARGE`, `WRONG_USAGE` for an empty one; nothing stays of either. */
  receive(stream: Readable, name: string): Promise<Upload>;
  /** `undefined` for an id that is not known, or not any more. */
  find(id: string): Upload | undefined;
  /** Deletes them all. */
  close(): void;
}

/** Makes no folder before the first upload. `limitBytes` is for one of them. */
export function createUploads(limitBytes: number): Uploads {
  let folder: string | undefined;
  const kept: Upload[] = [];
  return {
    async receive(stream, name) {
      folder ??= mkdtempSync(join(tmpdir(), 'handlerkit-upload-'));
      const id = randomUUID();
      const path = join(folder, `${id}.zip`);
      let bytes = 0;
      try {
        await pipeline(
          stream,
          async function* count(chunks: AsyncIterable<Buffer>) {
            for await (const chunk of chunks) {
              bytes += chunk.length;
              if (bytes > limitBytes) throw tooLarge(limitBytes);
              yield chunk;
            }
          },
          createWriteStream(path, { mode: 0o600, flags: 'wx' }),
        );
        if (bytes === 0) throw usageError('The uploaded file is empty.', 'Choose the zip of an extension.');
      } catch (thrown) {
        rmSync(path, { force: true });
        throw thrown;
      }
      const upload = { id, name: shortName(name), path };
      kept.push(upload);
      for (const old of kept.splice(0, Math.max(0, kept.length - MOST_KEPT)))
        rmSync(old.path, { force: true });
      return upload;
    },
    find: (id) => kept.find((upload) => upload.id === id && existsSync(upload.path)),
    close: () => {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The running action may still read one, and the next one is there already. */
const MOST_KEPT = 2;

function tooLarge(limitBytes: number): ToolError {
  return new ToolError(
    'UPLOAD_TOO_LARGE',
    `The file is larger than ${Math.floor(limitBytes / (1024 * 1024))} MiB.`,
    { hint: 'Give its path on this machine instead.' },
  );
}

function shortName(name: string): string {
  const plain = name.replace(/[\u0000-\u001f\u007f]/g, '').slice(0, 100);
  return plain === '' ? 'uploaded zip' : plain;
}
