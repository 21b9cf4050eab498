import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findPackages, formatLicenses } from './licenses.ts';

let folder: string;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'licenses-')));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

function put(name: string, content: string): string {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

it('lists each bundled package once with its licence text, and not the extension itself', async () => {
  put('package.json', '{"name":"own","version":"1.0.0","license":"UNLICENSED"}');
  put('node_modules/zeta/package.json', '{"name":"zeta","version":"2.0.0","license":"MIT"}');
  put('node_modules/zeta/LICENSE', 'Zeta may be used freely.\n');
  put('node_modules/zeta/lib/package.json', '{"type":"module"}');
  put('node_modules/@a/b/package.json', '{"name":"@a/b","version":"0.1.0"}');
  put('node_modules/@a/b/COPYING.md', 'Copy it.');
  put('node_modules/broken/package.json', '{');
  const files = [
    put('src/main.ts', ''),
    put('node_modules/zeta/lib/deep/one.js', ''),
    put('node_modules/zeta/two.js', ''),
    put('node_modules/@a/b/index.js', ''),
  ];
  const packages = await findPackages(files, folder);
  expect(packages).toEqual([
    {
      name: '@a/b',
      version: '0.1.0',
      folder: join(folder, 'node_modules/@a/b'),
      license: undefined,
      texts: ['Copy it.'],
    },
    {
      name: 'zeta',
      version: '2.0.0',
      folder: join(folder, 'node_modules/zeta'),
      license: 'MIT',
      texts: ['Zeta may be used freely.\n'],
    },
  ]);
  const text = formatLicenses({ runtime: 'bun', text: undefined }, packages);
  expect(text).toMatch(/^Bun 1\.4\.5/);
  expect(text).toContain('@a/b 0.1.0\nLicence: see the text below\n\nCopy it.\n');
  expect(text).toContain('zeta 2.0.0\nLicence: MIT\n\nZeta may be used freely.\n');
  const withNode = formatLicenses({ runtime: 'node', text: '\nNode.js is free.\n' }, packages);
  expect(withNode).toMatch(/^Node\.js 24\.21\.0[\s\S]*:\n\nNode\.js is free\.\n\n---/);
});
