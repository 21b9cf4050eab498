/** Fetching through npm from registries that ask for something, or fail: real npm, real loopback servers. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import {
  createServer,
  type IncomingMessage,
  request as passOn,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { PinnedRuntime } from './pinned-runtimes.ts';
import { fetchRuntime, type RuntimeDeps, readRuntimeLicense } from './runtime.ts';

const NAME = '@contoso/runtime';
const TOKEN = 'made-up-token';
const executable = '#!/bin/sh\necho runtime\n'.repeat(5000);
const license = 'Use it freely.\n';

let folder: string;
let tarball: Buffer;
let pinned: PinnedRuntime;
let deps: RuntimeDeps;
let cache: string;
let servers: (Server | SecureServer)[];

const hash = (name: string, data: string | Buffer): Buffer => createHash(name).update(data).digest();

async function listen(answer: RequestListener): Promise<{ server: Server; address: string }> {
  const server = createServer(answer);
  servers.push(server);
  return { server, address: await bind(server) };
}

async function bind(server: Server | SecureServer): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  return `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
}

type SendTarball = (response: ServerResponse, request: IncomingMessage) => void;

/** A registry with one package that asks for the token; gives its address. */
async function startRegistry(
  send: SendTarball = (response) => void response.end(tarball),
): Promise<{ address: string; urls: string[] }> {
  const urls: string[] = [];
  const { address } = await listen((request, response) => {
    const url = decodeURIComponent(request.url ?? '');
    urls.push(url);
    if (request.headers.authorization !== `Bearer ${TOKEN}`) response.writeHead(401).end('{}');
    else if (url.endsWith('.tgz')) send(response, request);
    else {
      const integrity = `sha512-${hash('sha512', tarball).toString('base64')}`;
      const scheme = request.headers['x-scheme'] ?? 'http';
      const dist = { tarball: `${scheme}://${request.headers.host}/${NAME}/-/runtime-1.0.0.tgz`, integrity };
      const versions = { '1.0.0': { name: NAME, version: '1.0.0', dist } };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ name: NAME, 'dist-tags': { latest: '1.0.0' }, versions }));
    }
  });
  return { address, urls };
}

beforeEach(async () => {
  servers = [];
  folder = await mkdtemp(join(tmpdir(), 'registry-'));
  for (const name of ['package/bin', 'home', 'project']) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'package/package.json'), JSON.stringify({ name: NAME, version: '1.0.0' }));
  writeFileSync(join(folder, 'package/bin/run'), executable);
  writeFileSync(join(folder, 'package/LICENSE'), license);
  const file = join(folder, 'package.tgz');
  await create({ file, gzip: { level: 0 }, cwd: folder, mtime: new Date(0) }, ['package']);
  tarball = readFileSync(file);
  cache = join(folder, 'cache/handlerkit/runtimes');
  pinned = {
    packageName: NAME,
    version: '1.0.0',
    integrity: `sha512-${hash('sha512', tarball).toString('base64')}`,
    member: 'package/bin/run',
    sha256: hash('sha256', executable).toString('hex'),
    license: { member: 'package/LICENSE', sha256: hash('sha256', license).toString('hex') },
  };
  const env = {
    PATH: process.env.PATH,
    HOME: join(folder, 'home'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    npm_config_fetch_retries: '0',
  };
  deps = { env, folder: join(folder, 'project'), progress: () => {} };
});

afterEach(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await rm(folder, { recursive: true, force: true });
});

const authorized = (address: string, key = 'registry'): string =>
  `${key}=http://${address}/\n//${address}/:_authToken=${TOKEN}\n`;

