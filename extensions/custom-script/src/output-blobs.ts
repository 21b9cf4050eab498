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
import { OUTPUT_READ_FLAGS } from './output-read-flags.ts';

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
export const REST_MS = 5 * 60 * 1000;
export const REST_INTERRUPTED_MS = 5_000;

/** Pauses between the tries of the last round. The run is over, and must not wait long for a network that is gone. */
const LAST_PAUSES_MS = [5_000, 10_000, 20_000];

/** Copies until `ended`, then the rest; gives the line that says what went wrong, or nothing. */
async function copyOutput(
  blobs: OutputBlobs,
  name: 'stdout' | 'stderr',
  ended: AbortSignal,
): Promise<string> {
  const { host, log, settings, tokens, files } = blobs;
  const url = settings[name];
  if (url === undefined) return '';
  const rest = limitRest(blobs, ended);
  const { describeStorageProblem, isPassing, openAppendBlob } = await import('./append-blob.ts');
  const key = OUTPUT_BLOB_KEYS[name];
  try {
    const blob = openAppendBlob(host, url, url.searchParams.has('sig') ? undefined : tokens);
    const copy: Copy = { blob, file: files[name], position: undefined, retried: 0, signal: rest.signal };
    for (let triesLeft = LAST_PAUSES_MS.length; ; ) {
      const isLast = ended.aborted;
      try {
        await copyNew(copy);
        if (isLast) break;
      } catch (thrown) {
        if (rest.signal.aborted || !isPassing(thrown) || (isLast && triesLeft === 0)) throw thrown;
        const reason = describeStorageProblem(thrown);
        log.warn('the output could not be copied; trying again', { setting: key, reason });
      }
      if (isLast) await host.sleep(LAST_PAUSES_MS.at(-triesLeft--) ?? 0, rest.signal);
      else await host.sleep(COPY_INTERVAL_MS, ended).catch(() => undefined);
    }
    log.info('the output is in its blob', { setting: key, bytes: copy.position });
    return '';
  } catch (thrown) {
    const problem = rest.signal.aborted ? 'there was no time left' : describeStorageProblem(thrown);
    const text = `the blob of '${key}' on ${url.host} does not hold the whole output: ${problem}`;
    log.warn(text);
    return `\n[${key}]\n${text}`;
  } finally {
    rest.lift();
  }
}

/** The signal that ends the copying some time after `ended`. */
function limitRest(
  { host, signal }: OutputBlobs,
  ended: AbortSignal,
): { readonly signal: AbortSignal; lift(): void } {
  const stop = new AbortController();
  const lifted = new AbortController();
  const onEnd = (): void => {
    const limitMs = signal.aborted ? REST_INTERRUPTED_MS : REST_MS;
    host.sleep(limitMs, lifted.signal).then(
      () => stop.abort(),
      () => undefined,
    );
  };
  // A short command may have ended before the copying begins.
  if (ended.aborted) onEnd();
  else ended.addEventListener('abort', onEnd, { once: true });
  return {
    signal: stop.signal,
    lift: () => {
      ended.removeEventListener('abort', onEnd);
      lifted.abort();
    },
  };
}

/** One output and how far it is copied. */
interface Copy {
  readonly blob: AppendBlob;
  readonly file: string;
  /** Bytes that the blob holds; `undefined`: it is not made yet. */
  position: number | undefined;
  /** Bytes of the block that failed, which is sent again as it was; 0: none. */
  retried: number;
  readonly signal: AbortSignal;
}

/** Appends what the file holds beyond the position. */
async function copyNew(copy: Copy): Promise<void> {
  const { APPEND_LIMIT_BYTES } = await import('./append-blob.ts');
  const { blob, file, signal } = copy;
  if (copy.position === undefined) await blob.create(signal);
  copy.position ??= 0;
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, OUTPUT_READ_FLAGS);
  } catch (thrown) {
    // The command has not begun.
    if (isSystemError(thrown, 'ENOENT')) return;
    throw new HandlerError('OUTPUT_REPLACED', `${file} is not what the command was given for its output`);
  }
  try {
    const { size } = await handle.stat();
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(APPEND_LIMIT_BYTES, size - copy.position)));
    // What arrives meanwhile is for the next round: a command that writes faster than the network must not hold this one.
    while (copy.position < size) {
      const length = copy.retried > 0 ? copy.retried : Math.min(buffer.length, size - copy.position);
      const { bytesRead } = await handle.read(buffer, 0, length, copy.position);
      if (bytesRead === 0) break;
      copy.retried = bytesRead;
      await blob.append(buffer.subarray(0, bytesRead), copy.position, signal);
      copy.retried = 0;
      copy.position += bytesRead;
    }
  } finally {
    await handle.close();
  }
}
