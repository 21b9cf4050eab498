/**
 * One append blob, written by the client of Azure Storage. Its requests go through the host's own `fetch`, so that proxies
 * and the authorities of the VM hold for them too, and to the blob's own host only. This module is loaded late, by
 * `import()`: the client is large and seldom needed.
 */
import type { HttpOperationResponse, IHttpClient, WebResource } from '@azure/storage-blob';
import { AnonymousCredential, AppendBlobClient } from '@azure/storage-blob';
import type { Host } from '@handlerkit/sdk';
import { HandlerError } from '@handlerkit/sdk';

/** Most bytes of one {@link AppendBlob.append}: what every version of the service takes. */
export const APPEND_LIMIT_BYTES = 4 * 1024 * 1024;

export interface AppendBlob {
  /** Makes the blob, empty; one that is there is replaced. */
  create(signal: AbortSignal): Promise<void>;
  /** Writes `bytes` at `position`, which is the blob's length so far. Once only, however often it is tried. */
  append(bytes: Uint8Array, position: number, signal: AbortSignal): Promise<void>;
}

/** The blob at `url`, reached by its SAS, or as `getToken` says. Asks for nothing yet. */
export function openAppendBlob(
  host: Host,
  url: URL,
  getToken: ((signal: AbortSignal) => Promise<string>) | undefined,
): AppendBlob {
  const client = new AppendBlobClient(
    url.href,
    getToken === undefined ? new AnonymousCredential() : tokenCredential(host, getToken),
    { httpClient: createHttpClient(host, url), retryOptions: { maxTries: 4, tryTimeoutInMs: TRY_MS } },
  );
  return {
    create: async (signal) => {
      await client.create({ abortSignal: signal });
    },
    append: async (bytes, position, signal) => {
      try {
        await client.appendBlock(bytes, bytes.byteLength, {
          abortSignal: signal,
          conditions: { appendPosition: position },
        });
      } catch (thrown) {
        // An earlier try arrived, and only its answer was lost.
        if (statusOf(thrown) !== 412) throw thrown;
        const { contentLength } = await client.getProperties({ abortSignal: signal });
        if (contentLength !== position + bytes.byteLength) throw thrown;
      }
    },
  };
}

/** What went wrong, in a sentence without the URL. */
export function describeStorageProblem(thrown: unknown): string {
  if (thrown instanceof HandlerError) return thrown.message;
  const status = statusOf(thrown);
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  const named = /^\w{1,64}$/.test(code) ? code : 'unknown reason';
  if (status === undefined) return `cannot connect (${named}); check the network of the VM`;
  const advice =
    status === 401 || status === 403
      ? 'check that the SAS has not expired and allows to create and append, or that the identity may write blobs'
      : status === 404
        ? 'check that the container exists'
        : status === 409
          ? 'check that no blob of another type has this name'
          : 'check the blob';
  return `the service answered ${status} (${named}); ${advice}`;
}

/** Milliseconds for one try of one block. */
const TRY_MS = 60_000;
/** The token is kept by its own source; here it only has to look young enough to be used. */
const TOKEN_AGE_MS = 60 * 60 * 1000;

function tokenCredential(host: Host, getToken: (signal: AbortSignal) => Promise<string>) {
  return {
    getToken: async (_scopes: string | string[], options?: { readonly abortSignal?: SignalLike }) => ({
      token: await getToken(signalOf(options?.abortSignal)),
      expiresOnTimestamp: host.now().getTime() + TOKEN_AGE_MS,
    }),
  };
}

/** Requests of the client, over `host`, to the origin of `blob` only. */
export function createHttpClient(host: Host, blob: URL): IHttpClient {
  return {
    async sendRequest(request: WebResource): Promise<HttpOperationResponse> {
      const url = new URL(request.url);
      if (url.origin !== blob.origin) throw new Error('the client of Azure Storage asked another host');
      const { body } = request;
      const response = await host.fetch(url, {
        method: request.method,
        headers: request.headers.toJson(),
        ...(body instanceof Uint8Array && { body: new Uint8Array(body) }),
        signal: signalOf(request.abortSignal),
        redirect: 'manual',
      });
      if (response.status >= 300 && response.status < 400) {
        await response.body?.cancel();
        throw Object.assign(new Error('redirected'), { code: 'REDIRECT_REFUSED' });
      }
      const headers = request.headers.clone();
      for (const name of headers.headerNames()) headers.remove(name);
      for (const [name, value] of response.headers) headers.set(name, value);
      return { request, status: response.status, headers, bodyAsText: await response.text() };
    },
  };
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

function statusOf(thrown: unknown): number | undefined {
  return thrown instanceof Error && 'statusCode' in thrown && typeof thrown.statusCode === 'number'
    ? thrown.statusCode
    : undefined;
}
