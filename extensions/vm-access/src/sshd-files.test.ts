import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecResult, Host } from '@handlerkit/sdk';
import { createHost } from '@handlerkit/sdk';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { answer, createContext } from './fixtures/sshd-machine.ts';
import { copySshdFile, removeSshdFile, writeSshdFile } from './sshd-files.ts';
import type { StepContext } from './step.ts';

let folder: string;
let context: StepContext;
/** Answers in place of programs, by name. */
let programs: Record<string, (argv: readonly string[]) => ExecResult>;
let path: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-files-'));
  path = join(folder, 'sshd_config');
  programs = {};
  const real = createHost();
  const host: Host = {
    ...real,
    exec: async (argv, options) => {
      const name = argv[0]?.split('/').at(-1) ?? '';
      return programs[name]?.(argv) ?? real.exec(argv, options);
    },
  };
  context = await createContext(host);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function mode(file = path): string {
  return (lstatSync(file).mode & 0o7777).toString(8);
}

it.each([[0o600], [0o640], [0o644]])('keeps the mode %o of a file that it replaces (W35)', async (bits) => {
  writeFileSync(path, 'old', { mode: bits });
  await writeSshdFile(context, path, 'new');
  expect([readFileSync(path, 'utf8'), mode()]).toEqual(['new', bits.toString(8)]);
  expect(readdirSync(folder)).toEqual(['sshd_config']);
});

it('gives a new file the mode of another, never one that others may write or run (W35)', async () => {
  const other = join(folder, 'other.conf');
  writeFileSync(other, '');
  await context.run(['chmod', '777', other]);
  await writeSshdFile(context, path, 'new', other);
  expect(mode()).toBe('644');
  await writeSshdFile(context, join(folder, 'alone'), 'new');
  expect(mode(join(folder, 'alone'))).toBe('600');
});

it('replaces a link and not what it leads to', async () => {
  writeFileSync(join(folder, 'target'), 'old', { mode: 0o640 });
  symlinkSync('target', path);
  await writeSshdFile(context, path, 'new');
  expect([lstatSync(path).isFile(), mode(), readFileSync(join(folder, 'target'), 'utf8')]).toEqual([
    true,
    '640',
    'old',
  ]);
});

it.each([
  ['a file', 'file'],
  ['a link, which another program has laid there', 'link'],
])('is not held up by %s of a killed run, nor writes through it (W35)', async (_what, kind) => {
  const temporary = join(folder, '.sshd_config.handlerkit-new');
  const victim = join(folder, 'victim');
  writeFileSync(victim, 'safe');
  if (kind === 'link') symlinkSync(victim, temporary);
  else writeFileSync(temporary, 'half');
  writeFileSync(path, 'old');
  await writeSshdFile(context, path, 'new');
  expect([readFileSync(path, 'utf8'), readFileSync(victim, 'utf8')]).toEqual(['new', 'safe']);
  expect(readdirSync(folder).toSorted()).toEqual(['sshd_config', 'victim']);
});

it('leaves the file alone, and nothing behind, when it cannot be written (W35)', async () => {
  writeFileSync(path, 'old');
  programs.cp = () => answer('', 1, 'cp: no space left on device');
  await expect(writeSshdFile(context, path, 'new')).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
  await expect(copySshdFile(context, path, join(folder, 'copy'))).rejects.toThrow('no space left');
  mkdirSync(join(folder, 'taken', 'by-a-folder'), { recursive: true });
  await expect(writeSshdFile(context, join(folder, 'taken'), 'new')).rejects.toMatchObject({
    code: 'SSHD_FILE_NOT_WRITTEN',
    message: expect.stringMatching(/cannot write .*taken \(EISDIR\)/),
  });
  expect(readFileSync(path, 'utf8')).toBe('old');
  expect(readdirSync(folder).toSorted()).toEqual(['sshd_config', 'taken']);
});

it('copies a file with mode and owner, and removes one that may be gone', async () => {
  writeFileSync(path, 'text', { mode: 0o640 });
  const copy = join(folder, 'copy');
  await copySshdFile(context, path, copy);
  expect([readFileSync(copy, 'utf8'), mode(copy), lstatSync(copy).mtimeMs]).toEqual([
    'text',
    '640',
    lstatSync(path).mtimeMs,
  ]);
  removeSshdFile(context.host, copy);
  removeSshdFile(context.host, copy);
  expect(readdirSync(folder)).toEqual(['sshd_config']);
});
