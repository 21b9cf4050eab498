/**
 * One attempt to download a file: asks for the whole or, when an earlier attempt left a part, for its rest; writes the
 * body while watching for silence; checks length and checksums. Source: docs-and-reliability A24 to A26.
 */
import type { Host } from '../host.ts';
import { chooseProxy } from '../proxy.ts';
import {
  bodyFailure,
  diskFailure,
  FailedAttempt,
  refusalOf,
  timeoutFailure,
  transportFailure,
} from './failed-attempt.ts';
import type { FreeSpace, SpaceClaim } from './free-space.ts';
import type { PartFile } from './part-file.ts';
import { discard, requestFile } from './redirects.ts';
import type { ResumePoint } from './resume.ts';
import { announcedLength, isPackedForTransfer, rangeHeaders, resumePointOf, totalOfRest } from './resume.ts';
import { writeBody } from './write-body.ts';

export interface AttemptRequest {
  readonly url: URL;
  /** The path as the VM sees it, for texts. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Lower-case hex. */
  readonly sha256?: string | undefined;
  readonly md5?: string | undefined;
  /** The checksum is told even when none is asked for. */
  readonly wantsSha256: boolean;
  readonly maxBytes: number;
  readonly headersMs: number;
  readonly idleMs: number;
  readonly freeSpace: FreeSpace;
  /** What this file needs of it. */
  readonly claim: SpaceClaim;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** How far a download has come. */
export interface DownloadProgress {
  readonly bytes: number;
  /** Length of the whole file; `undefined` when the server did not say. */
  readonly totalBytes: number | undefined;
}

/** What is known of the file whose beginning is in the part file. */
export interface DownloadState {
  point: ResumePoint | undefined;
  totalBytes: number | undefined;
  /** Base64, as the server gave it. */
  serverMd5: string | undefined;
  isResumed: boolean;
  /** Of the whole file, when it is there and somebody wants it. */
  sha256: string | undefined;
}

export function emptyState(): DownloadState {
  return {
    point: undefined,
    totalBytes: undefined,
    serverMd5: undefined,
    isResumed: false,
    sha256: undefined,
  };
}

/** Fills `part` to the end. Throws a {@link FailedAttempt}, or the reason of `signal`. */
export async function tryDownload(
  host: Host,
  request: AttemptRequest,
  part: PartFile,
  state: DownloadState,
  signal: AbortSignal,
): Promise<void> {
  const at = request.url.host;
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  let timer: NodeJS.Timeout | undefined;
  const limit = (ms: number, failure: FailedAttempt): void => {
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(failure), ms);
  };
  let during: 'request' | 'body' = 'request';
  try {
    const noAnswer = 'no answer in time. Please verify the machine has network connectivity';
    limit(request.headersMs, timeoutFailure(at, noAnswer, 'once'));
    const range =
      state.point !== undefined && part.length > 0 ? rangeHeaders(state.point, part.length) : undefined;
    const response = await requestFile(host, request.url, request.headers, range ?? {}, stop.signal);
    await begin(host, request, response, part, state, range !== undefined);
    during = 'body';
    const silence = 'the server stopped sending before the file was complete';
    const watch = (): void => limit(request.idleMs, timeoutFailure(at, silence, 'once'));
    watch();
    await writeBody(
      response,
      part,
      {
        host: at,
        target: request.target,
        signal: stop.signal,
        idleMs: request.idleMs,
        onSteady: watch,
        onGrowth: (bytes) => request.onProgress?.({ bytes, totalBytes: state.totalBytes }),
      },
      pieceCheck(request, state),
    );
    clearTimeout(timer);
    await check(request, part, state, stop.signal);
  } catch (thrown) {
    if (stop.signal.aborted) throw stop.signal.reason;
    throw thrown instanceof FailedAttempt
      ? thrown
      : transportFailure(thrown, at, during, chooseProxy(request.url, host.env)?.host);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    stop.abort();
  }
}

