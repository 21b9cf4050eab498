import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readProject } from './project.ts';

let folder: string;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'project-')));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

function put(name: string, content = ''): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), content);
}

function describeExtension(more: object = {}): void {
  put('extension.json', JSON.stringify({ publisher: 'Contoso', type: 'Greeter', version: '1.0.0', ...more }));
  put('src/main.ts');
}

it('gives the description and the entry', async () => {
  describeExtension();
  const project = await readProject(folder);
  expect(project).toMatchObject({ folder, entry: join(folder, 'src/main.ts'), files: [] });
  expect(project.description.dataFolder).toBe('Contoso.Greeter.data');
});

it('lets another version take the place of the written one, under the same rules', async () => {
  describeExtension();
  expect((await readProject(folder, { version: '2.0.1' })).description.version).toBe('2.0.1');
  await expect(readProject(folder, { version: 'latest' })).rejects.toThrow('version must be whole numbers');
});

it.each<[readonly string[], readonly string[]]>([
  [['resources/**'], ['resources/a.txt', 'resources/deep/er/b.sh']],
  [['resources/'], ['resources/a.txt', 'resources/deep/er/b.sh']],
  [['**/*.sh'], ['resources/deep/er/b.sh', 'top.sh']],
  [
    ['./top.sh', 'resources/?.txt'],
    ['resources/a.txt', 'top.sh'],
  ],
  [
    ['resources/.hidden', 'resources/*'],
    ['resources/.hidden', 'resources/a.txt'],
  ],
  [['a+b(1).txt'], ['a+b(1).txt']],
])('finds the files of %j', async (files, names) => {
  describeExtension({ files });
  for (const name of [
    'resources/a.txt',
    'resources/deep/er/b.sh',
    'resources/.hidden',
    'top.sh',
    'a+b(1).txt',
  ])
    put(name);
  put('node_modules/x/resources/c.sh');
  put('.git/hooks/d.sh');
  chmodSync(join(folder, 'top.sh'), 0o744);
  const project = await readProject(folder);
  expect(project.files.map((file) => file.name)).toEqual(names);
  for (const file of project.files) expect(file.executable).toBe(file.name === 'top.sh');
});

it('says what is missing', async () => {
  await expect(readProject(join(folder, 'absent'))).rejects.toMatchObject({ code: 'PROJECT_NOT_FOUND' });
  await expect(readProject(folder)).rejects.toMatchObject({
    code: 'PROJECT_NOT_FOUND',
    hint: expect.stringContaining('handlerkit init'),
  });
  describeExtension({ entry: 'src/other.ts' });
  await expect(readProject(folder)).rejects.toMatchObject({ code: 'ENTRY_NOT_FOUND' });
  describeExtension({ entry: 'src' });
  await expect(readProject(folder)).rejects.toMatchObject({ code: 'ENTRY_NOT_FOUND' });
  describeExtension({ files: ['resources/**'] });
  await expect(readProject(folder)).rejects.toMatchObject({ code: 'FILES_NOT_FOUND' });
  put('extension.json', '{');
  await expect(readProject(folder)).rejects.toThrow('not valid JSON');
});
