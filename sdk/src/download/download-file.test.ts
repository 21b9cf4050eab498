import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HandlerError } from '../errors.ts';
import { closeServers, cutAfter, listen, serve, status, whole } from '../fixtures/scripted-server.ts';
import type { Host } from '../host.ts';
import { createHost } from '../host.ts';
import { createCertificate } from '../testing/certificates.ts';
import { DownloadError } from './download-error.ts';
import type { DownloadedFile, DownloadRequest } from './download-file.ts';
import { downloadFile } from './download-file.ts';

let root: string;
let pauses: number[];
let host: Host;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-download-'));
  mkdirSync(join(root, 'vm'));
  pauses = [];
  host = {
    ...createHost({}),
    root,
    path: (absolute) => join(root, absolute),
    now: () => new Date(Date.UTC(2026, 0, 2)),
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      pauses.push(ms);
    },
  };
});
afterEach(async () => {
  await closeServers();
  rmSync(root, { recursive: true, force: true });
});

const get = (url: string, more: Partial<DownloadRequest> = {}): Promise<DownloadedFile> =>
  downloadFile(host, {
    url,
    target: '/vm/target',
    signal: new AbortController().signal,
    random: () => 1,
    wantsSha256: true,
    ...more,
  });
const content = (): string => readFileSync(join(root, 'vm/target'), 'latin1');
const left = (): string[] => readdirSync(join(root, 'vm'));
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const md5 = (text: string): string => createHash('md5').update(text).digest('base64');

async function failureOf(promise: Promise<unknown>): Promise<DownloadError> {
  const thrown = await promise.then(
    () => new Error('the download succeeded'),
    (reason: unknown) => reason,
  );
  if (!(thrown instanceof DownloadError)) throw thrown;
  expect(thrown.message).not.toMatch(/canary|sig=/);
  expect(thrown.message).toBe(`cannot download /vm/target: ${thrown.detail}`);
  expect(left()).toEqual([]);
  return thrown;
}

describe('a download that succeeds', () => {
  it('gives length and checksum, and sends neither fragment nor encoding wishes', async () => {
    const { url, seen } = await serve(whole('hello'));
    expect(await get(`${url}/a?sig=1#x`)).toEqual({ bytes: 5, sha256: sha256('hello') });
    expect(content()).toBe('hello');
    expect(left()).toEqual(['target']);
    expect(seen[0]?.url).toBe('/a?sig=1');
    expect(seen[0]?.headers['accept-encoding']).toBe('identity');
  });

  it('writes an empty file', async () => {
    const { url } = await serve(whole(''));
    expect(await get(url)).toEqual({ bytes: 0, sha256: sha256('') });
  });

  it.each([0o600, 0o500, 0o755])('gives the file the mode %o, whatever the umask', async (mode) => {
    const { url } = await serve(whole('x'));
    await get(url, { mode });
    expect(statSync(join(root, 'vm/target')).mode & 0o777).toBe(mode);
  });

  it('replaces a former file only when the new one is whole', async () => {
    writeFileSync(join(root, 'vm/target'), 'former');
    const { url } = await serve(status(404), (_, response) => {
      response.write('ne', () => {
        expect(content()).toBe('former');
        response.end('w');
      });
    });
    await expect(get(url)).rejects.toThrow('answered 404');
    expect(content()).toBe('former');
    await get(url);
    expect(content()).toBe('new');
  });

  it('takes a body without a length, and one in another encoding unpacked', async () => {
    const packed = gzipSync('unpacked');
    const { url } = await serve(
      (_, response) => {
        response.write('chunk 1,');
        response.end('chunk 2');
      },
      whole(packed, { 'content-encoding': 'gzip', 'content-length': String(packed.length) }),
    );
    await get(url);
    expect(content()).toBe('chunk 1,chunk 2');
    await get(url);
    expect(content()).toBe('unpacked');
  });

  it('takes checksums of the caller in either case, and of the server', async () => {
    const { url } = await serve(whole('hello', { 'content-md5': md5('hello') }));
    const hex = Buffer.from(md5('hello'), 'base64').toString('hex');
    await get(url, { sha256: sha256('hello').toUpperCase(), md5: hex.toUpperCase() });
    expect(content()).toBe('hello');
  });

  it('tells how far it is', async () => {
    const { url } = await serve(whole('hello', { 'content-length': '5' }));
    const told: unknown[] = [];
    await get(url, { onProgress: (progress) => told.push(progress) });
    expect(told.at(-1)).toEqual({ bytes: 5, totalBytes: 5 });
  });
});