it.each<[string, string, string, (file: string) => Record<string, string>]>([
  ["the project's .npmrc", 'project/.npmrc', 'registry', () => ({})],
  ["the user's .npmrc", 'home/.npmrc', 'registry', () => ({})],
  ["the scope's registry", 'home/.npmrc', '@contoso:registry', () => ({})],
  ['the file of all users', 'npmrc', 'registry', (file) => ({ npm_config_globalconfig: file })],
  ['a file that the environment names', 'other', 'registry', (file) => ({ NPM_CONFIG_USERCONFIG: file })],
])('takes registry and token from %s', async (_, name, key, more) => {
  const { address, urls } = await startRegistry();
  const file = join(folder, name);
  writeFileSync(file, authorized(address, key));
  const path = await fetchRuntime(pinned, { ...deps, env: { ...deps.env, ...more(file) } });
  expect(readFileSync(path, 'utf8')).toBe(executable);
  expect(urls.filter((url) => url.endsWith('.tgz'))).toHaveLength(1);
});

it('goes through the configured proxy', async () => {
  const asked: string[] = [];
  const { address: target } = await startRegistry();
  const { address: proxy } = await listen((request, response) => {
    asked.push(request.url ?? '');
    // The name of the registry is the proxy's to find: there is none of that name.
    const path = new URL(request.url ?? '').pathname;
    const headers = { ...request.headers, host: 'registry.example' };
    passOn(`http://${target}${path}`, { headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    }).end();
  });
  writeFileSync(join(folder, 'home/.npmrc'), `${authorized('registry.example')}proxy=http://${proxy}/\n`);
  await fetchRuntime(pinned, deps);
  expect(asked).toEqual([
    expect.stringMatching(/^http:\/\/registry\.example\/@contoso(%2f|\/)runtime$/),
    'http://registry.example/@contoso/runtime/-/runtime-1.0.0.tgz',
  ]);
});

it('trusts the authorities of the configured cafile', async () => {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'ca.pem')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...request, ...subject], { stdio: 'ignore' });
  const { address: target } = await startRegistry();
  const secure = createSecureServer(
    { key: readFileSync(key), cert: readFileSync(certificate) },
    (asked, response) => {
      passOn(
        `http://${target}${asked.url}`,
        { headers: { ...asked.headers, 'x-scheme': 'https' } },
        (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        },
      ).end();
    },
  );
  servers.push(secure);
  const address = await bind(secure);
  const lines = authorized(address).replace('http:', 'https:');
  writeFileSync(join(folder, 'home/.npmrc'), lines);
  await expect(fetchRuntime(pinned, deps)).rejects.toMatchObject({ code: 'RUNTIME_DOWNLOAD_FAILED' });
  writeFileSync(join(folder, 'home/.npmrc'), `${lines}cafile=${certificate}\n`);
  expect(readFileSync(await fetchRuntime(pinned, deps), 'utf8')).toBe(executable);
});

it.each<[string, SendTarball]>([
  [
    'is cut off in the middle',
    (response) => {
      response.writeHead(200, { 'content-length': tarball.length });
      response.write(tarball.subarray(0, 5000), () => response.destroy());
    },
  ],
  ['ends too early', (response) => void response.end(tarball.subarray(0, 5000))],
  [
    'has one byte flipped',
    (response) => {
      const changed = Buffer.from(tarball);
      const middle = Math.floor(tarball.length / 2);
      changed.writeUInt8(changed.readUInt8(middle) ^ 1, middle);
      response.end(changed);
    },
  ],
  ['is answered with 503', (response) => void response.writeHead(503).end('busy')],
])('keeps nothing of a download that %s, and fetches it the next time', async (_, send) => {
  let isBroken = true;
  const { address } = await startRegistry((response, request) =>
    isBroken ? send(response, request) : void response.end(tarball),
  );
  writeFileSync(join(folder, 'home/.npmrc'), authorized(address));
  const failed = await fetchRuntime(pinned, deps).catch((error: unknown) => error);
  expect(failed).toMatchObject({ code: 'RUNTIME_DOWNLOAD_FAILED' });
  expect(String(failed)).not.toContain(TOKEN);
  expect(await readdir(cache)).toEqual([]);
  isBroken = false;
  expect(readFileSync(await fetchRuntime(pinned, deps), 'utf8')).toBe(executable);
});

