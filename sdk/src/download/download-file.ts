/**
 * Downloads one file over HTTP or HTTPS: streamed into a temporary file of the target's folder, tried again where that can
 * help, continued where the server allows it, and given its name when it is whole, checked and on disk.
 */
import type { Host } from '../host.ts';
import { pauseMs } from '../retry-schedule.ts';
import type { AttemptRequest, DownloadProgress } from './attempt.ts';
import { emptyState, tryDownload } from './attempt.ts';
import { DownloadError } from './download-error.ts';
import { diskFailure, FailedAttempt, timeoutFailure } from './failed-attempt.ts';
import type { FreeSpace, SpaceClaim } from './free-space.ts';
import { createFreeSpace } from './free-space.ts';
import type { PartFile } from './part-file.ts';
import { createPartFile } from './part-file.ts';

/** How long a download may take and how often it is tried. */
export interface DownloadLimits {
  /**
   * Milliseconds until the headers of an answer must be there, redirects included; a server that lets them pass twice is
   * given up. Default 50 seconds.
   */
  readonly headersMs: number;
  /** Milliseconds that a body may bring next to nothing; a body that does so twice is given up. Default 55 seconds. */
  readonly idleMs: number;
  /** Milliseconds for everything, pauses included; default 60 minutes. */
  readonly totalMs: number;
  /** How often the file is tried; default 7. */
  readonly attempts: number;
  /** Milliseconds before the second try, at most; doubled before each further one. Default 3 seconds. */
  readonly firstPauseMs: number;
}

/** The limits that hold where a request names none. */
export const DOWNLOAD_LIMITS: DownloadLimits = {
  headersMs: 50_000,
  idleMs: 55_000,
  totalMs: 3_600_000,
  attempts: 7,
  firstPauseMs: 3_000,
};

/** What is downloaded, and where it goes. */
export interface DownloadRequest {
  /** User information in it is sent as a header. */
  readonly url: string | URL;
  /** Absolute path of the VM. A file that is there is replaced when the new one is whole. */
  readonly target: string;
  /** Permission bits; default 0600. */
  readonly mode?: number;
  /** Sent to the URL's own origin. Another one, after a redirect, gets `accept`, `accept-language` and `user-agent` only. */
  readonly headers?: Readonly<Record<string, string>>;
  /** 64 hex digits that the file must have. */
  readonly sha256?: string;
  /** 32 hex digits that the file must have. */
  readonly md5?: string;
  /** True to be told the file's SHA-256 without asking for a certain one. It takes about a second for each GiB. */
  readonly wantsSha256?: boolean;
  /** The other files that are downloaded to the same disk at the same time; default: none. */
  readonly freeSpace?: FreeSpace;
  /** Most bytes of the file; default: what the disk holds. */
  readonly maxBytes?: number;
  readonly signal: AbortSignal;
  readonly limits?: Partial<DownloadLimits>;
  /** Called now and then while the file grows, and when it is whole. After a fresh start `bytes` is smaller than before. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Called before each further try, with the number of that try and what was wrong with the last one. */
  readonly onRetry?: (attempt: number, problem: DownloadError) => void;
  /** 0 to 1, for the pauses between tries; default `Math.random`. */
  readonly random?: () => number;
}

/** A file that was downloaded whole. */
export interface DownloadedFile {
  readonly bytes: number;
  /** 64 hex digits; `undefined` unless the request has `sha256` or `wantsSha256`. */
  readonly sha256: string | undefined;
}

/**
 * Downloads `request.url` to `request.target`. Throws a {@link DownloadError} of the last try's problem, or the reason of
 * `signal`; then no temporary file is left and a former target is untouched. No text holds more of the URL than its host.
 * Does not make the folder, unpack, or refuse a host: a URL that others may choose is the caller's to check. A body that
 * comes with neither a length nor chunks ends with its connection; whether that was its end, only a checksum tells.
 */
export async function downloadFile(host: Host, request: DownloadRequest): Promise<DownloadedFile> {
  const { target, signal } = request;
  signal.throwIfAborted();
  const url = readUrl(request);
  const limits = { ...DOWNLOAD_LIMITS, ...request.limits };
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const late = timeoutFailure(
    url.host,
    `the file was not complete after ${limits.totalMs / 1000} seconds`,
    'never',
  );
  const timer = setTimeout(() => stop.abort(late), limits.totalMs);
  let part: PartFile | undefined;
  try {
    part = await createPartFile(host.path(target), request.mode ?? 0o600);
    const sha256 = await tryUntilWhole(host, request, url, limits, part, stop.signal);
    await part.finish();
    return { bytes: part.length, sha256 };
  } catch (thrown) {
    signal.throwIfAborted();
    const failure = thrown instanceof FailedAttempt ? thrown : diskFailure(thrown, url.host, target);
    throw new DownloadError(target, failure.details);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    await part?.dispose();
  }
}

async function tryUntilWhole(
  host: Host,
  request: DownloadRequest,
  url: URL,
  limits: DownloadLimits,
  part: PartFile,
  signal: AbortSignal,
): Promise<string | undefined> {
  const state = emptyState();
  const freeSpace = request.freeSpace ?? createFreeSpace();
  const claim: SpaceClaim = {
    folder: part.folder,
    missingBytes: () => Math.max(0, (state.totalBytes ?? 0) - part.length),
  };
  const attemptRequest: AttemptRequest = {
    ...request,
    url,
    headers: request.headers ?? {},
    sha256: request.sha256?.toLowerCase(),
    md5: request.md5?.toLowerCase(),
    maxBytes: request.maxBytes ?? Number.POSITIVE_INFINITY,
    headersMs: limits.headersMs,
    idleMs: limits.idleMs,
    wantsSha256: request.wantsSha256 ?? false,
    freeSpace,
    claim,
  };
  try {
    await repeat(host, request, limits, () => tryDownload(host, attemptRequest, part, state, signal), signal);
    return state.sha256;
  } finally {
    freeSpace.leave(claim);
  }
}

/** Calls `tryOnce` until it succeeds, or fails in a way that another does not help. */
async function repeat(
  host: Host,
  request: DownloadRequest,
  limits: DownloadLimits,
  tryOnce: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const started = host.elapsedMs();
  let seldom = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryOnce();
    } catch (thrown) {
      if (!(thrown instanceof FailedAttempt)) throw thrown;
      if (thrown.retry === 'once') seldom++;
      if (thrown.retry === 'never' || attempt >= limits.attempts || seldom > 1) throw thrown;
      const pause = pauseMs(attempt, limits.firstPauseMs, thrown.retryAfterMs, request.random ?? Math.random);
      // A pause that outlasts the limit would only hide the problem behind a time-out.
      if (host.elapsedMs() - started + pause > limits.totalMs) throw thrown;
      request.onRetry?.(attempt + 1, new DownloadError(request.target, thrown.details));
      await host.sleep(pause, signal);
    }
  }
}

function readUrl({ url, target }: DownloadRequest): URL {
  const refuse = (host: string, detail: string): DownloadError =>
    new DownloadError(target, { kind: 'transport', host, detail });
  if (!URL.canParse(String(url))) throw refuse('', 'its URL is not valid');
  const parsed = new URL(url);
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
    throw refuse(parsed.host, 'the scheme of its URL is neither http nor https');
  }
  try {
    decodeURIComponent(parsed.username + parsed.password);
  } catch {
    throw refuse(parsed.host, 'the user information in its URL is not valid UTF-8');
  }
  return parsed;
}
