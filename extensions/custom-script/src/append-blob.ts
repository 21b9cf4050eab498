/**
 * One append blob, written by the client of Azure Storage. Its requests go through the host's own `fetch`, so that proxies
 * and the authorities of the VM hold for them too, and to the blob's own host only. This module is loaded late, by
 * `import()`: the client is large and seldom needed.
 */
import type { HttpOperationResponse, IHttpClient, WebResource } from '@azure/storage-blob';
import { AnonymousCredential, AppendBlobClient, RestError } from '@azure/storage-blob';
import type { Host } from '@handlerkit/sdk';
import { HandlerError } from '@handlerkit/sdk';

/** Most bytes of one {@link AppendBlob.append}: what every version of the service takes. */
export const APPEND_LIMIT_BYTES = 4 * 1024 * 1024;

export interface AppendBlob {
  /** Makes the blob, empty; an append blob that is there is replaced. */
  create(signal: AbortSignal): Promise<void>;
  /**
   * Writes `bytes` at `position`, which is the blob's length so far. Once only, however often it is tried: after a failure
   * come the same bytes again.
   */
  append(bytes: Uint8Array, position: number, signal: AbortSignal): Promise<void>;
}

/** The blob at `url`, reached by its SAS, or as `getToken` says. Asks for nothing yet. */
export function openAppendBlob(
  host: Host,
  url: URL,
  getToken: ((signal: AbortSignal) => Promise<string>) | undefined,
): AppendBlob {
  /** An answer is missing, so what was sent since the last success may have arrived all the same. */
  let mayHaveArrived = false;
  const onMissingAnswer = (): void => {
    mayHaveArrived = true;
  };
  const client = new AppendBlobClient(
    url.href,
    getToken === undefined ? new AnonymousCredential() : tokenCredential(host, getToken),
    // One more try at once; the rounds of the copy are tries, too.
    { httpClient: createHttpClient(host, url, onMissingAnswer), retryOptions: { maxTries: 2 } },
  );
  /** False when the blob has another length; a SAS need not allow to ask. */
  const mayHaveLength = async (length: number, signal: AbortSignal): Promise<boolean> => {
    try {
      return (await client.getProperties({ abortSignal: signal })).contentLength === length;
    } catch (thrown) {
      if (statusOf(thrown) === 401 || statusOf(thrown) === 403) return true;
      throw thrown;
    }
  };
  return {
    create: async (signal) => {
      await client.create({ abortSignal: signal });
      mayHaveArrived = false;
    },
    append: async (bytes, position, signal) => {
      try {
        await client.appendBlock(bytes, bytes.byteLength, {
          abortSignal: signal,
          conditions: { appendPosition: position },
        });
      } catch (thrown) {
        // An earlier try has arrived, or somebody else writes to the blob; that shows at the next append at the latest.
        if (statusOf(thrown) !== 412 || !mayHaveArrived) throw thrown;
        if (!(await mayHaveLength(position + bytes.byteLength, signal))) throw thrown;
      }
      mayHaveArrived = false;
    },
  };
}

/** True when the same may succeed in the next round: no connection, or a service that is busy. */
export function isPassing(thrown: unknown): boolean {
  if (thrown instanceof HandlerError) return thrown.code === 'IDENTITY_SERVICE_FAILED';
  const status = statusOf(thrown);
  if (status === undefined) return !/_REFUSED$/.test(codeOf(thrown));
  return status === 408 || status === 429 || status >= 500;
}

/** What went wrong, in a sentence without the URL. */
export function describeStorageProblem(thrown: unknown): string {
  if (thrown instanceof HandlerError) return thrown.message;
  const status = statusOf(thrown);
  const code = codeOf(thrown);
  const named = /^\w{1,64}$/.test(code) ? code : 'unknown reason';
  if (status === undefined) return `cannot connect (${named}); check the network of the VM`;
  const advice = ADVICE_BY_CODE[named] ?? ADVICE_BY_STATUS[status] ?? 'check the blob';
  return `the service answered ${status} (${named}); ${advice}`;
}

const NOT_ALLOWED =
  'check that the SAS has not expired and allows to create, write and append, or that the identity may write blobs';
