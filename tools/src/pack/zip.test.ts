import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkEntryNames, type Deflate, writeZip, type ZipEntry } from './zip.ts';

const run = promisify(execFile);
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zip-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

const deflate: Deflate = async (source, target) =>
  writeFile(target, deflateRawSync(await readFile(source), { level: 1 }));
const entries: readonly ZipEntry[] = [
  { name: 'bin/handler', mode: 0o755, content: { text: '#!/bin/sh\n' } },
  { name: 'a.txt', mode: 0o644, content: { text: 'word '.repeat(5000) } },
  { name: 'empty', mode: 0o644, content: { text: '' } },
  { name: 'resources/\u00fcber.txt', mode: 0o644, content: { text: 'x' } },
];

it('gives a zip that must not be shipped no name, and leaves the one that is there', async () => {
  const zip = join(folder, 'out.zip');
  await writeFile(zip, 'the last one');
  const inspect = async (file: string): Promise<void> => {
    expect((await stat(file)).size).toBeGreaterThan(0);
    throw new Error('it holds a secret');
  };
  await expect(writeZip(entries, zip, { deflate, inspect })).rejects.toThrow('it holds a secret');
  expect(await readdir(folder)).toEqual(['out.zip']);
  expect(await readFile(zip, 'utf8')).toBe('the last one');
});

it('writes what the agent unpacks with Python: names, bytes and modes', async () => {
  const large = join(folder, 'large');
  await writeFile(large, Buffer.alloc(3 * 1024 * 1024, 'abcdefgh'));
  const all: readonly ZipEntry[] = [
    ...entries,
    { name: 'bin/handler-x64', mode: 0o755, content: { file: large } },
  ];
  const zip = join(folder, 'out.zip');
  const written = await writeZip(all, zip, { deflate });
  const script = `import zipfile,sys,hashlib,json
z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None
z.extractall(sys.argv[2])
print(json.dumps([[i.filename, i.file_size, i.compress_size, oct(i.external_attr>>16), list(i.date_time)] for i in z.infolist()]))`;
  const { stdout } = await run('python3', ['-c', script, zip, join(folder, 'unpacked')]);
  const listed: unknown = JSON.parse(stdout);
  const time = [1980, 1, 1, 0, 0, 0];
  expect(listed).toEqual([
    ['a.txt', 25000, expect.any(Number), '0o100644', time],
    ['bin/handler', 10, 10, '0o100755', time],
    ['bin/handler-x64', 3 * 1024 * 1024, expect.any(Number), '0o100755', time],
    ['empty', 0, 0, '0o100644', time],
    ['resources/\u00fcber.txt', 1, 1, '0o100644', time],
  ]);
  expect((await readFile(join(folder, 'unpacked/bin/handler-x64'))).equals(await readFile(large))).toBe(true);
  expect(await readFile(join(folder, 'unpacked/a.txt'), 'utf8')).toBe('word '.repeat(5000));
  expect(written.sizeBytes).toBe((await stat(zip)).size);
  expect(written.entries.map((entry) => entry.name)).toEqual([
    'a.txt',
    'bin/handler',
    'bin/handler-x64',
    'empty',
    'resources/\u00fcber.txt',
  ]);
  expect((await run('sha256sum', [zip])).stdout).toContain(written.sha256);
  expect((await readdir(folder)).sort()).toEqual(['large', 'out.zip', 'unpacked']);
});

it('gives the same bytes whatever the order of the entries and the times of the files', async () => {
  const first = await writeZip(entries, join(folder, '1.zip'), { deflate });
  const second = await writeZip([...entries].reverse(), join(folder, '2.zip'), { deflate });
  expect(second.sha256).toBe(first.sha256);
});

it('leaves the old package and no temporary file when a source fails', async () => {
  const zip = join(folder, 'out.zip');
  await writeFile(zip, 'old');
  await mkdir(join(folder, 'source'));
  await symlink('/etc/hostname', join(folder, 'source/link'));
  const link: ZipEntry = { name: 'link', mode: 0o644, content: { file: join(folder, 'source/link') } };
  await expect(writeZip([...entries, link], zip, { deflate })).rejects.toMatchObject({
    code: 'PACKAGE_FILE_REFUSED',
  });
  const broken: Deflate = async () => Promise.reject(new Error('disk full'));
  await writeFile(join(folder, 'source/large'), Buffer.alloc(2 * 1024 * 1024));
  const large: ZipEntry = { name: 'large', mode: 0o644, content: { file: join(folder, 'source/large') } };
  await expect(writeZip([large], zip, { deflate: broken })).rejects.toThrow('disk full');
  expect(await readFile(zip, 'utf8')).toBe('old');
  expect((await readdir(folder)).sort()).toEqual(['out.zip', 'source']);
});

it.each<[readonly string[], string]>([
  [['/etc/passwd'], 'absolute'],
  [['C:/x'], 'absolute'],
  [['a/../../b'], '".." part'],
  [['./a'], '"."'],
  [['a//b'], 'empty'],
  [['a\\b'], 'backslash'],
  [['a\nb'], 'control character'],
  [['a', 'a'], 'two files'],
  [['Read.me', 'read.ME'], 'in case only'],
  [['a', 'a/b'], '"a" is a file'],
  [['x'.repeat(1025)], '1024 bytes'],
])('refuses the names %j: %s', (names, reason) => {
  expect(() => checkEntryNames(names)).toThrow(reason);
});
