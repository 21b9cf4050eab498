import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@handlerkit/sdk';
import { createHost, HandlerError } from '@handlerkit/sdk';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createFileAccess } from './blob-access.ts';
import { planDownloads } from './file-name.ts';
import { downloadFiles, PARALLEL_DOWNLOADS } from './index.ts';

let root: string;
let server: Server;
let answer: RequestListener;
let base: string;
const logged: string[] = [];
const note = (message: string): void => void logged.push(message);
const log: Logger = { debug: note, info: note, warn: note, error: note, event: () => undefined };

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'custom-script-files-'));
  mkdirSync(join(root, 'run'), { mode: 0o700 });
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  base = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  logged.length = 0;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(root, { recursive: true, force: true });
});

function download(
  names: readonly string[],
  more: { signal?: AbortSignal; begun?: string[] } = {},
): Promise<void> {
  const sleep = async (): Promise<void> => undefined;
  const host = { ...createHost(), root, sleep, path: (absolute: string) => join(root, absolute) };
  return downloadFiles(
    {
      host,
      log,
      folder: '/run',
      signal: more.signal ?? new AbortController().signal,
      access: createFileAccess(undefined, undefined, () => undefined),
      progress: {
        onStart: (file) => void more.begun?.push(file.name),
        onProgress: () => undefined,
        onEnd: () => undefined,
      },
    },
    planDownloads(names.map((name) => `${base}/${name}`)),
  );
}

it('saves every file under its name, mode 0500, some at a time', async () => {
  let open = 0;
  let most = 0;
  const held: (() => void)[] = [];
  answer = (request, response) => {
    most = Math.max(most, ++open);
    held.push(() => {
      open--;
      response.end(`content of ${request.url}`);
    });
    // Answers only when as many are open as may be, so that fewer at a time would never end.
    if (held.length >= PARALLEL_DOWNLOADS) for (const release of held.splice(0)) release();
  };
  const names = Array.from({ length: 2 * PARALLEL_DOWNLOADS }, (_, index) => `f${10 + index}.bin`);
  const begun: string[] = [];
  await download(names, { begun });
  expect(most).toBe(PARALLEL_DOWNLOADS);
  expect(begun).toEqual(names);
  expect(readdirSync(join(root, 'run')).sort()).toEqual(names);
  for (const name of names) {
    expect(readFileSync(join(root, 'run', name), 'utf8')).toBe(`content of /${name}`);
    expect(statSync(join(root, 'run', name)).mode & 0o777).toBe(0o500);
  }
  expect(logged.filter((message) => message === 'download complete')).toHaveLength(names.length);
});

it('the first failure ends the others, names its place, and leaves no part of a file', async () => {
  const hanging: unknown[] = [];
  answer = (request, response) => {
    if (request.url !== '/bad') {
      response.writeHead(200, { 'content-length': 100 });
      response.write('part');
      hanging.push(request);
      return;
    }
    response.writeHead(404).end();
  };
  const begun: string[] = [];
  const others = Array.from({ length: PARALLEL_DOWNLOADS }, (_, index) => `other-${index}`);
  const failure = download(['a', 'b', 'bad', ...others], { begun });
  await expect(failure).rejects.toMatchObject({
    code: 'DOWNLOAD_NOT_FOUND',
    statusCode: 53,
    message: expect.stringMatching(
      /^processing file downloads failed: failed to download file\[2\]: failed to download response and write to file: \/run\/bad: CustomScript failed to download the file from 127\.0\.0\.1:\d+ because it does not exist\./,
    ),
  });
  expect(readdirSync(join(root, 'run'))).toEqual([]);
  expect(begun).not.toContain(others.at(-1));
});

it('an abort from outside ends all, with its own reason', async () => {
  const stop = new AbortController();
  const reason = new HandlerError('SUPERSEDED', 'newer settings arrived');
  answer = (_, response) => {
    response.write('part', () => stop.abort(reason));
  };
  await expect(download(['a', 'b'], { signal: stop.signal })).rejects.toBe(reason);
  expect(readdirSync(join(root, 'run'))).toEqual([]);
});

it('a folder that cannot be written to is an error that names the file', async () => {
  answer = (_, response) => response.end('x');
  rmSync(join(root, 'run'), { recursive: true });
  await expect(download(['a'])).rejects.toMatchObject({
    statusCode: -40,
    message: expect.stringContaining('failed to download file[0]: cannot write /run/a (ENOENT)'),
  });
});

it.each<[number, string, number]>([
  [400, 'DOWNLOAD_BAD_REQUEST', -41],
  [401, 'DOWNLOAD_DENIED', 52],
  [403, 'DOWNLOAD_REFUSED', 54],
  [404, 'DOWNLOAD_NOT_FOUND', 53],
  [500, 'STORAGE_FAILED', -1],
  [302, 'DOWNLOAD_REFUSED', 54],
])(
  'a server that answers %i is the error %s, code %i, and no query is shown',
  async (status, code, statusCode) => {
    answer = (_, response) => response.writeHead(status).end('never');
    const failure = download(['a?sig=canary']);
    await expect(failure).rejects.toMatchObject({ code, statusCode });
    await expect(failure).rejects.not.toThrow('canary');
    if (status === 500) expect(logged).toHaveLength(6);
  },
);

it('each request has an id, and a file that was cut is there whole in the end', async () => {
  const ids: unknown[] = [];
  answer = (request, response) => {
    ids.push(request.headers['x-ms-client-request-id']);
    if (ids.length > 1) return response.end('whole');
    response.writeHead(200, { 'content-length': 5 });
    return response.write('wh', () => response.destroy());
  };
  await download(['a']);
  expect(readFileSync(join(root, 'run', 'a'), 'utf8')).toBe('whole');
  expect(ids).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), ids[0]]);
  expect(logged[0]).toMatch(/broke off before the file was complete/);
});