it('keeps the licence beside the executable, and fetches both again when one of them is damaged', async () => {
  const { address, urls } = await startRegistry();
  writeFileSync(join(folder, 'home/.npmrc'), authorized(address));
  expect(await readRuntimeLicense(pinned, deps)).toBe(license);
  const kept = (await readdir(cache)).find((name) => name.endsWith('.license')) ?? '';
  expect(statSync(join(cache, kept)).mode & 0o111).toBe(0);
  writeFileSync(join(cache, kept), 'another');
  expect(await readRuntimeLicense(pinned, deps)).toBe(license);
  // npm has the tarball in its own cache.
  expect(urls.filter((url) => url.endsWith('.tgz'))).toHaveLength(1);
  expect(await readRuntimeLicense({ ...pinned, license: undefined }, deps)).toBeUndefined();
  expect(await readdir(cache)).toHaveLength(2);
});

it('says how to use another folder when the cache cannot be written', async () => {
  writeFileSync(join(folder, 'cache'), 'a file');
  await expect(fetchRuntime(pinned, deps)).rejects.toMatchObject({
    code: 'RUNTIME_CACHE_UNUSABLE',
    file: cache,
    hint: expect.stringContaining('XDG_CACHE_HOME'),
  });
});

it('writes nothing to a cache that has what is needed', async () => {
  const { address } = await startRegistry();
  writeFileSync(join(folder, 'home/.npmrc'), authorized(address));
  const path = await fetchRuntime(pinned, deps);
  const before = statSync(cache, { bigint: true }).mtimeNs;
  expect(await fetchRuntime(pinned, { ...deps, env: { ...deps.env, PATH: '/nonexistent' } })).toBe(path);
  expect(statSync(cache, { bigint: true }).mtimeNs).toBe(before);
});

/** Another process that fetches; resolves when it exits. */
function startFetch(): ChildProcess {
  const script = [
    `import { fetchRuntime } from ${JSON.stringify(new URL('runtime.ts', import.meta.url).href)};`,
    `const [pinned, deps] = ${JSON.stringify([pinned, deps])};`,
    'await fetchRuntime(pinned, { ...deps, progress: () => {} });',
  ].join('\n');
  const options = ['--conditions=@handlerkit/source', '--import', import.meta.resolve('tsx')];
  return spawn(process.execPath, [...options, '--input-type=module', '--eval', script], {
    stdio: 'ignore',
    detached: true,
  });
}

it('cleans up after a process that was killed in the middle of a download', { timeout: 60_000 }, async () => {
  let hold = true;
  let begun: () => void = () => {};
  const isDownloading = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const { address } = await startRegistry((response) => {
    if (!hold) {
      response.end(tarball);
      return;
    }
    response.writeHead(200, { 'content-length': tarball.length });
    response.write(tarball.subarray(0, 1000), begun);
  });
  writeFileSync(join(folder, 'home/.npmrc'), authorized(address));
  const child = startFetch();
  const ended = once(child, 'exit');
  await isDownloading;
  child.kill('SIGKILL');
  await ended;
  expect(await readdir(cache)).toHaveLength(1);
  hold = false;
  // The npm that was left alone ends with its connection.
  for (const server of servers) server.closeAllConnections();
  const path = await fetchRuntime(pinned, deps);
  expect(readFileSync(path, 'utf8')).toBe(executable);
  expect(await readdir(cache)).toHaveLength(2);
});

it('lets two processes fetch at the same time', { timeout: 60_000 }, async () => {
  const { address } = await startRegistry();
  writeFileSync(join(folder, 'home/.npmrc'), authorized(address));
  const codes = await Promise.all(
    [startFetch(), startFetch()].map(async (child) => (await once(child, 'exit'))[0]),
  );
  expect(codes).toEqual([0, 0]);
  expect(await readdir(cache)).toHaveLength(2);
});
