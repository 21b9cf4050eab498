/**
 * One request through an HTTP proxy, for Node, whose `fetch` knows none: the absolute form for http, a tunnel (CONNECT) and
 * TLS inside it for https. Source: RFC 9112 3.2.2, RFC 9110 9.3.6.
 */
import type { IncomingMessage, RequestOptions } from 'node:http';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';

/**
 * The answer to `request`. The body is given as it is sent, in whatever encoding. Rejects as `fetch` does when there is no
 * connection; a proxy that refuses the tunnel is an error with bun's code for it, `ERR_PROXY_TUNNEL`. Does not follow a redirect.
 */
export async function fetchThroughProxy(proxy: URL, request: Request): Promise<Response> {
  const url = new URL(request.url);
  const body = request.body === null ? undefined : Buffer.from(await request.arrayBuffer());
  const headers = { ...Object.fromEntries(request.headers), ...(body && { 'content-length': body.length }) };
  const options: RequestOptions = { method: request.method, headers, signal: request.signal };
  const message =
    url.protocol === 'https:'
      ? await sendThroughTunnel(url, await openTunnel(proxy, url, request.signal), options, body)
      : await send(
          senderOf(proxy)({
            ...placeOf(proxy),
            ...options,
            agent: false,
            headers: { ...headers, ...authorizationOf(proxy), host: url.host },
            path: url.href,
          }),
          body,
        );
  return toResponse(message, request);
}

function sendThroughTunnel(
  url: URL,
  tunnel: Socket,
  options: RequestOptions,
  body: Buffer | undefined,
): Promise<IncomingMessage> {
  const servername = /^[\d.]+$|^\[/.test(url.hostname) ? undefined : url.hostname;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  // No agent may be named: Node would let it make the connection.
  const createConnection = (): Socket =>
    tlsConnect({ socket: tunnel, host, ...(servername && { servername }) });
  return send(httpsRequest(url, { ...options, createConnection }), body);
}

function openTunnel(proxy: URL, url: URL, signal: AbortSignal): Promise<Socket> {
  const authority = `${url.hostname}:${url.port || '443'}`;
  return new Promise((resolve, reject) => {
    const request = senderOf(proxy)({
      ...placeOf(proxy),
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...authorizationOf(proxy) },
      signal,
      agent: false,
    });
    const refuse = (message: IncomingMessage): void => {
      message.destroy();
      const text = `the proxy ${proxy.host} answered ${message.statusCode} to the request for a tunnel`;
      reject(Object.assign(new Error(text), { code: 'ERR_PROXY_TUNNEL' }));
    };
    request.once('connect', (message, socket) => {
      if (message.statusCode === 200) return resolve(socket);
      socket.destroy();
      refuse(message);
    });
    request.once('response', refuse);
    request.once('error', reject);
    request.end();
  });
}

function send(request: ReturnType<typeof httpRequest>, body: Buffer | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
    request.end(body);
  });
}

function toResponse(message: IncomingMessage, request: Request): Response {
  const status = message.statusCode ?? 0;
  const headers = new Headers();
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  const isEmpty = request.method === 'HEAD' || [101, 204, 205, 304].includes(status);
  if (isEmpty) message.resume();
  const stream = isEmpty ? null : Readable.toWeb(message);
  return new Response(stream as ReadableStream | null, {
    status,
    statusText: message.statusMessage ?? '',
    headers,
  });
}

function senderOf(proxy: URL): typeof httpRequest {
  return proxy.protocol === 'https:' ? httpsRequest : httpRequest;
}

function placeOf(proxy: URL): RequestOptions {
  return {
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
  };
}

function authorizationOf(proxy: URL): Record<string, string> {
  if (proxy.username === '' && proxy.password === '') return {};
  const text = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(text).toString('base64')}` };
}
