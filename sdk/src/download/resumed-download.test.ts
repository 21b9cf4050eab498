import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { RequestListener, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeServers, serve, status, whole } from '../fixtures/scripted-server.ts';
import { createHost } from '../host.ts';
import type { DownloadedFile, DownloadRequest } from './download-file.ts';
import { downloadFile } from './download-file.ts';

const BODY = 'The first half of the file. And the second half of it.';
const HALF = 27;
const SHA256 = createHash('sha256').update(BODY).digest('hex');
const STRONG = { etag: '"v1"' };

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-resume-'));
});
afterEach(async () => {
  cuts.clear();
  await closeServers();
  rmSync(root, { recursive: true, force: true });
});

const get = (url: string, more: Partial<DownloadRequest> = {}): Promise<DownloadedFile> =>
  downloadFile(
    { ...createHost({}), path: (absolute) => join(root, absolute), sleep: async () => undefined },
    {
      url,
      target: '/target',
      signal: new AbortController().signal,
      onProgress: ({ bytes }) => cuts.get(bytes)?.destroy(),
      ...more,
    },
  );
const content = (): string => readFileSync(join(root, 'target'), 'utf8');
/** Answers that are cut when so many bytes of the file are written. Before that, the runtime may drop what it has read. */
const cuts = new Map<number, ServerResponse>();
function sendPart(response: ServerResponse, from: number, end: number): void {
  if (end === BODY.length) return void response.end(BODY.slice(from));
  cuts.set(end, response);
  response.write(BODY.slice(from, end));
}
const halfWith =
  (headers: Record<string, string>): RequestListener =>
  (_, response) =>
    sendPart(response.writeHead(200, { 'content-length': BODY.length, ...headers }), 0, HALF);
const firstHalf = halfWith(STRONG);
const rest =
  (
    range = `bytes ${HALF}-${BODY.length - 1}/${BODY.length}`,
    more: Record<string, string> = {},
  ): RequestListener =>
  (_, response) =>
    response.writeHead(206, { 'content-range': range, ...STRONG, ...more }).end(BODY.slice(HALF));

describe('a body that broke off', () => {
  it('is continued where it ended, and the checksum is that of the whole', async () => {
    const { url, seen } = await serve(firstHalf, rest());
    expect(await get(url, { sha256: SHA256 })).toEqual({ bytes: BODY.length, sha256: SHA256 });
    expect(content()).toBe(BODY);
    expect(seen[1]?.headers).toMatchObject({ range: `bytes=${HALF}-`, 'if-range': '"v1"' });
  });

  it('is continued again after a busy answer and after a second break', async () => {
    const again: RequestListener = (_, response) => {
      response.writeHead(206, {
        'content-range': `bytes ${HALF}-${BODY.length - 1}/${BODY.length}`,
        'content-length': BODY.length - HALF,
      });
      sendPart(response, HALF, HALF + 5);
    };
    const { url, seen } = await serve(firstHalf, status(503), again, (request, response) => {
      expect(request.headers.range).toBe(`bytes=${HALF + 5}-`);
      response
        .writeHead(206, { 'content-range': `bytes ${HALF + 5}-${BODY.length - 1}/${BODY.length}` })
        .end(BODY.slice(HALF + 5));
    });
    await get(url, { sha256: SHA256 });
    expect(content()).toBe(BODY);
    expect(seen).toHaveLength(4);
  });

  it('begins again when the file has changed: the server sends all of it', async () => {
    const { url } = await serve(firstHalf, whole('another file', { etag: '"v2"' }));
    expect((await get(url)).bytes).toBe(12);
    expect(content()).toBe('another file');
  });

  it.each<[string, RequestListener]>([
    ['another part', rest(`bytes 0-${BODY.length - HALF - 1}/${BODY.length}`)],
    ['the rest of another file', rest(undefined, { etag: '"v2"' })],
    ['several parts', rest('')],
    ['416', status(416, { 'content-range': `bytes */${HALF}` })],
  ])('begins again when the server gives %s', async (_, answer) => {
    const { url, seen } = await serve(firstHalf, answer, whole(BODY));
    await get(url, { sha256: SHA256 });
    expect(content()).toBe(BODY);
    expect(seen[2]?.headers.range).toBeUndefined();
  });

  it('is not continued without a validator', async () => {
    const { url, seen } = await serve(halfWith({}), whole(BODY));
    await get(url);
    expect(content()).toBe(BODY);
    expect(seen[1]?.headers.range).toBeUndefined();
  });

  it('that was put together wrongly is loaded once more as a whole', async () => {
    const wrong: RequestListener = (_, response) =>
      response
        .writeHead(206, { 'content-range': `bytes ${HALF}-${BODY.length - 1}/${BODY.length}` })
        .end('#'.repeat(BODY.length - HALF));
    const { url, seen } = await serve(firstHalf, wrong, whole(BODY));
    await get(url, { sha256: SHA256 });
    expect(content()).toBe(BODY);
    expect(seen).toHaveLength(3);
  });

  it('keeps the MD5 of the whole file from the first answer', async () => {
    const md5 = createHash('md5').update('something else').digest('base64');
    const first = halfWith({ ...STRONG, 'x-ms-blob-content-md5': md5 });
    const { url } = await serve(first, rest(), status(404));
    await expect(get(url)).rejects.toMatchObject({ kind: 'refused', status: 404 });
    expect(readdirSync(root)).toEqual([]);
  });

  it('is loaded whole by tries that each bring a part', async () => {
    const { url, seen } = await serve((request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
      response.writeHead(from === 0 ? 200 : 206, {
        ...STRONG,
        'content-length': BODY.length - from,
        ...(from > 0 && { 'content-range': `bytes ${from}-${BODY.length - 1}/${BODY.length}` }),
      });
      sendPart(response, from, Math.min(from + 10, BODY.length));
    });
    await get(url, { sha256: SHA256 });
    expect(seen).toHaveLength(Math.ceil(BODY.length / 10));
  });
});
