/**
 * An HTTP server on loopback that sends the same random bytes in many ways: with and without a length, packed, cut in the
 * middle, only when asked twice. A path says which and what: `/<way>/<first byte>-<length>.bin`.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

export const MIB = 1024 * 1024;

/** How a file is sent. */
export type SendingWay = keyof typeof WAYS;

export interface HostileServer {
  /** URL of a file. Files that begin elsewhere have other bytes. */
  url(way: SendingWay | 'missing', first: number, length: number): string;
  /** The bytes of the file with the name that ends its URL. */
  content(name: string): Buffer;
  /** The `Range` headers that came for a path, in order; `undefined` where there was none. */
  ranges(way: SendingWay | 'missing', first: number, length: number): readonly (string | undefined)[];
  close(): Promise<void>;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
  /** From 1. */
  readonly attempt: number;
}

/** Starts one on a free port; with a key and a certificate it speaks HTTPS. */
export async function startHostileServer(tls?: {
  readonly key: string;
  readonly cert: string;
}): Promise<HostileServer> {
  const bytes = randomBytes(66 * MIB);
  const seen = new Map<string, (string | undefined)[]>();
  const content: HostileServer['content'] = (name) => {
    const [first = 0, length = 0] = name.replace('.bin', '').split('-').map(Number);
    return bytes.subarray(first, first + length);
  };
  const listener: RequestListener = (request, response) => {
    const path = request.url ?? '';
    const [, way = '', name = ''] = path.split('/');
    const ranges = seen.get(path) ?? [];
    seen.set(path, [...ranges, request.headers.range]);
    const exchange = { request, response, body: content(name), attempt: ranges.length + 1 };
    if (isWay(way)) WAYS[way](exchange);
    else response.writeHead(404).end('not found\n');
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const path = (way: string, first: number, length: number): string => `/${way}/${first}-${length}.bin`;
  return {
    url: (...file) => `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}${path(...file)}`,
    content,
    ranges: (...file) => seen.get(path(...file)) ?? [],
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

const md5 = (body: Buffer): string => createHash('md5').update(body).digest('base64');

/** A strong validator, with which the rest of a file may be asked for. */
const ETAG = '"e"';

const WAYS = {
  length: ({ response, body }: Exchange): void => {
    response.writeHead(200, { 'content-length': body.length }).end(body);
  },
  chunked: ({ response, body }: Exchange): void => {
    response.writeHead(200);
    writePieces(response, body);
  },
  /** Neither length nor chunks: the end of the connection is the end of the body. */
  close: ({ request: { socket }, body }: Exchange): void => {
    socket.write('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n');
    socket.end(body);
  },
  gzip: ({ response, body }: Exchange): void => {
    const packed = gzipSync(body, { level: 1 });
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length }).end(packed);
  },
  'gzip-chunked': ({ response, body }: Exchange): void => {
    response.writeHead(200, { 'content-encoding': 'gzip' });
    writePieces(response, gzipSync(body, { level: 1 }));
  },
  /** Ends in the middle once; the rest can be asked for. */
  cut: ({ request, response, body, attempt }: Exchange): void => {
    const rest = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const first = Number(rest?.[1] ?? 0);
    const headers = { etag: ETAG, 'content-length': body.length - first };
    if (attempt === 1) {
      sendHalf(response, body, headers);
    } else if (rest === null) {
      response.writeHead(200, headers).end(body);
    } else {
      const range = `bytes ${first}-${body.length - 1}/${body.length}`;
      response.writeHead(206, { ...headers, 'content-range': range }).end(body.subarray(first));
    }
  },
  /** Ends in the middle once, and sends the whole again, whatever is asked for. */
  'cut-whole': ({ response, body, attempt }: Exchange): void => {
    const headers = { etag: ETAG, 'content-length': body.length };
    if (attempt === 1) sendHalf(response, body, headers);
    else response.writeHead(200, headers).end(body);
  },
  /** Ends in the middle once, without a length. */
  'cut-chunked': ({ response, body, attempt }: Exchange): void => {
    if (attempt === 1) {
      sendHalf(response, body, {});
    } else {
      response.writeHead(200);
      writePieces(response, body);
    }
  },
  /** Sends the half and no more, once. */
  stall: ({ response, body, attempt }: Exchange): void => {
    response.writeHead(200, { 'content-length': body.length });
    if (attempt === 1) response.write(body.subarray(0, body.length / 2));
    else response.end(body);
  },
  /** Sends the half and no more, each time. */
  'stall-always': ({ response, body }: Exchange): void => {
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, body.length / 2));
  },
  busy: ({ response, body, attempt }: Exchange): void => {
    if (attempt === 1) response.writeHead(503, { 'retry-after': '1' }).end('busy\n');
    else response.writeHead(200, { 'content-length': body.length }).end(body);
  },
  md5: ({ response, body }: Exchange): void => {
    response.writeHead(200, { 'content-length': body.length, 'content-md5': md5(body) }).end(body);
  },
  'wrong-md5': ({ response, body }: Exchange): void => {
    const wrong = md5(body.subarray(1));
    response.writeHead(200, { 'content-length': body.length, 'content-md5': wrong }).end(body);
  },
};

function isWay(way: string): way is SendingWay {
  return Object.hasOwn(WAYS, way);
}

/** Pieces that fit no buffer's size. */
function writePieces(response: ServerResponse, body: Buffer): void {
  for (let at = 0; at < body.length; at += 99_991) response.write(body.subarray(at, at + 99_991));
  response.end();
}

function sendHalf(
  response: ServerResponse,
  body: Buffer,
  headers: Readonly<Record<string, string | number>>,
): void {
  response.writeHead(200, headers);
  response.write(body.subarray(0, body.length / 2), () => response.destroy());
}
