/**
 * One GET of the instance metadata service or of the identity endpoint: its header, a time limit, and further tries by the
 * rules of the service. Source: Microsoft Learn, "Azure Instance Metadata Service", errors and rate limits; "How to use
 * managed identities to acquire an access token", retry guidance (404 and 410 while the service is updated, up to 70 seconds).
 */
import type { ERROR_TABLE } from './errors.ts';
import { HandlerError } from './errors.ts';
import type { Host } from './host.ts';
import { parseRetryAfter, pauseMs } from './retry-schedule.ts';
import { describeTransportCode, transportCode } from './transport-code.ts';

export interface MetadataRequest {
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Code of the errors. */
  readonly code: keyof typeof ERROR_TABLE;
  /** What is asked for, for error texts: `a token of the managed identity`. */
  readonly subject: string;
  readonly signal: AbortSignal;
  /** 0 to 1, for the pauses. */
  readonly random?: (() => number) | undefined;
}

export interface MetadataAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The body; empty when it is longer than any answer of the service. */
  readonly text: string;
}

/** Milliseconds for one try. The service is on the same host, and answers in milliseconds or not at all. */
const TRY_MS = 10_000;
const FIRST_PAUSE_MS = 1_000;
/** The pauses (1, 2, 4, … 32 seconds at most) outlast an update of the service, which takes up to 70 seconds. */
const ATTEMPTS = 9;
const LONGEST_DOUBLING = 6;
/** A wrong path and a service that is being updated look alike, so 404 is not believed at once, nor for long. */
const NOT_FOUND_ATTEMPTS = 3;
/** No answer at all: the machine has no such service, or its firewall forbids it. */
const UNREACHABLE_ATTEMPTS = 3;
const LONGEST_BODY = 1024 * 1024;

/** The answer that is no transient one. Throws when there is none, and the reason of `signal`. */
export async function requestMetadata(host: Host, request: MetadataRequest): Promise<MetadataAnswer> {
  const { signal } = request;
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    let retryAfterMs = 0;
    try {
      const answer = await tryOnce(host, request);
      const most = attemptsFor(answer.status);
      if (attempt >= most) return answer;
      retryAfterMs = parseRetryAfter(answer.headers.get('retry-after'), host.now().getTime());
    } catch (thrown) {
      signal.throwIfAborted();
      if (attempt >= UNREACHABLE_ATTEMPTS) {
        const code = transportCode(thrown);
        const reason = thrown === TOO_LATE ? 'no answer in time' : `${describeTransportCode(code)} (${code})`;
        throw new HandlerError(
          request.code,
          `cannot get ${request.subject} from ${request.url.host}: ${reason}; check that nothing on the VM blocks this address`,
          { cause: thrown },
        );
      }
    }
    const doublings = Math.min(attempt, LONGEST_DOUBLING);
    await host.sleep(pauseMs(doublings, FIRST_PAUSE_MS, retryAfterMs, request.random ?? Math.random), signal);
  }
}

/** The body as JSON. Throws when it is none. */
export function parseAnswer(
  answer: MetadataAnswer,
  request: Pick<MetadataRequest, 'code' | 'subject'>,
): unknown {
  try {
    return JSON.parse(answer.text);
  } catch {
    throw new HandlerError(
      request.code,
      `cannot get ${request.subject}: the answer of the service is not JSON`,
    );
  }
}

/** A property of an object that came from outside; `undefined` when it is no object or has none. */
export function propertyOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined;
}

const TOO_LATE = new Error('too late');

function attemptsFor(status: number): number {
  if (status === 404) return NOT_FOUND_ATTEMPTS;
  return status === 410 || status === 429 || status >= 500 ? ATTEMPTS : 1;
}

async function tryOnce(host: Host, { url, headers, signal }: MetadataRequest): Promise<MetadataAnswer> {
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => stop.abort(TOO_LATE), TRY_MS);
  try {
    const response = await host.fetch(url, {
      headers: { metadata: 'true', ...headers },
      redirect: 'manual',
      signal: stop.signal,
    });
    return { status: response.status, headers: response.headers, text: await readText(response) };
  } catch (thrown) {
    throw stop.signal.aborted ? stop.signal.reason : thrown;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

async function readText(response: Response): Promise<string> {
  if (response.body === null) return '';
  const reader = response.body.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(parts).toString('utf8');
    length += value.byteLength;
    if (length > LONGEST_BODY) {
      await reader.cancel();
      return '';
    }
    parts.push(value);
  }
}