describe('a download that heals', () => {
  it('begins the file anew when the rest cannot be asked for: no byte of the first try stays', async () => {
    const { url, seen } = await serve(cutAfter('x'.repeat(1000), 2000), whole('y'.repeat(700)));
    expect(await get(url)).toEqual({ bytes: 700, sha256: sha256('y'.repeat(700)) });
    expect(content()).toBe('y'.repeat(700));
    expect(pauses).toEqual([3000]);
    expect(seen[1]?.headers.range).toBeUndefined();
  });

  it.each([408, 429, 500, 502, 503, 504])('tries again after %i', async (code) => {
    const { url } = await serve(status(code), status(code), whole('ok'));
    await get(url);
    expect(content()).toBe('ok');
    expect(pauses).toEqual([3000, 6000]);
  });

  it('waits between half and all of the pause, as chance will have it', async () => {
    const { url } = await serve(status(503), status(503), whole('ok'));
    const chances = [0, 0.5];
    await get(url, { random: () => chances.shift() ?? 1 });
    expect(pauses).toEqual([1500, 4500]);
  });

  it('waits as long as the server asks, but not for ever', async () => {
    const { url } = await serve(
      status(503, { 'retry-after': '20' }),
      status(503, { 'retry-after': 'Fri, 02 Jan 2026 00:00:30 GMT' }),
      status(429, { 'retry-after': '999999' }),
      status(503, { 'retry-after': '-1' }),
      whole('ok'),
    );
    await get(url);
    expect(pauses).toEqual([20_000, 30_000, 120_000, 24_000]);
  });

  it('says what was wrong before each further try', async () => {
    const { url } = await serve(status(503), whole('ok'));
    const said: string[] = [];
    await get(url, {
      onRetry: (attempt, problem) => said.push(`${attempt} ${problem.kind} ${problem.status}`),
    });
    expect(said).toEqual(['2 refused 503']);
  });

  it('asks once more when the checksum of the server does not fit', async () => {
    const headers = { 'x-ms-blob-content-md5': md5('right') };
    const { url } = await serve(whole('wrong', headers), whole('right', headers));
    await get(url);
    expect(content()).toBe('right');
  });
});

const LAST_CHUNK = Buffer.from('\r\n0\r\n\r\n');

