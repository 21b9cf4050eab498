import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeFolders } from './folders.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'handlerkit-folders-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('makes the folders that are missing, each with the mode, and leaves the others as they are', () => {
  mkdirSync(join(folder, 'there'), { mode: 0o750 });
  makeFolders(join(folder, 'there/a/b'), 0o700);
  makeFolders(join(folder, 'there/a/b'), 0o777);
  const modes = ['there', 'there/a', 'there/a/b'].map((name) => statSync(join(folder, name)).mode & 0o777);
  expect(modes).toEqual([0o750, 0o700, 0o700]);
});

it('goes through a link to a folder', () => {
  mkdirSync(join(folder, 'real'));
  symlinkSync('real', join(folder, 'link'));
  makeFolders(join(folder, 'link/a'));
  expect(statSync(join(folder, 'real/a')).isDirectory()).toBe(true);
});

it.each([
  ['/proc/handlerkit', '/proc/handlerkit'],
  ['/proc/handlerkit/a/b', '/proc/handlerkit'],
])('refuses %s, where no folder can be made, instead of trying for ever', (path, file) => {
  expect(() => makeFolders(path)).toThrow(
    expect.objectContaining({ code: 'FOLDER_NOT_MADE', file, hint: expect.any(String) }),
  );
});

it('says that a file is in the way', () => {
  writeFileSync(join(folder, 'file'), '');
  for (const path of ['file', 'file/a', 'file/a/b']) {
    expect(() => makeFolders(join(folder, path))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
  }
});
