import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { closeServers, serve, status, whole } from '../fixtures/scripted-server.ts';
import { createHost } from '../host.ts';
import type { DownloadedFile } from './download-file.ts';
import { downloadFile } from './download-file.ts';
import type { FreeSpace, SpaceClaim } from './free-space.ts';
import { createFreeSpace } from './free-space.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-space-'));
});
afterEach(async () => {
  await closeServers();
  rmSync(root, { recursive: true, force: true });
});

const claimOf = (bytes: number): SpaceClaim => ({ folder: root, missingBytes: () => bytes });
const diskWith = (bytes: number | undefined): FreeSpace => createFreeSpace(async () => bytes);

it('counts all claims together, until one is taken back', async () => {
  const space = diskWith(1000);
  const [first, second] = [claimOf(600), claimOf(500)];
  expect(await space.enter(first)).toBeUndefined();
  expect(await space.enter(second)).toEqual({ freeBytes: 1000, missingBytes: 500, otherBytes: 600 });
  space.leave(first);
  expect(await space.enter(second)).toBeUndefined();
  expect(await space.enter(claimOf(500))).toBeUndefined();
});

it('counts what is not written yet, and one claim once', async () => {
  const space = diskWith(1000);
  let missing = 1000;
  const claim: SpaceClaim = { folder: root, missingBytes: () => missing };
  expect(await space.enter(claim)).toBeUndefined();
  expect(await space.enter(claim)).toBeUndefined();
  missing = 100;
  expect(await space.enter(claimOf(900))).toBeUndefined();
  expect(await space.enter(claimOf(1))).toEqual({ freeBytes: 1000, missingBytes: 1, otherBytes: 1000 });
});

it('finds no shortage where the file system does not say', async () => {
  expect(await diskWith(undefined).enter(claimOf(1e15))).toBeUndefined();
});

it('asks the real disk by itself', async () => {
  const space = createFreeSpace();
  expect(await space.enter(claimOf(0))).toBeUndefined();
  expect(await space.enter(claimOf(1e17))).toMatchObject({ missingBytes: 1e17, otherBytes: 0 });
  expect(await createFreeSpace().enter({ folder: join(root, 'absent'), missingBytes: () => 1e17 })).toBe(
    undefined,
  );
});

function get(url: string, name: string, freeSpace: FreeSpace, signal: AbortSignal): Promise<DownloadedFile> {
  const host = { ...createHost({}), sleep: async (): Promise<void> => undefined };
  return downloadFile(host, { url, target: join(root, name), signal, freeSpace });
}

it('two files that fit one by one, but not together, are told with both needs, before the disk is full', async () => {
  const announce: RequestListener = (_, response) => {
    response.writeHead(200, { 'content-length': 600 });
    response.write('x');
  };
  const { url } = await serve(announce);
  const stop = new AbortController();
  const space = diskWith(1000);
  let entered = (): void => undefined;
  const firstIsIn = new Promise<void>((resolve) => {
    entered = resolve;
  });
  const watched: FreeSpace = {
    ...space,
    enter: async (claim) => {
      const shortage = await space.enter(claim);
      entered();
      return shortage;
    },
  };
  const first = get(url, 'first', watched, stop.signal);
  const firstEnd = first.catch((reason: unknown) => reason);
  await firstIsIn;
  await expect(get(url, 'second', watched, stop.signal)).rejects.toMatchObject({
    kind: 'no-space',
    detail: expect.stringMatching(
      /^there is not enough free space for \S+\/second: it needs 600 bytes and the files beside it (600|599) more, and its disk has 1000; free some space on the VM$/,
    ),
  });
  stop.abort(new Error('enough'));
  expect(await firstEnd).toMatchObject({ message: 'enough' });
  expect(readdirSync(root)).toEqual([]);
});

it('a file that ended, well or not, needs nothing any more', async () => {
  const { url } = await serve(whole('x'.repeat(600)), status(404), whole('y'.repeat(600)));
  const space = diskWith(1000);
  const { signal } = new AbortController();
  expect((await get(url, 'first', space, signal)).bytes).toBe(600);
  await expect(get(url, 'second', space, signal)).rejects.toThrow('404');
  expect((await get(url, 'third', space, signal)).bytes).toBe(600);
  expect(await space.enter(claimOf(1000))).toBeUndefined();
});
