import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Host } from '@handlerkit/sdk';
import { createHost, HandlerError } from '@handlerkit/sdk';
import { createCertificate } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { downloadHttp, redirectTarget } from './http.ts';

let folder: string;
let file: FileHandle;
let pauses: number[];
let host: Host;
const closers: (() => Promise<void>)[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'custom-script-http-'));
  file = await open(join(folder, 'target'), 'wx');
  pauses = [];
  host = {
    ...createHost(),
    now: () => new Date(Date.UTC(2026, 0, 2)),
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      pauses.push(ms);
    },
  };
});
afterEach(async () => {
  await file.close();
  for (const close of closers.splice(0)) await close();
  rmSync(folder, { recursive: true, force: true });
});

/** Serves each request with the next of `answers`, the last one again and again. */
async function serve(
  ...answers: readonly RequestListener[]
): Promise<{ url: string; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    answers[Math.min(seen.length, answers.length) - 1]?.(request, response);
  });
  return { url: await listen(server), seen };
}

/** Listens on a free port of loopback until the test ends. */
async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

const whole =
  (body: string | Uint8Array): RequestListener =>
  (_, response) =>
    response.end(body);
const status =
  (code: number, headers: Record<string, string> = {}): RequestListener =>
  (_, response) =>
    response.writeHead(code, headers).end('not the file');
const cutAfter =
  (text: string, announced: number): RequestListener =>
  (_, response: ServerResponse) => {
    response.writeHead(200, { 'content-length': announced });
    response.write(text, () => response.destroy());
  };

const get = (url: string, more: object = {}): Promise<number> =>
  downloadHttp(host, {
    url: new URL(url),
    file,
    shownAs: '/vm/target',
    signal: new AbortController().signal,
    ...more,
  });
const content = (): string => readFileSync(join(folder, 'target'), 'latin1');
async function failureOf(promise: Promise<unknown>): Promise<HandlerError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof HandlerError) return thrown;
    throw thrown;
  }
  throw new Error('the download succeeded');
}

