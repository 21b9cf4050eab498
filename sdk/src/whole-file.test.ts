import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTextIfThere, removeUnfinishedFiles, writeWholeFile } from './whole-file.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-whole-file-'));
  path = join(folder, 'file');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('writing a whole file', () => {
  it('makes it with mode 0600, or the one that is asked for, and replaces it', () => {
    writeWholeFile(path, 'one');
    expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777]).toEqual(['one', 0o600]);
    writeWholeFile(path, 'zwei', { mode: 0o640, durable: false });
    expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777]).toEqual(['zwei', 0o640]);
    expect(readdirSync(folder)).toEqual(['file']);
  });

  it('leaves no temporary file, and the target as it was, when it cannot be renamed', () => {
    mkdirSync(join(path, 'inside'), { recursive: true });
    expect(() => writeWholeFile(path, 'text')).toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(readdirSync(folder)).toEqual(['file']);
    expect(existsSync(join(path, 'inside'))).toBe(true);
  });

  it('throws the system’s error when the folder is missing or the disk takes nothing', () => {
    expect(() => writeWholeFile(join(folder, 'missing', 'file'), 'text')).toThrow(/ENOENT/);
    expect(() => writeWholeFile('/proc/handlerkit', 'text')).toThrow(/ENOENT|EACCES|EPERM/);
  });

  it.skipIf(process.getuid?.() !== 0)(
    'leaves the former file whole, and nothing else, on a full disk, and the error names the file (which needs root)',
    () => {
      const module = fileURLToPath(new URL('./whole-file.ts', import.meta.url));
      const script = `import { writeWholeFile } from ${JSON.stringify(module)};
      writeWholeFile('file', 'former');
      try { writeWholeFile('file', 'x'.repeat(200_000)); } catch (thrown) { console.log(thrown.code, thrown.message); }`;
      const inNamespace =
        'mount -t tmpfs -o size=64k tmpfs "$1" && cd "$1" && shift && "$@" && ls -A && cat file';
      const { stdout, stderr } = spawnSync(
        'unshare',
        [
          ...['--mount', 'sh', '-c', inNamespace, 'sh', folder],
          ...[
            process.execPath,
            '--import',
            import.meta.resolve('tsx'),
            '--input-type=module',
            '--eval',
            script,
          ],
        ],
        { encoding: 'utf8' },
      );
      const error = "ENOSPC ENOSPC: no space left on device, write 'file'";
      expect([stdout, stderr]).toEqual([`${error}\nfile\nformer`, '']);
    },
  );

  it('does not follow a link that somebody has put in the place of the temporary file', () => {
    writeFileSync(join(folder, 'precious'), 'precious');
    symlinkSync(join(folder, 'precious'), `${path}.${process.pid}.tmp`);
    writeWholeFile(path, 'text');
    expect(readFileSync(join(folder, 'precious'), 'utf8')).toBe('precious');
    expect(readFileSync(path, 'utf8')).toBe('text');
  });

  it('shows a reader the old text or the new one, never a part', async () => {
    const texts = ['a'.repeat(100_000), 'b'.repeat(50_000)] as const;
    writeWholeFile(path, texts[0]);
    const reader = new Worker(
      `const { readFileSync } = require('node:fs');
       const { parentPort, workerData } = require('node:worker_threads');
       const seen = new Set();
       const read = () => { const text = readFileSync(workerData, 'utf8'); seen.add(text[0] + text.length + (new Set(text).size)); };
       let on = true;
       parentPort.once('message', () => { on = false; });
       (function next() { for (let i = 0; i < 20; i++) read(); if (on) setImmediate(next); else parentPort.postMessage([...seen]); })();
       parentPort.postMessage('ready');`,
      { eval: true, workerData: path },
    );
    const heard = (): Promise<unknown> => new Promise((resolve) => reader.once('message', resolve));
    await heard();
    for (let i = 0; i < 300; i++) writeWholeFile(path, texts[i % 2] ?? '', { durable: false });
    reader.postMessage('stop');
    const seen = await heard();
    await reader.terminate();
    expect(['a1000001', 'b500001']).toEqual(expect.arrayContaining(seen as string[]));
  });
});

it('a file that is not there has no text; one that cannot be read is an error', () => {
  expect(readTextIfThere(path)).toBeUndefined();
  expect(() => readTextIfThere(join(path, 'below'))).not.toThrow();
  writeFileSync(path, 'text');
  expect(readTextIfThere(path)).toBe('text');
  expect(() => readTextIfThere(join(path, 'below'))).toThrow(/ENOTDIR/);
});

it('what is no file is not waited for, and the error names it; a file that is masked is empty', () => {
  execFileSync('mkfifo', [path]);
  symlinkSync('/dev/zero', `${path}.zero`);
  symlinkSync('/dev/null', `${path}.null`);
  expect(() => readTextIfThere(path)).toThrow(`${path} is a pipe, where a regular file belongs`);
  expect(() => readTextIfThere(`${path}.zero`)).toThrow(`${path}.zero is a device, where`);
  expect(() => readTextIfThere(folder)).toThrow(`${folder} is a folder, where`);
  expect(readTextIfThere(`${path}.null`)).toBe('');
  expect(readTextIfThere('/proc/self/comm')).toMatch(/\n$/);
});

it('removes the unfinished files of its own kind whose process has ended, and no other', () => {
  for (const name of ['file', 'file.1.tmp', 'file.2.tmp', 'other.1.tmp', 'file.tmp', 'file.x.tmp'])
    writeFileSync(join(folder, name), '');
  removeUnfinishedFiles(
    folder,
    (name) => name === 'file',
    (pid) => pid === 2,
  );
  expect(readdirSync(folder).sort()).toEqual(['file', 'file.2.tmp', 'file.tmp', 'file.x.tmp', 'other.1.tmp']);
  removeUnfinishedFiles(
    join(folder, 'missing'),
    () => true,
    () => false,
  );
});
