import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findIntegrities } from './lock-file.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lock-'));
});
afterEach(async () => rm(root, { recursive: true, force: true }));

function putLock(name: string, packages: unknown): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), JSON.stringify({ lockfileVersion: 3, packages }));
}

async function integrityOf(folder: string, version: string): Promise<string | undefined> {
  const path = join(root, folder);
  return (await findIntegrities([{ folder: path, version }])).get(path);
}

it('finds a package by its place and version in the nearest lock file', async () => {
  putLock('package-lock.json', {
    '': {},
    'node_modules/@a/b': { version: '1.0.0', integrity: 'sha512-outer' },
    'node_modules/@a/b/node_modules/c': { version: '2.0.0', integrity: 'sha512-inner' },
    'node_modules/linked': { resolved: 'linked', link: true },
  });
  expect(await integrityOf('node_modules/@a/b', '1.0.0')).toBe('sha512-outer');
  expect(await integrityOf('node_modules/@a/b/node_modules/c', '2.0.0')).toBe('sha512-inner');
  expect(await integrityOf('node_modules/@a/b', '1.0.1')).toBeUndefined();
  expect(await integrityOf('node_modules/linked', '1.0.0')).toBeUndefined();
  expect(await integrityOf('packages/sdk', '1.0.0')).toBeUndefined();
});

it("reads the author's lock file before npm's own note, which serves where there is no other", async () => {
  const packages = (integrity: string) => ({ 'node_modules/c': { version: '2.0.0', integrity } });
  putLock('node_modules/.package-lock.json', packages('sha512-note'));
  expect(await integrityOf('node_modules/c', '2.0.0')).toBe('sha512-note');
  putLock('package-lock.json', packages('sha512-written'));
  expect(await integrityOf('node_modules/c', '2.0.0')).toBe('sha512-written');
});

it('takes a lock file that it cannot read for none', async () => {
  writeFileSync(join(root, 'package-lock.json'), '{"packages": [');
  expect(await integrityOf('node_modules/c', '2.0.0')).toBeUndefined();
});