describe('a download that succeeds', () => {
  it('writes the body and gives its length', async () => {
    const { url, seen } = await serve(whole('hello'));
    expect(await get(`${url}/a?sig=1#x`)).toBe(5);
    expect(content()).toBe('hello');
    expect(seen[0]?.url).toBe('/a?sig=1');
    expect(seen[0]?.headers['x-ms-client-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(seen[0]?.headers['accept-encoding']).toBe('identity');
  });

  it('writes an empty file', async () => {
    const { url } = await serve(whole(''));
    expect(await get(url)).toBe(0);
  });

  it('takes a body without a length, and one in another encoding unpacked', async () => {
    const { url } = await serve(
      (_, response) => {
        response.write('chunk 1,');
        response.end('chunk 2');
      },
      (_, response) => {
        const packed = gzipSync('unpacked');
        response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length }).end(packed);
      },
    );
    await get(url);
    expect(content()).toBe('chunk 1,chunk 2');
    await get(url);
    expect(content()).toBe('unpacked');
  });

  it('sends user information as a header, and to no other host', async () => {
    const other = await serve(whole('ok'));
    const { url, seen } = await serve(status(302, { location: `${other.url.replace('//', '//x:y@')}/b` }));
    await get(`${url.replace('//', '//us%40er:pa%3Ass@')}/a`);
    expect(seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from('us@er:pa:ss').toString('base64')}`);
    expect(other.seen[0]?.headers.authorization).toBeUndefined();
  });

  it.each([301, 302, 303, 307, 308])('follows %i', async (code) => {
    const { url, seen } = await serve(status(code, { location: '/b' }), whole('there'));
    await get(`${url}/a`);
    expect(content()).toBe('there');
    expect(seen.map((request) => request.url)).toEqual(['/a', '/b']);
  });
});

describe('a download that heals', () => {
  it('begins the file anew after a body that broke off: no byte of the first try stays', async () => {
    const { url } = await serve(cutAfter('x'.repeat(1000), 2000), whole('y'.repeat(700)));
    expect(await get(url)).toBe(700);
    expect(content()).toBe('y'.repeat(700));
    expect(pauses).toEqual([3000]);
  });

  it.each([408, 429, 500, 502, 503, 504])('tries again after %i', async (code) => {
    const { url } = await serve(status(code), status(code), whole('ok'));
    await get(url);
    expect(content()).toBe('ok');
    expect(pauses).toEqual([3000, 6000]);
  });

  it('waits as long as the server asks, but not for ever', async () => {
    const { url } = await serve(
      status(503, { 'retry-after': '20' }),
      status(503, { 'retry-after': 'Fri, 02 Jan 2026 00:00:30 GMT' }),
      status(429, { 'retry-after': '999999' }),
      status(503, { 'retry-after': '1' }),
      whole('ok'),
    );
    await get(url);
    expect(pauses).toEqual([20_000, 30_000, 120_000, 24_000]);
  });

  it('says what it does before each further try', async () => {
    const { url } = await serve(status(503), whole('ok'));
    const said: string[] = [];
    await get(url, { onRetry: (attempt: number, problem: string) => said.push(`${attempt}: ${problem}`) });
    expect(said).toEqual([expect.stringMatching(/^2: CustomScript failed .*"503 Service Unavailable"/)]);
  });
});

describe('a download that fails', () => {
  it('is given up after seven tries, with the last problem', async () => {
    const { url, seen } = await serve(...Array<RequestListener>(6).fill(status(503)), status(500));
    const error = await failureOf(get(`${url}/a?sig=canary`));
    expect(pauses).toEqual([3000, 6000, 12_000, 24_000, 48_000, 96_000]);
    expect(seen).toHaveLength(7);
    expect(error).toMatchObject({ code: 'STORAGE_FAILED', statusCode: -1 });
    expect(error.message).toMatch(
      /^failed to download response and write to file: \/vm\/target: CustomScript/,
    );
    expect(error.message).not.toContain('canary');
  });

  it.each<[number, number]>([
    [400, -41],
    [401, 52],
    [403, 54],
    [404, 53],
    [204, 54],
    [206, 54],
    [304, 54],
    [302, 54],
  ])('%i is an error at once, with code %i', async (code, expected) => {
    const { url, seen } = await serve(status(code), whole('never'));
    expect(await failureOf(get(url))).toMatchObject({ statusCode: expected });
    expect(seen).toHaveLength(1);
    expect(content()).toBe('');
  });

  it('a body shorter than announced is never a success', async () => {
    const { url } = await serve(cutAfter('short', 100));
    expect(await failureOf(get(url))).toMatchObject({ code: 'DOWNLOAD_CUT', statusCode: 55 });
    expect(pauses).toHaveLength(6);
  });

  it('a body that breaks off without an announced length is never a success', async () => {
    const { url } = await serve((_, response) => {
      response.write('part', () => response.destroy());
    });
    expect(await failureOf(get(url))).toMatchObject({ statusCode: 55 });
  });

  it('a refused connection is named, without the query', async () => {
    const { url } = await serve(whole(''));
    for (const close of closers.splice(0)) await close();
    const error = await failureOf(get(`${url}/a?sig=canary`));
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', statusCode: -40 });
    expect(error.message).toContain(`http request failed: cannot connect to ${url.slice(7)}: `);
    expect(error.message).toContain('ECONNREFUSED');
    expect(error.message).not.toContain('canary');
    expect(pauses).toHaveLength(6);
  });

  it('a certificate that nobody vouches for is an error at once', async () => {
    const { privateKeyPem, certificatePem } = createCertificate();
    const server = createTlsServer({ key: privateKeyPem, cert: certificatePem }, whole('never'));
    const url = (await listen(server)).replace('http:', 'https:');
    const error = await failureOf(get(`${url}/a?sig=canary`));
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', statusCode: -40 });
    expect(error.message).toContain(`the certificate of ${url.slice(8)} is not trusted by this VM`);
    expect(error.message).not.toContain('canary');
    expect(pauses).toEqual([]);
  });

  it('a loop of redirects ends, and is not tried again', async () => {
    const { url, seen } = await serve(status(302, { location: '/a?sig=canary' }));
    const error = await failureOf(get(`${url}/a`));
    expect(error.message).toContain('redirects more than 10 times');
    expect(error.message).not.toContain('canary');
    expect(seen).toHaveLength(11);
    expect(pauses).toEqual([]);
  });

  it('a server that never answers is given up', async () => {
    const { url, seen } = await serve(() => undefined);
    const error = await failureOf(get(url, { limits: { headersMs: 20, idleMs: 60_000 } }));
    expect(error).toMatchObject({ code: 'DOWNLOAD_TIMED_OUT', statusCode: 56 });
    expect(error.message).toContain('http request timed out: ');
    expect(seen).toHaveLength(7);
  });

  it('a body that stalls is tried once more and then given up', async () => {
    const { url, seen } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('abc');
    });
    const error = await failureOf(get(url, { limits: { headersMs: 60_000, idleMs: 50 } }));
    expect(error).toMatchObject({ code: 'DOWNLOAD_TIMED_OUT', statusCode: 56 });
    expect(seen).toHaveLength(2);
  });

  it('a file that cannot be written is an error at once', async () => {
    const { url } = await serve(whole('x'));
    const readOnly = await open(join(folder, 'target'), 'r');
    try {
      const error = await failureOf(get(url, { file: readOnly }));
      expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', statusCode: -40 });
      expect(error.message).toContain('cannot write /vm/target');
      expect(pauses).toEqual([]);
    } finally {
      await readOnly.close();
    }
  });
});

describe('an abort', () => {
  const reason = new HandlerError('TIMED_OUT', 'the time limit was reached');

  it('ends a body that is being read', async () => {
    const stop = new AbortController();
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('abc', () => stop.abort(reason));
    });
    await expect(get(url, { signal: stop.signal })).rejects.toBe(reason);
    expect(pauses).toEqual([]);
  });

  it('ends the pause between two tries', async () => {
    const stop = new AbortController();
    const { url } = await serve(status(503));
    const waiting = get(url, { signal: stop.signal, onRetry: () => stop.abort(reason) });
    await expect(waiting).rejects.toBe(reason);
  });
});

it('a body of 64 MiB is written whole while memory stays small', async () => {
  const piece = Buffer.alloc(1024 * 1024, 'm');
  const { url } = await serve((_, response) => {
    let left = 64;
    const push = (): void => {
      while (left-- > 0) if (!response.write(piece)) return void response.once('drain', push);
      response.end();
    };
    push();
  });
  const before = process.memoryUsage().arrayBuffers;
  expect(await get(url)).toBe(64 * piece.length);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(48 * piece.length);
  const end = Buffer.alloc(1);
  const handle = openSync(join(folder, 'target'), 'r');
  readSync(handle, end, 0, 1, 64 * piece.length - 1);
  closeSync(handle);
  expect(end.toString()).toBe('m');
});

describe('redirectTarget', () => {
  const from = new URL('https://user:pass@h/a?sig=canary');

  it.each<[string, string]>([
    ['/b', 'https://h/b'],
    ['b?x=1#part', 'https://h/b?x=1'],
    ['//other/c', 'https://other/c'],
    ['https://u:p@other/c', 'https://other/c'],
  ])('%s leads to %s', (location, expected) => {
    expect(redirectTarget(from, location).href).toBe(expected);
  });

  it.each<[string, string]>([
    ['http://h/a?sig=canary', 'from https to http, which is refused'],
    ['file:///etc/canary', 'to something that is not http or https'],
    ['ftp://h/canary', 'to something that is not http or https'],
    ['https://:99999/canary', 'not a valid URL'],
  ])('%s is refused', (location, text) => {
    expect(() => redirectTarget(from, location)).toThrow(text);
    expect(() => redirectTarget(from, location)).not.toThrow('canary');
  });

  it('allows the way from http to https', () => {
    expect(redirectTarget(new URL('http://h/a'), 'https://h/a').protocol).toBe('https:');
  });
});
