import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer, request as httpRequest } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execCommand } from './exec.ts';
import { closeServers, listen, serve, status, whole } from './fixtures/scripted-server.ts';
import { createFetch } from './host-fetch.ts';
import { transportCode } from './transport-code.ts';

/** A name that no resolver knows: who gets an answer from it has gone through the proxy. */
const NAME = 'files.test';

let folder: string;
const sockets = new Set<Socket>();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-fetch-'));
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await closeServers();
  rmSync(folder, { recursive: true, force: true });
});

interface Proxy {
  readonly url: string;
  /** Method, target and credentials of each request that came. */
  readonly seen: readonly string[];
}

/** A proxy that takes every name for loopback. `refuse` is its answer to all, instead of letting through. */
async function startProxy(refuse?: number): Promise<Proxy> {
  const seen: string[] = [];
  const note = ({ method, url, headers }: IncomingMessage): void =>
    void seen.push(`${method} ${url} ${headers['proxy-authorization'] ?? '-'}`);
  const server = createServer((incoming, response) => {
    note(incoming);
    if (refuse !== undefined) return void response.writeHead(refuse).end();
    const { port, pathname, search } = new URL(incoming.url ?? '');
    const { 'proxy-authorization': _, ...headers } = incoming.headers;
    const options = { host: '127.0.0.1', port, path: pathname + search, method: incoming.method, headers };
    const onward = httpRequest(options, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    onward.on('error', () => response.destroy());
    incoming.pipe(onward);
  });
  server.on('connect', (incoming: IncomingMessage, socket: Socket) => {
    note(incoming);
    sockets.add(socket);
    socket.on('error', () => undefined);
    if (refuse !== undefined) return void socket.end(`HTTP/1.1 ${refuse} No\r\ncontent-length: 0\r\n\r\n`);
    const onward = connect(Number(incoming.url?.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      onward.pipe(socket);
      socket.pipe(onward);
    });
    onward.on('error', () => socket.destroy());
  });
  return { url: await listen(server), seen };
}

/** The same server under the name that only a proxy finds. */
const named = (url: string): string => url.replace('127.0.0.1', NAME);

describe('http through a proxy', () => {
  it('asks in the absolute form, and gives status, headers and body', async () => {
    const proxy = await startProxy();
    const { url, seen } = await serve(whole('hello', { etag: '"a"' }), status(404));
    const fetch = createFetch({ http_proxy: proxy.url.replace('//', '//us%40er:pass@') });
    const response = await fetch(`${named(url)}/a?b=1`, { headers: { 'x-test': 'yes' } });
    expect([response.status, response.headers.get('etag'), await response.text()]).toEqual([
      200,
      '"a"',
      'hello',
    ]);
    expect((await fetch(`${named(url)}/c`)).status).toBe(404);
    const user = Buffer.from('us@er:pass').toString('base64');
    expect(proxy.seen).toEqual([
      `GET ${named(url)}/a?b=1 Basic ${user}`,
      `GET ${named(url)}/c Basic ${user}`,
    ]);
    expect(seen[0]?.headers).toMatchObject({ host: named(url).slice(7), 'x-test': 'yes' });
    expect(seen[0]?.headers['proxy-authorization']).toBeUndefined();
  });

  it('sends a body', async () => {
    const proxy = await startProxy();
    const echo: RequestListener = (request, response) => void request.pipe(response);
    const { url } = await serve(echo);
    const response = await createFetch({ http_proxy: proxy.url })(named(url), {
      method: 'PUT',
      body: 'text',
    });
    expect(await response.text()).toBe('text');
  });

  it('is not used for loopback, nor for names that are excepted', async () => {
    const proxy = await startProxy();
    const { url } = await serve(whole('direct'));
    const fetch = createFetch({ http_proxy: proxy.url, no_proxy: 'test' });
    expect(await (await fetch(url)).text()).toBe('direct');
    await expect(fetch(named(url)).catch((thrown: unknown) => transportCode(thrown))).resolves.toMatch(
      /ENOTFOUND|EAI_AGAIN/,
    );
    expect(proxy.seen).toEqual([]);
  });

  it('redirects are followed as without one, given as they are, or refused', async () => {
    const proxy = await startProxy();
    const there = await serve(whole('there'));
    const { url, seen } = await serve(status(302, { location: `${named(there.url)}/b` }));
    const fetch = createFetch({ http_proxy: proxy.url });
    const response = await fetch(named(url), { headers: { authorization: 'canary', accept: 'text/plain' } });
    expect(await response.text()).toBe('there');
    expect(seen[0]?.headers.authorization).toBe('canary');
    expect(there.seen[0]?.headers).toMatchObject({ accept: 'text/plain' });
    expect(there.seen[0]?.headers.authorization).toBeUndefined();
    expect((await fetch(named(url), { redirect: 'manual' })).status).toBe(302);
    await expect(fetch(named(url), { redirect: 'error' })).rejects.toThrow(/redirect/i);
    await expect(fetch(named(url), { method: 'POST', body: 'x' })).rejects.toThrow(TypeError);
  });

  it('that breaks off is an error of the body; a proxy that is not there is one of the connection', async () => {
    const proxy = await startProxy();
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('part', () => response.destroy());
    });
    const fetch = createFetch({ http_proxy: proxy.url });
    const body = fetch(named(url)).then((response) => response.text());
    await expect(body).rejects.toThrow();
    await closeServers();
    await expect(fetch(named(url)).catch((thrown: unknown) => transportCode(thrown))).resolves.toBe(
      'ECONNREFUSED',
    );
  });

  it('ends with the signal', async () => {
    const proxy = await startProxy();
    const stop = new AbortController();
    const { url } = await serve(() => stop.abort());
    await expect(
      createFetch({ http_proxy: proxy.url })(named(url), { signal: stop.signal }),
    ).rejects.toThrow();
  });
});