/** Decides by status and headers whether the body is the file, the rest of it, or neither. */
async function begin(
  host: Host,
  request: AttemptRequest,
  response: Response,
  part: PartFile,
  state: DownloadState,
  isRest: boolean,
): Promise<void> {
  const { headers, status } = response;
  const at = request.url.host;
  if ((status === 200 || status === 206) && isPackedForTransfer(headers)) {
    await discard(response);
    const detail = `the answer of ${at} is packed for its way in a form that nobody asked for; check the server and what lies between`;
    throw bodyFailure(at, detail, 'never');
  }
  if (isRest && (status === 206 || status === 416)) {
    const total =
      status === 206 && state.point !== undefined
        ? totalOfRest(headers, state.point, part.length, state.totalBytes)
        : undefined;
    if (total === undefined) {
      await discard(response);
      await forget(part, state, request);
      throw bodyFailure(at, `${at} did not give the rest of the file. Please try again`, 'always');
    }
    state.totalBytes = total;
    state.isResumed = true;
  } else if (status === 200) {
    Object.assign(state, emptyState());
    state.point = resumePointOf(headers);
    state.totalBytes = announcedLength(headers);
    state.serverMd5 = headers.get('x-ms-blob-content-md5') ?? headers.get('content-md5') ?? undefined;
    await onDisk(request, () => part.restart());
  } else {
    await discard(response);
    throw refusalOf(response, request.url, host.now().getTime());
  }
  const problem = await sizeProblem(request, state);
  if (problem === undefined) return;
  await discard(response);
  throw problem;
}

async function sizeProblem(
  request: AttemptRequest,
  { totalBytes }: DownloadState,
): Promise<FailedAttempt | undefined> {
  if (totalBytes === undefined) return undefined;
  if (totalBytes > request.maxBytes) return tooLarge(request, `${totalBytes}`);
  const shortage = await request.freeSpace.enter(request.claim);
  if (shortage === undefined) return undefined;
  const { missingBytes, otherBytes, freeBytes } = shortage;
  const others = otherBytes === 0 ? '' : ` and the files beside it ${otherBytes} more`;
  const detail = `there is not enough free space for ${request.target}: it needs ${missingBytes} bytes${others}, and its disk has ${freeBytes}; free some space on the VM`;
  return new FailedAttempt({ kind: 'no-space', host: request.url.host, detail }, 'never');
}

function tooLarge(request: AttemptRequest, bytes: string): FailedAttempt {
  const { host } = request.url;
  const detail = `the file on ${host} has ${bytes} bytes, but at most ${request.maxBytes} are allowed`;
  return bodyFailure(host, detail, 'never');
}

/** A body whose length is announced was looked at before. */
function pieceCheck(
  request: AttemptRequest,
  { totalBytes }: DownloadState,
): ((length: number) => void) | undefined {
  if (totalBytes !== undefined || request.maxBytes === Number.POSITIVE_INFINITY) return undefined;
  return (length) => {
    if (length > request.maxBytes) throw tooLarge(request, `at least ${length}`);
  };
}

/** The length that the server announced, its checksum, and those that the caller gave. */
async function check(
  request: AttemptRequest,
  part: PartFile,
  state: DownloadState,
  signal: AbortSignal,
): Promise<void> {
  const { host } = request.url;
  const { totalBytes, serverMd5, isResumed } = state;
  if (totalBytes !== undefined && totalBytes !== part.length) {
    const text = `the response from ${host} has ${part.length} bytes, but ${totalBytes} were announced. Please try again`;
    throw bodyFailure(host, text, 'always');
  }
  const announced = serverMd5 === undefined ? '' : Buffer.from(serverMd5, 'base64').toString('hex');
  const isAnnounced = announced.length === 32;
  const read = (name: 'md5' | 'sha256', isWanted: boolean): Promise<string | undefined> =>
    onDisk(request, async () => (isWanted ? part.digest(name, signal) : undefined));
  const md5 = await read('md5', isAnnounced || request.md5 !== undefined);
  const sha256 = await read('sha256', request.sha256 !== undefined || request.wantsSha256);
  const differs = (detail: string, retry: 'once' | 'never'): FailedAttempt =>
    new FailedAttempt({ kind: 'integrity', host, detail }, retry);
  let failure: FailedAttempt | undefined;
  if (isAnnounced && md5 !== undefined && announced !== md5) {
    failure = differs(
      `the file from ${host} does not have the MD5 that the server gave. Please try again`,
      'once',
    );
  } else if (request.sha256 !== undefined && request.sha256 !== sha256) {
    failure = differs(mismatch(request, 'SHA-256', sha256), isResumed ? 'once' : 'never');
  } else if (request.md5 !== undefined && request.md5 !== md5) {
    failure = differs(mismatch(request, 'MD5', md5), isResumed ? 'once' : 'never');
  }
  state.sha256 = sha256;
  if (failure === undefined) return;
  await forget(part, state, request);
  throw failure;
}

function mismatch({ url }: AttemptRequest, name: string, actual = 'unknown'): string {
  return `the file from ${url.host} does not have the ${name} that was asked for, its own is ${actual}; correct the checksum or the file`;
}

async function forget(part: PartFile, state: DownloadState, request: AttemptRequest): Promise<void> {
  Object.assign(state, emptyState());
  await onDisk(request, () => part.restart());
}

async function onDisk<T>(request: AttemptRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw diskFailure(thrown, request.url.host, request.target);
  }
}
