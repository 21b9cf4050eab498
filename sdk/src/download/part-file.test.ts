/** The temporary file of a download, with a runtime that saves bodies by itself and does it well or badly. Real files. */
import {
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PartFile } from './part-file.ts';
import { createPartFile, removeUnfinishedDownloads } from './part-file.ts';

type Save = (response: Response, fd: number) => Promise<unknown>;

/** Writes the body so many times where the handle stands, and tells its length once. */
const saving = (times: number): Save => {
  return async (response, fd) => {
    const body = Buffer.from(await response.arrayBuffer());
    for (let time = 0; time < times; time++) writeSync(fd, body);
    return body.length;
  };
};

let folder: string;
let target: string;
let part: PartFile;
const onlyFile = (): string => join(folder, readdirSync(folder).join('/'));
const make = async (save: Save | undefined): Promise<void> => {
  part = await createPartFile(target, 0o500, save);
};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-part-'));
  target = join(folder, 'file');
});
afterEach(async () => {
  await part.dispose();
  rmSync(folder, { recursive: true, force: true });
});

it('part files of processes that have ended are removed, also below, and nothing else', async () => {
  await make(undefined);
  const elsewhere = mkdtempSync(join(tmpdir(), 'handlerkit-part-'));
  const name = (pid: number): string => `.00000000-1111-4222-8333-444444444444.${pid}.part`;
  mkdirSync(join(folder, 'download', '7'), { recursive: true });
  symlinkSync(elsewhere, join(folder, 'link'));
  const dead = [name(1), join('download', '7', name(1))].map((path) => join(folder, path));
  const kept = [join(folder, name(2)), join(folder, 'my.1.part'), join(elsewhere, name(1))];
  for (const path of [...dead, ...kept]) writeFileSync(path, 'half');
  removeUnfinishedDownloads(folder, (pid) => pid !== 1);
  removeUnfinishedDownloads(join(folder, 'missing'), () => false);
  expect(dead.filter((path) => statSync(path, { throwIfNoEntry: false }))).toEqual([]);
  expect(kept.map((path) => readFileSync(path, 'utf8'))).toEqual(['half', 'half', 'half']);
  expect(part.length).toBe(0);
  rmSync(elsewhere, { recursive: true });
});

describe('a part file', () => {
  it('is put on disk before it has its name', async () => {
    await make(undefined);
    const sync = await spyOnSync();
    await part.append(Buffer.from('whole'));
    await part.finish();
    expect(sync).toHaveBeenCalledTimes(1);
    sync.mockRestore();
    expect(readFileSync(target, 'utf8')).toBe('whole');
  });

  it('is 0600 while it grows, and has its name and mode when it is finished', async () => {
    await make(undefined);
    await part.append(Buffer.from('begun'));
    expect(onlyFile()).toMatch(/\/\.[\w-]+\.\d+\.part$/);
    expect(statSync(onlyFile()).mode & 0o777).toBe(0o600);
    await part.finish();
    expect(onlyFile()).toBe(target);
    expect(statSync(target).mode & 0o777).toBe(0o500);
  });

  it('takes a whole body from the runtime, and again after it was emptied', async () => {
    const handles: number[] = [];
    await make((response, fd) => {
      handles.push(fd);
      return saving(1)(response, fd);
    });
    await part.receive?.(new Response('first and longer'));
    expect(part.length).toBe(16);
    await part.restart();
    await part.receive?.(new Response('second'));
    expect(part.length).toBe(6);
    expect(readFileSync(onlyFile(), 'utf8')).toBe('second');
    for (const fd of handles) expect(isOpenOn(fd, onlyFile())).toBe(false);
  });

  it('tells its length while the runtime writes, and keeps what came before the body broke off', async () => {
    const lengths: number[] = [];
    await make(async (_, fd) => {
      writeSync(fd, 'half');
      lengths.push(part.length);
      throw new Error('broken');
    });
    await expect(part.receive?.(new Response('half of it'))).rejects.toThrow('broken');
    expect([...lengths, part.length]).toEqual([4, 4]);
    // The rest is appended, since the runtime would begin anew.
    expect(part.receive).toBeUndefined();
    await part.append(Buffer.from(' of it'));
    expect(readFileSync(onlyFile(), 'utf8')).toBe('half of it');
  });

  it.each([
    [0, 'not at all'],
    [2, 'twice'],
  ])('is empty after a body that the runtime wrote %s times (%s) and says it saved', async (times) => {
    await make(saving(times));
    await expect(part.receive?.(new Response('body'))).rejects.toThrow('were saved');
    expect(part.length).toBe(0);
    expect(statSync(onlyFile()).size).toBe(0);
  });

  it('takes no body where the runtime cannot save one, and leaves no file when it is not finished', async () => {
    await make(undefined);
    expect(part.receive).toBeUndefined();
    await part.dispose();
    expect(readdirSync(folder)).toEqual([]);
  });
});

/** Another file may have got the number since. */
function isOpenOn(fd: number, path: string): boolean {
  try {
    return fstatSync(fd).ino === statSync(path).ino;
  } catch {
    return false;
  }
}

/** Counts how often any file is put on disk; it is, all the same. */
async function spyOnSync() {
  const file = await open(join(folder, readdirSync(folder).join('/')));
  const prototype: typeof file = Object.getPrototypeOf(file);
  await file.close();
  return vi.spyOn(prototype, 'sync');
}
