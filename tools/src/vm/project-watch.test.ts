import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ProjectWatch, watchProject } from './project-watch.ts';

let folder: string;
let watch: ProjectWatch;
const signal = new AbortController().signal;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'watch-'));
  for (const name of ['ext/src', 'ext/resources', 'ext/vm', 'ext/node_modules/zod', 'linked']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  write('ext/extension.json', { publisher: 'A', type: 'B', version: '1.0.0', files: ['resources/**'] });
  for (const name of ['ext/src/main.ts', 'ext/src/part.ts', 'ext/README.md', 'ext/resources/a.txt'])
    write(name);
  for (const name of ['ext/node_modules/zod/index.js', 'linked/sdk.ts', 'settings.json']) write(name);
  const [root, ignored] = [join(folder, 'ext'), join(folder, 'ext/vm')];
  watch = watchProject({ folder: root, ignored, others: [join(folder, 'settings.json')] });
});
afterEach(async () => {
  watch.close();
  await rm(folder, { recursive: true, force: true });
});

function write(name: string, content: unknown = 'first'): void {
  writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
}

/** As editors save: a new file takes the place of the old one. */
function replace(name: string): void {
  write(`${name}.new`, 'second');
  renameSync(join(folder, `${name}.new`), join(folder, name));
}

/** A round whose bundler read two files of the folder, one of a package, and one of elsewhere. */
async function builtRound(): Promise<void> {
  await watch.begin();
  const inputs = ['ext/src/main.ts', 'ext/src/part.ts', 'ext/node_modules/zod/index.js', 'linked/sdk.ts'];
  await watch.noteInputs(inputs.map((name) => join(folder, name)));
}

describe('after a round that was built', () => {
  it.each<[string, () => void, string]>([
    ['a source that is written', () => write('ext/src/main.ts', 'second'), 'src/main.ts'],
    ['a source that is replaced, as editors do', () => replace('ext/src/part.ts'), 'src/part.ts'],
    ['a source that is deleted', () => rmSync(join(folder, 'ext/src/part.ts')), 'src/part.ts'],
    ['a module that is elsewhere', () => write('linked/sdk.ts', 'second'), '../linked/sdk.ts'],
    ['a module of a package', () => write('ext/node_modules/zod/index.js', 'x'), 'node_modules/zod/index.js'],
    ['extension.json', () => replace('ext/extension.json'), 'extension.json'],
    ['a package.json that is new', () => write('ext/package.json', {}), 'package.json'],
    ['a file that `files` names', () => write('ext/resources/a.txt', 'second'), 'resources/a.txt'],
    ['a new file that `files` names', () => write('ext/resources/b.txt'), 'resources/b.txt'],
    ['a file of settings', () => replace('settings.json'), '../settings.json'],
  ])('sees %s', async (_, change, name) => {
    await builtRound();
    const changed = watch.changed(signal);
    change();
    expect(await changed).toEqual([name]);
    expect(watch.hasChanged()).toBe(true);
    await builtRound();
    expect(watch.hasChanged()).toBe(false);
  });

  it('sees a new file in a new folder of a new folder', async () => {
    await builtRound();
    const changed = watch.changed(signal);
    mkdirSync(join(folder, 'ext/resources/deep/deeper'), { recursive: true });
    write('ext/resources/deep/deeper/c.txt');
    expect(await changed).toEqual(['resources/deep/deeper/c.txt']);
  });

  it('does not see what is no part of the extension', async () => {
    await builtRound();
    const changed = watch.changed(signal);
    for (const name of ['ext/README.md', 'ext/src/unused.ts', 'ext/vm/state', 'ext/node_modules/other.js']) {
      write(name, 'second');
    }
    expect(await Promise.race([changed, delay(400, 'nothing')])).toBe('nothing');
    write('ext/src/main.ts', 'second');
    expect(await changed).toEqual(['src/main.ts']);
  });
});

it('sees every file of the folder after a round that could not be built', async () => {
  await watch.begin();
  const changed = watch.changed(signal);
  write('ext/src/missing.ts');
  expect(await changed).toEqual(['src/missing.ts']);
});

it('sees what was changed while the bundler worked', async () => {
  await watch.begin();
  write('ext/src/part.ts', 'second');
  await watch.noteInputs([join(folder, 'ext/src/main.ts'), join(folder, 'ext/src/part.ts')]);
  expect(watch.hasChanged()).toBe(true);
  expect(await watch.changed(signal)).toEqual(['src/part.ts']);
});

it('ends its waiting with the reason of the signal', async () => {
  const controller = new AbortController();
  await builtRound();
  const changed = watch.changed(controller.signal);
  controller.abort(new Error('Ctrl-C'));
  await expect(changed).rejects.toThrow('Ctrl-C');
});
