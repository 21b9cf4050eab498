import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import yargs from 'yargs';
import { builder, formatResult, packCommand } from './pack.ts';

async function parse(...words: string[]) {
  const seen: unknown[] = [];
  await yargs()
    .command('pack [folder]', 'Pack', builder, (options) => {
      seen.push(options);
    })
    .strict()
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new Error(message);
    })
    .parseAsync(words);
  return seen[0];
}

it.each<[readonly string[], object]>([
  [['pack'], { folder: '.', list: false }],
  [['pack', 'dir', '--list', '--out', 'x.zip'], { folder: 'dir', list: true, out: 'x.zip' }],
  [['pack', '--architectures', 'x64', 'arm64'], { architectures: ['x64', 'arm64'] }],
  [
    ['pack', '--architectures', 'x64,arm64', '--package-version', '1.0.1'],
    { architectures: ['x64', 'arm64'], packageVersion: '1.0.1' },
  ],
  [['pack', '--package-version', '1.0'], { packageVersion: '1.0' }],
])('reads the command line %j', async (words, options) => {
  expect(await parse(...words)).toMatchObject(options);
});

it('refuses an architecture that there is no program for', async () => {
  await expect(parse('pack', '--architectures', 'riscv64')).rejects.toThrow('riscv64');
});

it('prints name, path, size and hash, and the files on demand', () => {
  const result = {
    file: join(process.cwd(), 'dist/x.zip'),
    sizeBytes: 50_967_937,
    sha256: 'ab12',
    handlerName: 'Contoso.Greeter',
    version: '1.0.0',
    entries: [
      { name: 'bin/handler', sizeBytes: 3150 },
      { name: 'note.txt', sizeBytes: 12 },
    ],
    inputs: [],
    warnings: [],
  };
  expect(formatResult(result, false)).toBe('Contoso.Greeter 1.0.0\ndist/x.zip  51.0 MB\nsha256 ab12');
  expect(formatResult(result, true).split('\n').slice(3)).toEqual([
    '  3.1 kB  bin/handler',
    '    12 B  note.txt',
  ]);
});

it('lets the error of the packer through and prints no result', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pack-command-'));
  const said: unknown[] = [];
  const say = (value: unknown): void => {
    said.push(value);
  };
  const options = {
    folder,
    out: undefined,
    architectures: undefined,
    packageVersion: undefined,
    list: false,
  };
  const ui = { progress: say, warning: say, result: say, json: say };
  await expect(packCommand(options, ui, { env: process.env })).rejects.toMatchObject({
    code: 'PROJECT_NOT_FOUND',
  });
  expect(said).toEqual([]);
  await rm(folder, { recursive: true, force: true });
});
