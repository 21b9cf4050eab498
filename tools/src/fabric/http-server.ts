/**
 * A small HTTP server: one route, answers with their length, a line for each request. Agents read no answer without a
 * length, and open a connection for each request. Source: fabric.md 1.
 */
import { createReadStream, type Stats, statSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Endpoint } from './fabric-addresses.ts';

export interface HttpRequest {
  readonly method: string;
  /** Of the URL, without a slash at its end. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The whole URL, as the server's own name has it. */
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface HttpAnswer {
  readonly status: number;
  /** What was asked for, in one word or two, for the log: `goal state`. */
  readonly subject: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Instead of a body: a file of this machine, which is streamed. */
  readonly file?: string;
  /** Why the answer is what it is, for the log; holds no secret. */
  readonly note?: string;
}

/** One request, as the log tells it: without query, as that can hold a signature. */
export interface RequestRecord {
  readonly time: Date;
  readonly server: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly bytes: number;
  readonly subject: string;
  readonly note?: string | undefined;
}

export interface HttpServer {
  /** Where it listens in fact. */
  readonly endpoint: Endpoint;
  /** Ends connections at once. */
  close(): Promise<void>;
}

export interface HttpServerDeps {
  now(): Date;
  onRequest(record: RequestRecord): void;
}

/** Listens on `endpoint`. `route` may throw: the answer is then 500. Throws the system's error, as when the port is taken. */
export async function listen(
  name: string,
  endpoint: Endpoint,
  route: (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>,
  deps: HttpServerDeps,
): Promise<HttpServer> {
  const server = createServer((message, response) => {
    void serve(name, message, response, route, deps);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(endpoint.port, endpoint.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : endpoint.port;
  return {
    endpoint: { host: endpoint.host, port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The answer to a path that nobody knows. */
export function notFound(subject = 'unknown', note?: string): HttpAnswer {
  return { status: 404, subject, ...(note === undefined ? {} : { note }) };
}

/** An answer of XML. */
export function xml(subject: string, body: string): HttpAnswer {
  return { status: 200, subject, headers: { 'content-type': 'text/xml; charset=utf-8' }, body };
}

/** An answer of JSON. */
export function json(subject: string, body: unknown, status = 200): HttpAnswer {
  const headers = { 'content-type': 'application/json; charset=utf-8' };
  return { status, subject, headers, body: typeof body === 'string' ? body : JSON.stringify(body) };
}

/** An agent's posts have 64 KiB, its status blobs some MiB. */
const LONGEST_BODY = 32 * 1024 * 1024;
const LONGEST_PATH = 200;

async function serve(
  name: string,
  message: IncomingMessage,
  response: ServerResponse,
  route: (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>,
  deps: HttpServerDeps,
): Promise<void> {
  const time = deps.now();
  const method = message.method ?? '';
  const target = `http://${name}${message.url ?? '/'}`;
  const url = new URL(URL.canParse(target) ? target : `http://${name}/`);
  const path = url.pathname.replace(/(?<=.)\/+$/, '');
  const record = { time, server: name, method, path: path.slice(0, LONGEST_PATH) };
  let answer: HttpAnswer;
  try {
    const body = await readBody(message);
    answer =
      body === undefined
        ? { status: 413, subject: 'unknown', note: 'the request is too long' }
        : await route({ method, path, query: url.searchParams, url, headers: message.headers, body });
  } catch (thrown) {
    const note = thrown instanceof Error ? thrown.message : String(thrown);
    answer = { status: 500, subject: 'unknown', note };
  }
  const file = answer.file === undefined ? undefined : fileStats(answer.file);
  if (answer.file !== undefined && file === undefined) {
    answer = notFound(answer.subject, 'the file is not there any more');
  }
  const body = Buffer.from(answer.body ?? '');
  const bytes = file?.size ?? body.length;
  const { status, subject, note } = answer;
  deps.onRequest({ ...record, status, bytes, subject, note });
  try {
    const headers = { ...answer.headers, ...lengthOf(status, bytes), connection: 'close' };
    response.writeHead(status, headers);
    if (answer.file === undefined || file === undefined || method === 'HEAD') response.end(body);
    else await pipeline(createReadStream(answer.file, { end: Math.max(0, file.size - 1) }), response);
  } catch {
    // The agent has gone, or the file has shrunk: the length tells the reader that something is missing.
    response.destroy();
  }
}

/** An answer that never has a body must not have its length. */
function lengthOf(status: number, bytes: number): Record<string, string> {
  return status === 204 || status === 304 ? {} : { 'content-length': String(bytes) };
}

function fileStats(file: string): Stats | undefined {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats?.isFile() === true ? stats : undefined;
}

async function readBody(message: IncomingMessage): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of message) {
    const bytes = Buffer.from(part);
    length += bytes.length;
    // Read to its end, so that the answer can be read; kept no longer.
    if (length <= LONGEST_BODY) parts.push(bytes);
  }
  return length <= LONGEST_BODY ? Buffer.concat(parts) : undefined;
}
