/** One attempt to download a file failed: how, and whether another can help. */
import { isSystemError } from '../errors.ts';
import { parseRetryAfter, TRANSIENT_STATUS } from '../retry-schedule.ts';
import {
  describeTransportCode,
  isDecodingCode,
  isHandshakeCode,
  isMalformedAnswer,
  isTimeoutCode,
  isTrustCode,
  transportCode,
} from '../transport-code.ts';
import type { DownloadFailureDetails } from './download-error.ts';

/** Whether another try can help: `once` where each costs long or seldom helps. */
export type Retry = 'always' | 'once' | 'never';

/** What a failed attempt leaves to the next one. */
export class FailedAttempt extends Error {
  readonly details: DownloadFailureDetails;
  readonly retry: Retry;
  /** Milliseconds that the server asked to wait. */
  readonly retryAfterMs: number;

  constructor(details: DownloadFailureDetails, retry: Retry, retryAfterMs = 0) {
    super(details.detail, details.cause === undefined ? undefined : { cause: details.cause });
    this.details = details;
    this.retry = retry;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What an answer to `url` that is no file means. */
export function refusalOf(response: Response, url: URL, nowMs: number): FailedAttempt {
  const { status } = response;
  const { host } = url;
  const statusText = shownReason(response.statusText, url);
  const requestId = /^[\w-]{1,64}$/.exec(response.headers.get('x-ms-request-id') ?? '')?.[0];
  const answer = `${host} answered ${`${status} ${statusText}`.trim()}`;
  const suffix = requestId === undefined ? '' : ` (service request ID: ${requestId})`;
  return new FailedAttempt(
    {
      kind: 'refused',
      host,
      status,
      statusText,
      detail: `${answer}; ${ADVICE[status] ?? (TRANSIENT_STATUS.has(status) ? 'try again later' : 'check the URL')}${suffix}`,
      ...(requestId !== undefined && { serviceRequestId: requestId }),
    },
    TRANSIENT_STATUS.has(status) ? 'always' : 'never',
    parseRetryAfter(response.headers.get('retry-after'), nowMs),
  );
}

/**
 * What a connection that failed means; `thrown` is what `fetch` or the body's reader threw, `proxyHost` the proxy that the
 * request went through.
 */
export function transportFailure(
  thrown: unknown,
  host: string,
  during: 'request' | 'body',
  proxyHost?: string,
): FailedAttempt {
  const code = transportCode(thrown);
  if (isTimeoutCode(code)) return timeoutFailure(host, `no answer (${code})`, 'always');
  if (isDecodingCode(code)) {
    // The same bytes would come again; but to Node a body that was cut looks like this one.
    const retry = code === 'Z_BUF_ERROR' ? 'once' : 'never';
    const text = `the response from ${host} cannot be unpacked (${code}); correct the content encoding that the server names`;
    return bodyFailure(host, text, retry);
  }
  if (isMalformedAnswer(code)) {
    const text = `the answer of ${host} is no valid HTTP or has too large headers (${code}); check the server and the URL`;
    return new FailedAttempt({ kind: 'transport', host, detail: text }, 'never');
  }
  if (during === 'body') {
    const text = `the response from ${host} broke off before the file was complete (${code}). Please try again`;
    return bodyFailure(host, text, 'always');
  }
  const isTrust = isTrustCode(code);
  const detail = isTrust
    ? `the certificate of ${host} is not trusted by this VM (${code})`
    : `cannot connect to ${host}${proxyHost === undefined ? '' : ` through the proxy ${proxyHost}`}: ${describeTransportCode(code)} (${code})`;
  // A proxy that refuses, and a server of another TLS, will seldom change their mind; bun does not tell a proxy's status.
  const isSettled = code === 'ERR_PROXY_TUNNEL' || isHandshakeCode(code);
  const retry = isTrust ? 'never' : isSettled ? 'once' : 'always';
  return new FailedAttempt({ kind: 'transport', host, detail }, retry);
}

/** The server did not answer, or stopped sending, within a limit. */
export function timeoutFailure(host: string, what: string, retry: Retry): FailedAttempt {
  return new FailedAttempt({ kind: 'timeout', host, detail: `${host}: ${what}` }, retry);
}

/** The body is not what was announced. */
export function bodyFailure(host: string, detail: string, retry: Retry): FailedAttempt {
  return new FailedAttempt({ kind: 'body', host, detail }, retry);
}

/** The file could not be written. `target` is the path as the VM sees it. */
export function diskFailure(thrown: unknown, host: string, target: string): FailedAttempt {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown reason';
  const isFull = isSystemError(thrown, 'ENOSPC') || isSystemError(thrown, 'EDQUOT');
  const detail = `cannot write ${target} (${code}); check the free space on the VM's disk`;
  return new FailedAttempt({ kind: isFull ? 'no-space' : 'disk', host, detail, cause: thrown }, 'never');
}

/** What the server says beside the number, unless it repeats what the URL holds of secrets. */
function shownReason(reason: string, url: URL): string {
  const secrets = [url.password, ...url.searchParams.values()].filter(
    ({ length }) => length >= SECRET_LENGTH,
  );
  const isTold = [...secrets, ...secrets.map(encodeURIComponent)].some((secret) => reason.includes(secret));
  return isTold ? '' : reason.slice(0, 100);
}

/** A shorter value of a query is no secret, and in a reason by chance. */
const SECRET_LENGTH = 6;

const ADVICE: Readonly<Record<number, string>> = {
  400: 'check the form of the URL',
  401: 'check that the URL or the credentials grant access',
  403: 'check that the URL or the credentials grant access, and have not expired',
  404: 'check that the file exists',
  407: 'check the user name and password of the proxy',
  409: 'check that public access to the file is allowed',
  410: 'check that the file exists',
  511: 'the network wants to be signed in to before it lets requests through',
};
