/**
 * How a download fails, in the words and with the codes of the original, and whether another try can help. No text
 * holds more of a URL than its host. Source: Custom Script 2.1.19 section 4.
 */
import type { ScriptErrorName } from '../errors.ts';
import { systemCode } from '../errors.ts';

/** Whether another try can help: `once` for a body that stalled, since each try costs a minute. */
export type Retry = 'always' | 'once' | 'never';

/** One attempt to download a file failed. */
export class DownloadFailure extends Error {
  override readonly name = 'DownloadFailure';
  readonly errorName: ScriptErrorName;
  readonly retry: Retry;
  /** Milliseconds that the server asked to wait. */
  readonly retryAfterMs: number;

  constructor(errorName: ScriptErrorName, message: string, retry: Retry, retryAfterMs = 0) {
    super(message);
    this.errorName = errorName;
    this.retry = retry;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What an answer other than 200 means. `host` is `name[:port]`. */
export function refusalOf(response: Response, host: string, nowMs: number): DownloadFailure {
  const { status } = response;
  const line = JSON.stringify(`${status} ${response.statusText.slice(0, 100)}`.trim());
  const row = REFUSALS[status] ?? OTHER_REFUSAL;
  const retry = RETRIED_STATUS.has(status) ? 'always' : 'never';
  const requestId = /^[\w-]{1,64}$/.exec(response.headers.get('x-ms-request-id') ?? '')?.[0];
  const suffix = requestId === undefined ? '' : ` (Service request ID: ${requestId})`;
  const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'), nowMs);
  return new DownloadFailure(row.errorName, `${row.text(host, line)}${suffix}`, retry, retryAfterMs);
}

/** What a connection that failed means; `thrown` is what `fetch` or the body's reader threw. */
export function transportFailure(thrown: unknown, host: string, during: 'request' | 'body'): DownloadFailure {
  const code = codeOf(thrown);
  if (TIMEOUT_CODES.has(code)) return timeoutFailure(host, `no answer (${code})`, 'always');
  if (during === 'body') {
    const text = `the response from ${host} broke off before the file was complete (${code}). Please try again`;
    return new DownloadFailure('DOWNLOAD_CUT', text, 'always');
  }
  const isTrust = TRUST_CODES.has(code) || code.startsWith('CERT_');
  const advice = isTrust
    ? `the certificate of ${host} is not trusted by this VM (${code})`
    : `cannot connect to ${host}: ${CODE_WORDS[code] ?? 'the connection failed'} (${code})`;
  return new DownloadFailure(
    'DOWNLOAD_FAILED',
    `http request failed: ${advice}`,
    isTrust ? 'never' : 'always',
  );
}

/** The server did not answer, or stopped sending, within a limit. */
export function timeoutFailure(host: string, what: string, retry: Retry): DownloadFailure {
  return new DownloadFailure('DOWNLOAD_TIMED_OUT', `http request timed out: ${host}: ${what}`, retry);
}

/** Seconds or a date, in milliseconds from now; 0 for none, for a past one and for nonsense. */
export function parseRetryAfter(value: string | null, nowMs: number): number {
  if (value === null) return 0;
  const text = value.trim();
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isFinite(ms) && ms > 0 && /^\d+$|[a-z]{3}/i.test(text) ? ms : 0;
}

const RETRIED_STATUS = new Set([408, 429, 500, 502, 503, 504]);

interface Refusal {
  readonly errorName: ScriptErrorName;
  readonly text: (host: string, line: string) => string;
}
const failed = (host: string): string => `CustomScript failed to download the file from ${host}`;
const answered = (line: string): string => `the response code and message returned were: ${line}`;

const REFUSALS: Readonly<Record<number, Refusal>> = {
  400: {
    errorName: 'DOWNLOAD_BAD_REQUEST',
    text: (host, line) =>
      `${failed(host)} because parts of the request were incorrectly formatted, missing, and/or invalid. T${answered(line).slice(1)}`,
  },
  401: {
    errorName: 'DOWNLOAD_DENIED',
    text: (host, line) =>
      `${failed(host)} because access was denied. Please fix the blob permissions and try again, ${answered(line)}`,
  },
  404: {
    errorName: 'DOWNLOAD_NOT_FOUND',
    text: (host, line) =>
      `${failed(host)} because it does not exist. Please create the blob and try again, ${answered(line)}`,
  },
  500: {
    errorName: 'STORAGE_FAILED',
    text: (host, line) => `${failed(host)} due to an issue with storage. T${answered(line).slice(1)}`,
  },
};
const OTHER_REFUSAL: Refusal = {
  errorName: 'DOWNLOAD_REFUSED',
  text: (host, line) =>
    `${failed(host)} because the server returned a response code and message of ${line} Please verify the machine has network connectivity.`,
};

const TIMEOUT_CODES = new Set([
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);
const TRUST_CODES = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);
const CODE_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ConnectionRefused: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  ConnectionClosed: 'the connection was closed',
  ENOTFOUND: 'the name cannot be resolved',
  EAI_AGAIN: 'the name cannot be resolved at the moment',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'the network is unreachable',
};

/** The code of the error or of what caused it. Never its message: some runtimes put the whole URL there. */
function codeOf(thrown: unknown): string {
  let at: unknown = thrown;
  for (let depth = 0; depth < 5 && at instanceof Error; depth++) {
    if ('code' in at && typeof at.code === 'string') return systemCode(at);
    at = at.cause;
  }
  return 'no further reason';
}
