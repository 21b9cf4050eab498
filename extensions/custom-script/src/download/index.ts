/**
 * Downloads the files of a run, some at a time. The first failure ends the others.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { FreeSpace, Host, Logger } from '@handlerkit/sdk';
import { createFreeSpace, DownloadError, HandlerError } from '@handlerkit/sdk';
import type { FileProgress } from '../file-progress.ts';
import { PROGRAM_MODE } from '../preprocess.ts';
import type { FileAccess } from './blob-access.ts';
import { describeFailure, downloadFailure } from './failure.ts';
import type { PlannedFile } from './file-name.ts';

/** How many files are downloaded at the same time. Each takes about a megabyte of memory, whatever its size. */
export const PARALLEL_DOWNLOADS = 10;

export interface DownloadRun {
  readonly host: Host;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** The folder as the VM sees it, for texts. */
  readonly folder: string;
  /** How the files are reached. */
  readonly access: FileAccess;
  /** Is told how far each file is. */
  readonly progress: Pick<FileProgress, 'onStart' | 'onProgress' | 'onEnd'>;
}

/**
 * Downloads all `files`, mode 0500. Throws the error of the first that failed, with its place in `fileUris`, or the
 * signal's reason; then no temporary file is left.
 */
export async function downloadFiles(run: DownloadRun, files: readonly PlannedFile[]): Promise<void> {
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(run.signal.reason);
  if (run.signal.aborted) onAbort();
  run.signal.addEventListener('abort', onAbort, { once: true });
  const failures: unknown[] = [];
  const queue = [...files];
  // All go to one folder, so they share its disk.
  const freeSpace = createFreeSpace();
  const work = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined && !stop.signal.aborted; file = queue.shift()) {
      try {
        run.progress.onStart(file);
        await download({ ...run, signal: stop.signal }, file, freeSpace);
        run.progress.onEnd(file);
      } catch (thrown) {
        failures.push(thrown instanceof HandlerError ? named(thrown, file) : thrown);
        stop.abort();
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL_DOWNLOADS }, work));
  } finally {
    run.signal.removeEventListener('abort', onAbort);
  }
  run.signal.throwIfAborted();
  if (failures.length > 0) throw failures[0];
}

async function download(run: DownloadRun, planned: PlannedFile, freeSpace: FreeSpace): Promise<void> {
  const { host, log, signal } = run;
  const started = host.elapsedMs();
  const target = join(run.folder, planned.name);
  try {
    const { bytes, sha256 } = await run.access(host, {
      url: planned.url,
      target,
      mode: PROGRAM_MODE,
      ...(planned.sha256 === undefined ? {} : { sha256: planned.sha256 }),
      headers: { 'x-ms-client-request-id': randomUUID() },
      signal,
      freeSpace,
      onProgress: (done) => run.progress.onProgress(planned, done.bytes, done.totalBytes),
      onRetry: (attempt, problem) =>
        log.warn(describeFailure(problem).text, { file: planned.index, attempt }),
    });
    log.info('download complete', {
      file: planned.index,
      bytes,
      ...(sha256 === undefined ? {} : { sha256 }),
      durationMs: Math.round(host.elapsedMs() - started),
    });
  } catch (thrown) {
    throw thrown instanceof DownloadError ? downloadFailure(thrown, target) : thrown;
  }
}

function named(error: HandlerError, file: PlannedFile): HandlerError {
  const message = `processing file downloads failed: failed to download file[${file.index}]: ${error.message}`;
  return new HandlerError(error.code, message, {
    cause: error,
    statusCode: error.statusCode,
    exitCode: error.exitCode,
  });
}
