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
  [['pack', '--runtime', 'node'], { runtime: 'node' }],
  [['pack', '--package-version', '1.0'], { packageVersion: '1.0' }],
])('reads the command line %j', async (words, options) => {
  expect(await parse(...words)).toMatchObject(options);
});

it('refuses an architecture or a runtime that there is no program for', async () => {
  await expect(parse('pack', '--architectures', 'riscv64')).rejects.toThrow('riscv64');
  await expect(parse('pack', '--runtime', 'deno')).rejects.toThrow('deno');
});

it('prints name, path, size and hash, or the files of a package that was not written', () => {
  const result = {
    file: join(process.cwd(), 'dist/x.zip'),
    written: true,
    sizeBytes: 50_967_937,
    sha256: 'ab12',
    handlerName: 'Contoso.Greeter',
    version: '1.0.0',
    runtime: 'bun',
    architectures: ['x64', 'arm64'],
    entries: [
      { name: 'bin/handler', sizeBytes: 3150, packedBytes: 1400 },
      { name: 'note.txt', sizeBytes: 12, packedBytes: 12 },
    ],
    inputs: [],
    warnings: [],
  } as const;
  expect(formatResult(result)).toBe('Contoso.Greeter 1.0.0\ndist/x.zip  51.0 MB\nsha256 ab12');
  expect(formatResult({ ...result, written: false }).split('\n')).toEqual([
    'Contoso.Greeter 1.0.0 for x64 and arm64, with bun; no zip was written',
    '      size    packed  file',
    '    3.1 kB    1.4 kB  bin/handler',
    '      12 B      12 B  note.txt',
    '    3.2 kB   51.0 MB  in all',
    'sha256 ab12',
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
    runtime: undefined,
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