describe('https through a proxy', () => {
  /** A certificate of the name, made by a real openssl. */
  function makeCertificate(): { readonly key: string; readonly cert: string; readonly file: string } {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const subject = ['-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    const output = ['-keyout', key, '-out', cert];
    execFileSync('openssl', ['req', '-x509', ...kind, ...output, ...subject], {
      stdio: 'ignore',
      timeout: 20_000,
    });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8'), file: cert };
  }

  /** In a process of its own: which authorities it trusts is fixed when it starts. */
  async function fetchApart(env: Record<string, string>, ...urls: string[]): Promise<unknown[]> {
    const program = fileURLToPath(new URL('fixtures/fetch-program.ts', import.meta.url));
    const argv = [process.execPath, '--import', 'tsx', '--conditions=@handlerkit/source', program, ...urls];
    const { stdout } = await execCommand(argv, {
      env: { PATH: process.env.PATH ?? '', ...env },
      timeoutMs: 20_000,
    });
    return stdout
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
  }

  it('goes through a tunnel, with the certificate checked for the name in the URL', async () => {
    const { key, cert, file } = makeCertificate();
    const proxy = await startProxy();
    const seen: IncomingMessage[] = [];
    const server = createTlsServer({ key, cert }, (request, response) => {
      seen.push(request);
      response.end('hello');
    });
    const url = named(await listen(server)).replace('http:', 'https:');
    const env = { https_proxy: proxy.url, NODE_EXTRA_CA_CERTS: file };
    const [trusted, otherName] = await fetchApart(env, `${url}/a?sig=1`, url.replace(NAME, 'other.test'));
    expect(trusted).toEqual({ status: 200, text: 'hello', location: null });
    expect(otherName).toEqual({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    expect(proxy.seen[0]).toBe(`CONNECT ${url.slice(8)} -`);
    expect(seen[0]?.headers).toMatchObject({ host: url.slice(8), 'x-test': 'yes' });
    expect(await fetchApart({ https_proxy: proxy.url }, url)).toEqual([
      { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
    ]);
  });

  it.each([403, 407])('is an error with a code of its own when the proxy answers %i', async (answer) => {
    const proxy = await startProxy(answer);
    const failed = createFetch({ https_proxy: proxy.url })(`https://${NAME}/`);
    await expect(failed.catch((thrown: unknown) => transportCode(thrown))).resolves.toBe('ERR_PROXY_TUNNEL');
  });
});
