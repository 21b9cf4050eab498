/**
 * A server on loopback that answers with whatever bytes a test names, right or wrong by the rules of HTTP, as no HTTP library would
 * send them. Each answer has a path of its own, and the heads of the requests are kept.
 */
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { createServer as createTlsServer } from 'node:tls';

export interface RawExchange {
  readonly socket: Socket;
  /** From 1. */
  readonly attempt: number;
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
}

/** What is done with a connection once the head of a request has come. */
export type RawAnswer = (exchange: RawExchange) => void;

export interface RawServer {
  readonly origin: string;
  readonly port: number;
  /** URL under which this answer is given. */
  url(name: string, answer: RawAnswer): string;
  /** Heads of the requests that came for an answer. */
  heads(name: string): readonly string[];
  close(): Promise<void>;
}

/** Starts one on a free port of loopback; with `tls` it speaks TLS. */
export async function startRawServer(tls?: TlsOptions): Promise<RawServer> {
  const answers = new Map<string, RawAnswer>();
  const heads = new Map<string, string[]>();
  const sockets = new Set<Socket>();
  let origin = '';
  const onConnection = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // The other side may be gone: that is its right.
    socket.on('error', () => socket.destroy());
    let read = '';
    socket.on('data', (chunk) => {
      read += chunk.toString('latin1');
      for (let end = read.indexOf('\r\n\r\n'); end !== -1; end = read.indexOf('\r\n\r\n')) {
        const head = read.slice(0, end);
        read = read.slice(end + 4);
        // It came over a connection that is being closed already, and will be made again over another one.
        if (socket.writableEnded || socket.destroyed) return;
        const name = /^\S+ (?:http:\/\/[^/]+)?\/([^/?# ]*)/.exec(head)?.[1] ?? '';
        const all = heads.get(name) ?? [];
        all.push(head);
        heads.set(name, all);
        answers.get(name)?.({ socket, attempt: all.length, origin });
      }
    });
  };
  const server = tls === undefined ? createServer(onConnection) : createTlsServer(tls, onConnection);
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  origin = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  return {
    origin,
    port,
    url: (name, answer) => {
      answers.set(name, answer);
      return `${origin}/${name}`;
    },
    heads: (name) => heads.get(name) ?? [],
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Sends a whole answer; the connection stays open, as HTTP/1.1 has it. */
export const say =
  (...parts: readonly (string | Buffer)[]): RawAnswer =>
  ({ socket }) =>
    void socket.write(Buffer.concat(parts.map((part) => Buffer.from(part))));

/** Sends and ends the connection in order. */
export const sayAndEnd =
  (...parts: readonly (string | Buffer)[]): RawAnswer =>
  ({ socket }) =>
    void socket.end(Buffer.concat(parts.map((part) => Buffer.from(part))));

/** Sends and resets the connection, once what was sent has left. */
export const sayAndReset =
  (...parts: readonly (string | Buffer)[]): RawAnswer =>
  ({ socket }) => {
    const reset = (): void => void setTimeout(() => socket.resetAndDestroy(), 20);
    const bytes = Buffer.concat(parts.map((part) => Buffer.from(part)));
    if (bytes.length === 0) reset();
    else socket.write(bytes, reset);
  };

/** Sends the first part at once, and each byte of the second after a pause. */
export const drip =
  (first: string, rest: string, pauseMs: number): RawAnswer =>
  ({ socket }) => {
    if (first !== '') socket.write(first);
    let at = 0;
    const timer = setInterval(() => {
      if (at < rest.length) socket.write(rest.charAt(at++));
    }, pauseMs);
    socket.once('close', () => clearInterval(timer));
  };

/** Another answer for each request; the last one again and again. */
export const inTurn =
  (...answers: readonly RawAnswer[]): RawAnswer =>
  (exchange) =>
    answers[Math.min(exchange.attempt, answers.length) - 1]?.(exchange);

/** Lines of a head, with the empty one that ends it. */
export function head(...lines: readonly string[]): string {
  return `${lines.join('\r\n')}\r\n\r\n`;
}
