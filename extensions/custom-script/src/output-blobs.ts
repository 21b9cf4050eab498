/**
 * Copies the output of a run to append blobs while it runs, as managed Run Command does: every 15 seconds what is new, and
 * the rest at the end. A blob that cannot be written is told at the end of the message; the run itself goes on.
 * Source: docs-and-reliability 1.5.
 */
import { open } from 'node:fs/promises';
import type { Host, Logger } from '@handlerkit/sdk';
import { HandlerError, isSystemError } from '@handlerkit/sdk';
import type { AppendBlob } from './append-blob.ts';
import type { TokenSource } from './identity-token.ts';
import type { OutputBlobSettings } from './output-blob-settings.ts';
import { OUTPUT_BLOB_KEYS } from './output-blob-settings.ts';

export interface OutputBlobs {
  readonly host: Host;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly settings: OutputBlobSettings;
  /** For a blob whose URL holds no SAS. */
  readonly tokens: TokenSource | undefined;
  /** Paths on this machine. They need not be there yet. */
  readonly files: { readonly stdout: string; readonly stderr: string };
}

/** How often new output is copied. */
export const COPY_INTERVAL_MS = 15_000;

/**
 * Runs `action` and copies its output meanwhile. Gives its text, and throws its error, each with a line for every blob that
 * could not be written. Without blobs it is `action` alone, and nothing is loaded.
 */
export async function withOutputBlobs(blobs: OutputBlobs, action: () => Promise<string>): Promise<string> {
  const names = (['stdout', 'stderr'] as const).filter((name) => blobs.settings[name] !== undefined);
  if (names.length === 0) return action();
  const ended = new AbortController();
  const copies = names.map((name) => copyOutput(blobs, name, ended.signal));
  const finish = async (): Promise<string> => {
    ended.abort();
    return (await Promise.all(copies)).join('');
  };
  let text: string;
  try {
    text = await action();
  } catch (thrown) {
    const notes = await finish();
    if (!(thrown instanceof HandlerError) || notes === '') throw thrown;
    throw new HandlerError(thrown.code, `${thrown.message}${notes}`, {
      cause: thrown,
      statusCode: thrown.statusCode,
      exitCode: thrown.exitCode,
    });
  }
  return `${text}${await finish()}`;
}

/** Milliseconds for what is left when the run has ended, and when it was ended from outside. */
const REST_MS = 5 * 60 * 1000;
const REST_INTERRUPTED_MS = 5_000;

/** Copies until `ended`, then the rest; gives the line that says what went wrong, or nothing. */
async function copyOutput(
  { host, log, signal, settings, tokens, files }: OutputBlobs,
  name: 'stdout' | 'stderr',
  ended: AbortSignal,
): Promise<string> {
  const url = settings[name];
  if (url === undefined) return '';
  const { describeStorageProblem, openAppendBlob } = await import('./append-blob.ts');
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  ended.addEventListener('abort', () => {
    timer = setTimeout(() => stop.abort(), signal.aborted ? REST_INTERRUPTED_MS : REST_MS);
  });
  const key = OUTPUT_BLOB_KEYS[name];
  try {
    const blob = openAppendBlob(host, url, url.searchParams.has('sig') ? undefined : tokens);
    await blob.create(stop.signal);
    let position = 0;
    for (let isLast = false; !isLast; ) {
      isLast = ended.aborted;
      position = await appendNew(blob, files[name], position, stop.signal);
      if (!isLast) await host.sleep(COPY_INTERVAL_MS, ended).catch(() => undefined);
    }
    log.info('the output is in its blob', { setting: key, bytes: position });
    return '';
  } catch (thrown) {
    const problem = stop.signal.aborted ? 'there was no time left' : describeStorageProblem(thrown);
    const text = `the blob of '${key}' on ${url.host} does not hold the whole output: ${problem}`;
    log.warn(text);
    return `\n[${key}]\n${text}`;
  } finally {
    clearTimeout(timer);
  }
}

/** Appends what the file holds from `position` on, and gives the new length. */
async function appendNew(
  blob: AppendBlob,
  file: string,
  position: number,
  signal: AbortSignal,
): Promise<number> {
  const { APPEND_LIMIT_BYTES } = await import('./append-blob.ts');
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, 'r');
  } catch (thrown) {
    // The command has not begun.
    if (isSystemError(thrown, 'ENOENT')) return position;
    throw thrown;
  }
  try {
    const { size } = await handle.stat();
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(APPEND_LIMIT_BYTES, size - position)));
    let at = position;
    // What arrives meanwhile is for the next round: a command that writes faster than the network must not hold this one.
    while (at < size) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, size - at), at);
      if (bytesRead === 0) break;
      await blob.append(buffer.subarray(0, bytesRead), at, signal);
      at += bytesRead;
    }
    return at;
  } finally {
    await handle.close();
  }
}