describe('a download that fails', () => {
  it('is given up after seven tries, with the last problem', async () => {
    const { url, seen } = await serve(
      ...Array<RequestListener>(6).fill(status(503)),
      status(500, { 'x-ms-request-id': 'ab-12' }),
    );
    const error = await failureOf(get(`${url}/a?sig=canary`));
    expect(pauses).toEqual([3000, 6000, 12_000, 24_000, 48_000, 96_000]);
    expect(seen).toHaveLength(7);
    expect(error).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      kind: 'refused',
      status: 500,
      host: url.slice(7),
    });
    expect(error).toMatchObject({ statusText: 'Internal Server Error', serviceRequestId: 'ab-12' });
  });

  it.each([400, 401, 403, 404, 409, 410, 412, 416, 204, 206, 304, 302])(
    '%i is an error at once',
    async (code) => {
      const { url, seen } = await serve(status(code), whole('never'));
      expect(await failureOf(get(url))).toMatchObject({ kind: 'refused', status: code });
      expect(seen).toHaveLength(1);
    },
  );

  it('a body shorter than announced, or cut without a length, is never a success', async () => {
    const short = await serve(cutAfter('short', 100));
    expect(await failureOf(get(short.url))).toMatchObject({ kind: 'body' });
    expect(pauses).toHaveLength(6);
    const cut = await serve((_, response) => void response.write('part', () => response.destroy()));
    expect(await failureOf(get(cut.url))).toMatchObject({ kind: 'body' });
  });

  it('a packed body that is corrupt, or a head that is too large, is given up at once', async () => {
    const { url, seen } = await serve(
      whole('no gzip', { 'content-encoding': 'gzip' }),
      whole('x', { 'x-large': 'a'.repeat(200_000) }),
    );
    expect(await failureOf(get(url))).toMatchObject({ kind: 'body' });
    expect(seen).toHaveLength(1);
    expect(await failureOf(get(url))).toMatchObject({ kind: 'transport' });
    expect([seen.length, pauses]).toEqual([2, []]);
  });

  it('a body that is packed for its way is not taken for the file', async () => {
    const { url, seen } = await serve((_, { socket }) => {
      const packed = gzipSync('hello');
      const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n';
      socket?.write(
        Buffer.concat([Buffer.from(`${head}${packed.length.toString(16)}\r\n`), packed, LAST_CHUNK]),
      );
    });
    expect(await failureOf(get(url))).toMatchObject({ kind: 'body' });
    expect(seen).toHaveLength(1);
  });

  it('a wrong checksum of the caller is an error at once, of the server after a second try', async () => {
    const { url, seen } = await serve(whole('hello'));
    const error = await failureOf(get(url, { sha256: sha256('other') }));
    expect(error).toMatchObject({ kind: 'integrity' });
    expect(error.detail).toContain(`its own is ${sha256('hello')}`);
    expect(await failureOf(get(url, { md5: '0'.repeat(32) }))).toMatchObject({ kind: 'integrity' });
    expect(seen).toHaveLength(2);
    const lying = await serve(whole('hello', { 'content-md5': md5('other') }));
    expect(await failureOf(get(lying.url))).toMatchObject({ kind: 'integrity' });
    expect(lying.seen).toHaveLength(2);
  });

  it.each([true, false])(
    'a file that is larger than allowed is refused (length announced: %s)',
    async (announced) => {
      const { url, seen } = await serve((_, response) => {
        if (announced) response.writeHead(200, { 'content-length': 11 });
        response.write('hello ');
        response.end('world');
      });
      const error = await failureOf(get(url, { maxBytes: 10 }));
      expect(error).toMatchObject({
        kind: 'body',
        detail: expect.stringContaining('at most 10 are allowed'),
      });
      expect(seen).toHaveLength(1);
    },
  );

  it('a file for which the disk has no room is refused before a byte is written', async () => {
    const { url, seen } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '900000000000000' });
      response.write('x');
    });
    const error = await failureOf(get(url));
    expect(error).toMatchObject({ kind: 'no-space' });
    expect(error.detail).toMatch(
      /not enough free space for \/vm\/target: it needs 900000000000000 bytes, and its disk has \d+;/,
    );
    expect(seen).toHaveLength(1);
  });

  it('a folder that is not there is an error at once, before any request', async () => {
    const { url, seen } = await serve(whole('x'));
    const thrown = await get(url, { target: '/absent/target' }).catch((reason: unknown) => reason);
    expect(thrown).toMatchObject({
      kind: 'disk',
      detail: expect.stringContaining('cannot write /absent/target (ENOENT)'),
    });
    expect(seen).toHaveLength(0);
  });

  it('a refused connection is named', async () => {
    const { url } = await serve(whole(''));
    await closeServers();
    const error = await failureOf(get(`${url}/a?sig=canary`));
    expect(error).toMatchObject({ kind: 'transport' });
    expect(error.detail).toBe(`cannot connect to ${url.slice(7)}: the connection was refused (ECONNREFUSED)`);
    expect(pauses).toHaveLength(6);
  });

  it('a certificate that nobody vouches for is an error at once', async () => {
    const { privateKeyPem, certificatePem } = createCertificate();
    const server = createServer({ key: privateKeyPem, cert: certificatePem }, whole('never'));
    const url = (await listen(server)).replace('http:', 'https:');
    const error = await failureOf(get(`${url}/a?sig=canary`));
    expect(error.detail).toContain(`the certificate of ${url.slice(8)} is not trusted by this VM`);
    expect(pauses).toEqual([]);
  });

  it('a server that never answers is asked once more and then given up', async () => {
    const { url, seen } = await serve(() => undefined);
    const error = await failureOf(get(url, { limits: { headersMs: 20 } }));
    expect(error).toMatchObject({ kind: 'timeout', detail: expect.stringContaining('no answer in time') });
    expect(seen).toHaveLength(2);
    expect(pauses).toEqual([3000]);
  });

  it('a body that stalls, or drips, is tried once more and then given up', async () => {
    const drip: RequestListener = (_, response) => {
      response.writeHead(200, { 'content-length': 5000 });
      const timer = setInterval(() => response.write('x'), 10);
      response.once('close', () => clearInterval(timer));
    };
    for (const answer of [drip, cutlessStall]) {
      const { url, seen } = await serve(answer);
      expect(await failureOf(get(url, { limits: { idleMs: 80 } }))).toMatchObject({ kind: 'timeout' });
      expect(seen).toHaveLength(2);
    }
  });

  it('a file that is not complete within the whole limit is given up', async () => {
    const { url } = await serve(cutlessStall);
    const error = await failureOf(get(url, { limits: { totalMs: 100 } }));
    expect(error).toMatchObject({
      kind: 'timeout',
      detail: expect.stringContaining('not complete after 0.1 seconds'),
    });
  });

  it('a pause that would outlast the whole limit is not begun: the problem itself is told', async () => {
    const { url } = await serve(status(503));
    expect(await failureOf(get(url, { limits: { totalMs: 2_000 } }))).toMatchObject({ status: 503 });
    expect(pauses).toEqual([]);
  });

  it.each(['canary', 'ftp://h/canary', 'file:///etc/canary', 'http://%ff@h/canary'])(
    '%s is refused',
    async (url) => {
      expect(await failureOf(get(url))).toMatchObject({ kind: 'transport' });
    },
  );
});

