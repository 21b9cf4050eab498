/**
 * Downloads the files of a run, some at a time: each into a temporary file of the same folder, which gets its name when
 * it is whole and on disk. The first failure ends the others.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host, Logger } from '@handlerkit/sdk';
import { HandlerError } from '@handlerkit/sdk';
import { scriptError, systemCode } from '../errors.ts';
import { PROGRAM_MODE } from '../preprocess.ts';
import type { PlannedFile } from './file-name.ts';
import { downloadHttp } from './http.ts';

/** How many files are downloaded at the same time. */
export const PARALLEL_DOWNLOADS = 4;

export interface DownloadRun {
  readonly host: Host;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** The folder as the VM sees it, for texts. */
  readonly folder: string;
  /** Called when a file is begun. */
  readonly onStart: (file: PlannedFile) => Promise<void>;
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
  const work = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined && !stop.signal.aborted; file = queue.shift()) {
      try {
        await run.onStart(file);
        await downloadFile({ ...run, signal: stop.signal }, file);
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

async function downloadFile(run: DownloadRun, planned: PlannedFile): Promise<void> {
  const { host, log, signal } = run;
  const started = host.elapsedMs();
  const shownAs = join(run.folder, planned.name);
  const path = host.path(shownAs);
  const temporary = host.path(join(run.folder, `.${randomUUID()}.part`));
  try {
    const file = await open(temporary, 'wx', PROGRAM_MODE);
    let bytes: number;
    try {
      bytes = await downloadHttp(host, {
        url: planned.url,
        file,
        shownAs,
        signal,
        onRetry: (attempt, problem) => log.warn(problem, { file: planned.index, attempt }),
      });
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    log.info('download complete', {
      file: planned.index,
      bytes,
      durationMs: Math.round(host.elapsedMs() - started),
    });
  } catch (thrown) {
    await rm(temporary, { force: true });
    signal.throwIfAborted();
    if (thrown instanceof HandlerError) throw thrown;
    const text = `cannot write ${shownAs} (${systemCode(thrown)}); check the free space on the VM's disk`;
    throw scriptError('DOWNLOAD_FAILED', text, thrown);
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