const ADVICE_BY_STATUS: Readonly<Record<number, string>> = {
  401: NOT_ALLOWED,
  403: NOT_ALLOWED,
  404: 'check that the container exists',
  409: 'check that no blob of another type has this name',
  412: 'something else wrote to it; give each output a blob of its own',
};
const ADVICE_BY_CODE: Readonly<Record<string, string>> = {
  BlockCountExceedsLimit:
    'an append blob takes 50,000 blocks, and the output has more; let the command print less, or upload its output itself',
};

/** Milliseconds for one try of one block, with its answer. The client itself has no limit. */
export const TRY_MS = 60_000;
/** The token is kept by its own source; here it only has to look young enough to be used. */
const TOKEN_AGE_MS = 10 * 60 * 1000;

function tokenCredential(host: Host, getToken: (signal: AbortSignal) => Promise<string>) {
  return {
    getToken: async (_scopes: string | string[], options?: { readonly abortSignal?: SignalLike }) => ({
      token: await getToken(signalOf(options?.abortSignal)),
      expiresOnTimestamp: host.now().getTime() + TOKEN_AGE_MS,
    }),
  };
}

/** Requests of the client, over `host`, to the origin of `blob` only. */
export function createHttpClient(host: Host, blob: URL, onMissingAnswer: () => void): IHttpClient {
  return {
    async sendRequest(request: WebResource): Promise<HttpOperationResponse> {
      const outside = signalOf(request.abortSignal);
      const limit = new AbortController();
      const lifted = new AbortController();
      host.sleep(TRY_MS, lifted.signal).then(
        () => limit.abort(),
        () => undefined,
      );
      try {
        const response = await send(host, blob, request, AbortSignal.any([outside, limit.signal]));
        if (response.status >= 500) onMissingAnswer();
        return response;
      } catch (thrown) {
        onMissingAnswer();
        if (outside.aborted || thrown instanceof RestError) throw thrown;
        // The client tries again after its own errors only; it knows this one by its message.
        const code = limit.signal.aborted ? 'ETIMEDOUT' : transportCode(thrown);
        throw new RestError('REQUEST_SEND_ERROR', { code });
      } finally {
        lifted.abort();
      }
    },
  };
}

async function send(
  host: Host,
  blob: URL,
  request: WebResource,
  signal: AbortSignal,
): Promise<HttpOperationResponse> {
  const url = new URL(request.url);
  if (url.origin !== blob.origin) throw refuse('OTHER_HOST_REFUSED');
  const { body } = request;
  const response = await host.fetch(url, {
    method: request.method,
    headers: request.headers.toJson(),
    ...(body instanceof Uint8Array && { body: new Uint8Array(body) }),
    signal,
    redirect: 'manual',
  });
  if (response.status >= 300 && response.status < 400) {
    await response.body?.cancel();
    throw refuse('REDIRECT_REFUSED');
  }
  const headers = request.headers.clone();
  for (const name of headers.headerNames()) headers.remove(name);
  for (const [name, value] of response.headers) headers.set(name, value);
  return { request, status: response.status, headers, bodyAsText: await response.text() };
}

/** An error that is not tried again. */
function refuse(code: string): RestError {
  return new RestError('refused', { code });
}

/** The code of a failed connection, from the error or from what caused it. */
function transportCode(thrown: unknown): string {
  let at = thrown;
  for (let depth = 0; depth < 5 && at instanceof Error; depth++) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    at = at.cause;
  }
  return '';
}

type SignalLike = NonNullable<WebResource['abortSignal']>;

/** The client has a type of its own for signals, which has no reason. */
function signalOf(like: SignalLike | undefined): AbortSignal {
  if (like instanceof AbortSignal) return like;
  const stop = new AbortController();
  if (like?.aborted === true) stop.abort();
  like?.addEventListener('abort', () => stop.abort());
  return stop.signal;
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
}

function statusOf(thrown: unknown): number | undefined {
  return thrown instanceof Error && 'statusCode' in thrown && typeof thrown.statusCode === 'number'
    ? thrown.statusCode
    : undefined;
}