const cutlessStall: RequestListener = (_, response) => {
  response.writeHead(200, { 'content-length': 10 });
  response.write('abc');
};

describe('an abort', () => {
  const reason = new HandlerError('TIMED_OUT', 'the time limit was reached');

  it('ends a body that is being read, and leaves nothing', async () => {
    const stop = new AbortController();
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('abc', () => stop.abort(reason));
    });
    await expect(get(url, { signal: stop.signal })).rejects.toBe(reason);
    expect(left()).toEqual([]);
  });

  it('ends the pause between two tries', async () => {
    const stop = new AbortController();
    const { url } = await serve(status(503));
    await expect(get(url, { signal: stop.signal, onRetry: () => stop.abort(reason) })).rejects.toBe(reason);
  });

  it('that came before is told before anything is made', async () => {
    await expect(get('http://127.0.0.1:1/', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(left()).toEqual([]);
  });
});

it('a body of 64 MiB is written whole while memory stays small', async () => {
  const piece = Buffer.alloc(1024 * 1024, 'm');
  const { url } = await serve((_, response) => {
    let missing = 64;
    const push = (): void => {
      while (missing-- > 0) if (!response.write(piece)) return void response.once('drain', push);
      response.end();
    };
    push();
  });
  const before = process.memoryUsage().arrayBuffers;
  expect((await get(url)).bytes).toBe(64 * piece.length);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(48 * piece.length);
});
