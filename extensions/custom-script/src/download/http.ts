/**
 * Downloads one file over HTTP or HTTPS: redirects by rule, time limits for silence, the length checked, another try
 * where that can help. Each try begins an empty file, so what an earlier one left can never stay in it.
 * Source: Custom Script 2.1.19 section 4.
 */
import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Host } from '@handlerkit/sdk';
import { scriptError, systemCode } from '../errors.ts';
import { DownloadFailure, refusalOf, timeoutFailure, transportFailure } from './failure.ts';

export interface HttpLimits {
  /** Milliseconds until the headers of an answer must be there. */
  readonly headersMs: number;
  /** Milliseconds that a body may be silent. */
  readonly idleMs: number;
}

/** A body that stalls twice is given up within two minutes. */
export const HTTP_LIMITS: HttpLimits = { headersMs: 30_000, idleMs: 55_000 };
/** How often a file is tried. */
export const ATTEMPTS = 7;
/** Milliseconds before the second try; doubled before each further one. */
export const FIRST_PAUSE_MS = 3_000;
/** Longest pause that a server may ask for. */
export const LONGEST_PAUSE_MS = 120_000;
export const REDIRECT_LIMIT = 10;

export interface HttpDownload {
  readonly url: URL;
  /** Open for writing; emptied before each try. */
  readonly file: FileHandle;
  /** The file's name in error texts. */
  readonly shownAs: string;
  readonly signal: AbortSignal;
  readonly limits?: HttpLimits;
  /** Called before each further try. */
  readonly onRetry?: (attempt: number, problem: string) => void;
}

/**
 * Downloads into the open file and gives the number of bytes. Throws a `HandlerError` of the last try's problem, or the
 * signal's reason. Does not close or sync the file.
 */
export async function downloadHttp(host: Host, download: HttpDownload): Promise<number> {
  const { signal, shownAs } = download;
  let stalls = 0;
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await tryOnce(host, download);
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof DownloadFailure)) throw thrown;
      if (thrown.retry === 'once') stalls++;
      if (thrown.retry === 'never' || attempt === ATTEMPTS || stalls > 1) {
        const text = `failed to download response and write to file: ${shownAs}: ${thrown.message}`;
        throw scriptError(thrown.errorName, text, thrown);
      }
      download.onRetry?.(attempt + 1, thrown.message);
      const pauseMs = FIRST_PAUSE_MS * 2 ** (attempt - 1);
      await host.sleep(Math.max(pauseMs, Math.min(thrown.retryAfterMs, LONGEST_PAUSE_MS)), signal);
    }
  }
}

/** Where a redirect leads. Throws when it leaves http and https, or goes from https to http. */
export function redirectTarget(from: URL, location: string): URL {
  const refuse = (problem: string): DownloadFailure =>
    new DownloadFailure('DOWNLOAD_FAILED', `http request failed: ${from.host} redirects ${problem}`, 'never');
  if (!URL.canParse(location, from.href)) throw refuse('to an address that is not a valid URL');
  const to = new URL(location, from);
  if (to.protocol !== 'http:' && to.protocol !== 'https:')
    throw refuse('to something that is not http or https');
  if (from.protocol === 'https:' && to.protocol === 'http:')
    throw refuse('from https to http, which is refused');
  to.username = '';
  to.password = '';
  to.hash = '';
  return to;
}

async function tryOnce(host: Host, download: HttpDownload): Promise<number> {
  const { url, file, signal } = download;
  const limits = download.limits ?? HTTP_LIMITS;
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let timer: NodeJS.Timeout | undefined;
  const limit = (ms: number, failure: DownloadFailure): void => {
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(failure), ms);
  };
  let during: 'request' | 'body' = 'request';
  try {
    await emptyFile(file, download.shownAs);
    limit(
      limits.headersMs,
      timeoutFailure(
        url.host,
        'no answer in time. Please verify the machine has network connectivity',
        'always',
      ),
    );
    const response = await follow(host, url, stop.signal);
    if (response.status !== 200) {
      await discard(response);
      throw refusalOf(response, url.host, host.now().getTime());
    }
    during = 'body';
    const stalled = timeoutFailure(
      url.host,
      'the server stopped sending before the file was complete',
      'once',
    );
    const onBytes = (): void => limit(limits.idleMs, stalled);
    onBytes();
    const bytes = await writeBody(response, download, stop.signal, onBytes);
    checkLength(response, bytes, url.host);
    return bytes;
  } catch (thrown) {
    if (stop.signal.aborted) throw stop.signal.reason;
    if (thrown instanceof DownloadFailure) throw thrown;
    throw transportFailure(thrown, url.host, during);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    stop.abort();
  }
}

