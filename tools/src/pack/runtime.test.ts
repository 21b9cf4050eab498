import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { PinnedRuntime } from './pinned-runtimes.ts';
import { fetchRuntime, type RuntimeDeps } from './runtime.ts';

const NAME = '@contoso/runtime';
const TOKEN = 'made-up-token';
const executable = '#!/bin/sh\necho runtime\n'.repeat(100);

let folder: string;
let server: Server;
let tarball: Buffer;
let pinned: PinnedRuntime;
let deps: RuntimeDeps;
let cache: string;
const requests: string[] = [];

const hash = (name: string, data: string | Buffer): Buffer => createHash(name).update(data).digest();
const integrityOf = (data: Buffer): string => `sha512-${hash('sha512', data).toString('base64')}`;

/** A registry for one package on loopback, that asks for the token of the project's `.npmrc`. */
async function startRegistry(): Promise<void> {
  server = createServer((request, response) => {
    const url = decodeURIComponent(request.url ?? '');
    requests.push(url);
    if (request.headers.authorization !== `Bearer ${TOKEN}`) response.writeHead(401).end('{}');
    else if (url.endsWith('.tgz')) response.end(tarball);
    else if (url === `/${NAME}`) {
      const dist = { tarball: `${registry()}/${NAME}/-/runtime-1.0.0.tgz`, integrity: integrityOf(tarball) };
      const versions = { '1.0.0': { name: NAME, version: '1.0.0', dist } };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ name: NAME, 'dist-tags': { latest: '1.0.0' }, versions }));
    } else response.writeHead(404).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
}

function registry(): string {
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

async function makeTarball(): Promise<Buffer> {
  mkdirSync(join(folder, 'package/bin'), { recursive: true });
  writeFileSync(join(folder, 'package/package.json'), JSON.stringify({ name: NAME, version: '1.0.0' }));
  writeFileSync(join(folder, 'package/bin/run'), executable);
  const file = join(folder, 'package.tgz');
  await create({ file, gzip: true, cwd: folder, mtime: new Date(0) }, ['package']);
  return readFileSync(file);
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'runtime-'));
  tarball = await makeTarball();
  requests.length = 0;
  await startRegistry();
  writeFileSync(
    join(folder, '.npmrc'),
    `registry=${registry()}/\n${registry().slice(5)}/:_authToken=${TOKEN}\nfetch-retries=0\n`,
  );
  cache = join(folder, 'cache/handlerkit/runtimes');
  pinned = {
    packageName: NAME,
    version: '1.0.0',
    integrity: integrityOf(tarball),
    member: 'package/bin/run',
    sha256: hash('sha256', executable).toString('hex'),
  };
  const env = { PATH: process.env.PATH, HOME: folder, XDG_CACHE_HOME: join(folder, 'cache') };
  deps = { env, folder, progress: () => {} };
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

it('fetches through npm with the registry and token of .npmrc, and keeps the executable only', async () => {
  const path = await fetchRuntime(pinned, deps);
  expect(execFileSync(path, { encoding: 'utf8' })).toContain('runtime');
  expect((await stat(path)).mode & 0o777).toBe(0o755);
  expect(await readdir(cache)).toHaveLength(1);
});

it('needs no registry the second time', async () => {
  const path = await fetchRuntime(pinned, deps);
  const asked = requests.length;
  expect(await fetchRuntime(pinned, { ...deps, env: { ...deps.env, PATH: '/nonexistent' } })).toBe(path);
  expect(requests).toHaveLength(asked);
});

it('fetches again when the kept executable was damaged', async () => {
  const path = await fetchRuntime(pinned, deps);
  writeFileSync(path, 'cut off');
  expect(await fetchRuntime(pinned, deps)).toBe(path);
  expect(readFileSync(path, 'utf8')).toBe(executable);
});

it('refuses a tarball that is not the pinned one, and leaves nothing behind', async () => {
  const integrity = integrityOf(Buffer.from('another'));
  await expect(fetchRuntime({ ...pinned, integrity }, deps)).rejects.toMatchObject({
    code: 'RUNTIME_CORRUPT',
  });
  expect(await readdir(cache)).toEqual([]);
});

it('refuses a tarball without the executable, and leaves nothing behind', async () => {
  const wrong = { ...pinned, member: 'package/bin/absent' };
  await expect(fetchRuntime(wrong, deps)).rejects.toMatchObject({ code: 'RUNTIME_CORRUPT' });
  expect(await readdir(cache)).toEqual([]);
});

it('says what to do when the registry refuses or is not there, and leaves nothing behind', async () => {
  writeFileSync(join(folder, '.npmrc'), `registry=${registry()}/\nfetch-retries=0\n`);
  await expect(fetchRuntime(pinned, deps)).rejects.toMatchObject({
    code: 'RUNTIME_DOWNLOAD_FAILED',
    message: expect.stringContaining(`Fetching ${NAME}@1.0.0: npm ended with`),
    hint: expect.stringContaining('npm ping'),
  });
  const withoutNpm = { ...deps, env: { ...deps.env, PATH: '/nonexistent' } };
  await expect(fetchRuntime(pinned, withoutNpm)).rejects.toMatchObject({ code: 'RUNTIME_DOWNLOAD_FAILED' });
  expect(await readdir(cache)).toEqual([]);
});

it('lets several packs fetch at the same time', async () => {
  const paths = await Promise.all([fetchRuntime(pinned, deps), fetchRuntime(pinned, deps)]);
  expect(new Set(paths).size).toBe(1);
  expect(await readdir(cache)).toHaveLength(1);
});

it('stops npm and cleans up when the user interrupts', async () => {
  const stop = new AbortController();
  server.removeAllListeners('request');
  const fetching = fetchRuntime(pinned, { ...deps, signal: stop.signal });
  server.once('request', () => stop.abort());
  await expect(fetching).rejects.toThrow();
  expect(await readdir(cache)).toEqual([]);
});
