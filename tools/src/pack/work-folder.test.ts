import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withWorkFolder } from './work-folder.ts';

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'handlerkit-work-'));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

/** Another process that works in `parent` until it is killed. Resolves once it has its folder. */
async function startWork() {
  const script = [
    `import { withWorkFolder } from ${JSON.stringify(new URL('work-folder.ts', import.meta.url).href)};`,
    "const forever = () => { process.stdout.write('ready'); return new Promise(() => setInterval(() => {}, 1000)); };",
    `await withWorkFolder(${JSON.stringify(parent)}, forever);`,
  ].join('\n');
  const options = ['--conditions=@handlerkit/source', '--import', import.meta.resolve('tsx')];
  const child = spawn(process.execPath, [...options, '--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

it('gives an empty folder beside the result, and deletes it also after a failure', async () => {
  const result = await withWorkFolder(parent, async (folder) => {
    writeFileSync(join(folder, 'part'), 'x');
    return readdirSync(parent).length;
  });
  expect(result).toBe(1);
  const failing = withWorkFolder(parent, async (folder) => {
    writeFileSync(join(folder, 'part'), 'x');
    throw new Error('no luck');
  });
  await expect(failing).rejects.toThrow('no luck');
  expect(readdirSync(parent)).toEqual([]);
});

it('leaves the folder of a process that works, and deletes it once that was killed', async () => {
  const child = await startWork();
  const ended = once(child, 'exit');
  try {
    const [other = ''] = readdirSync(parent);
    await withWorkFolder(parent, async () => {
      expect(readdirSync(parent)).toHaveLength(2);
      expect(existsSync(join(parent, other))).toBe(true);
    });
  } finally {
    child.kill('SIGKILL');
  }
  await ended;
  expect(readdirSync(parent)).toHaveLength(1);
  await withWorkFolder(parent, async (folder) => expect(readdirSync(parent)).toEqual([basename(folder)]));
});

it('takes a number that was given again for another process', async () => {
  await withWorkFolder(parent, async (folder) => {
    const other = join(parent, basename(folder).replace(/\.\d+\.[^.]+$/, '.1.abcdef'));
    mkdirSync(other);
    await withWorkFolder(parent, async () => expect(existsSync(other)).toBe(false));
    expect(existsSync(folder)).toBe(true);
  });
});

it('gives a process that it cannot see a day', async () => {
  await withWorkFolder(parent, async (folder) => {
    const foreign = join(parent, '.handlerkit-work.0123456789ab.1.1.abcdef');
    renameSync(folder, foreign);
    await withWorkFolder(parent, async () => expect(existsSync(foreign)).toBe(true));
    utimesSync(foreign, 0, 0);
    await withWorkFolder(parent, async () => expect(existsSync(foreign)).toBe(false));
  });
});

it('touches nothing else', async () => {
  mkdirSync(join(parent, '.handlerkit'));
  mkdirSync(join(parent, '.work-abc'));
  await withWorkFolder(parent, async () => {});
  expect(readdirSync(parent).sort()).toEqual(['.handlerkit', '.work-abc']);
});