/** The first answer that is no redirect. User information goes to the host that the user named it for, and no other. */
async function follow(host: Host, url: URL, signal: AbortSignal): Promise<Response> {
  const requestId = randomUUID();
  let at = withoutUser(url);
  for (let hop = 0; ; hop++) {
    const headers = new Headers({ 'accept-encoding': 'identity', 'x-ms-client-request-id': requestId });
    if (at.origin === url.origin && (url.username !== '' || url.password !== '')) {
      headers.set('authorization', basicAuthorization(url));
    }
    const response = await host.fetch(at, { redirect: 'manual', signal, headers });
    const location = response.headers.get('location');
    if (!REDIRECTS.has(response.status) || location === null) return response;
    await discard(response);
    if (hop === REDIRECT_LIMIT) {
      const text = `http request failed: ${url.host} redirects more than ${REDIRECT_LIMIT} times`;
      throw new DownloadFailure('DOWNLOAD_FAILED', text, 'never');
    }
    at = redirectTarget(at, location);
  }
}

async function writeBody(
  response: Response,
  download: HttpDownload,
  signal: AbortSignal,
  onBytes: () => void,
): Promise<number> {
  if (response.body === null) return 0;
  const reader = response.body.getReader();
  // An abort that the runtime does not pass on to an open body ends the read all the same.
  const onAbort = (): void => void reader.cancel().catch(() => undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    let bytes = 0;
    for (;;) {
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) return bytes;
      onBytes();
      await writeAll(download.file, value, bytes, download.shownAs);
      bytes += value.byteLength;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function writeAll(
  file: FileHandle,
  chunk: Uint8Array,
  position: number,
  shownAs: string,
): Promise<void> {
  for (let done = 0; done < chunk.byteLength; ) {
    try {
      const { bytesWritten } = await file.write(chunk, done, chunk.byteLength - done, position + done);
      done += bytesWritten;
    } catch (thrown) {
      throw writeFailure(thrown, shownAs);
    }
  }
}

async function emptyFile(file: FileHandle, shownAs: string): Promise<void> {
  try {
    await file.truncate(0);
  } catch (thrown) {
    throw writeFailure(thrown, shownAs);
  }
}

function writeFailure(thrown: unknown, shownAs: string): DownloadFailure {
  const text = `cannot write ${shownAs} (${systemCode(thrown)}); check the free space on the VM's disk`;
  return new DownloadFailure('DOWNLOAD_FAILED', text, 'never');
}

/** The length that the server announced. A body in another encoding is unpacked, so that length says nothing of it. */
function checkLength(response: Response, bytes: number, host: string): void {
  const announced = response.headers.get('content-length');
  const encoding = response.headers.get('content-encoding') ?? 'identity';
  if (announced === null || !/^\d+$/.test(announced) || encoding.toLowerCase() !== 'identity') return;
  if (Number(announced) === bytes) return;
  const text = `the response from ${host} has ${bytes} bytes, but ${announced} were announced. Please try again`;
  throw new DownloadFailure('DOWNLOAD_CUT', text, 'always');
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

/** `fetch` refuses a URL with user information, so it goes into the header that it stands for. */
function withoutUser(url: URL): URL {
  const plain = new URL(url);
  plain.username = '';
  plain.password = '';
  plain.hash = '';
  return plain;
}

function basicAuthorization(url: URL): string {
  const text = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return `Basic ${Buffer.from(text).toString('base64')}`;
}
