import {
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ALICE, BOB } from './fixtures/key-machine.ts';
import { holdFile, removeFile, replaceFile } from './held-file.ts';
import type { HeldFolder } from './held-folder.ts';
import { holdChild, holdFolder, makeChild } from './held-folder.ts';

const OWNER = { uid: ALICE, gid: ALICE };

let machine: TestMachine;
let opened: HeldFolder[] = [];
beforeEach(() => {
  machine = createTestMachine();
});
afterEach(async () => {
  for (const folder of opened) await folder.close();
  opened = [];
  machine.remove();
});

const folder = (path: string, uid = 0, mode = 0o755): string => {
  mkdirSync(machine.path(path), { recursive: true });
  chownSync(machine.path(path), uid, uid);
  chmodSync(machine.path(path), mode);
  return machine.path(path);
};
const hold = async (path: string): Promise<HeldFolder> => {
  const held = await holdFolder(machine.host, path, OWNER);
  if (held === undefined) throw new Error(`${path} is missing`);
  opened.push(held);
  return held;
};

describe.runIf(process.getuid?.() === 0)('a folder', () => {
  it('stays the same one whatever becomes of its name', async () => {
    folder('/home/alice', ALICE);
    writeFileSync(machine.path('/home/alice/file'), 'inside');
    const held = await hold('/home/alice');
    symlinkSync('/etc', machine.path('/home/link'));
    renameSync(machine.path('/home/alice'), machine.path('/home/moved'));
    renameSync(machine.path('/home/link'), machine.path('/home/alice'));
    expect(readFileSync(held.at('file'), 'utf8')).toBe('inside');
  });

  it('is found behind links of root’s, relative and absolute, and its path is then the real one', async () => {
    folder('/data/homes/alice', ALICE);
    folder('/srv');
    symlinkSync('../data/homes', machine.path('/srv/homes'));
    symlinkSync('/srv/homes', machine.path('/home'));
    expect((await hold('/home/alice/')).path).toBe('/data/homes/alice');
  });

  it.each<[string, () => void, string]>([
    [
      'a link in a folder of the user’s',
      () => symlinkSync('/etc', `${folder('/home/alice', ALICE)}/next`),
      'is a symbolic link',
    ],
    [
      'a link in a folder to which others may write',
      () => symlinkSync('/etc', `${folder('/home/alice', 0, 0o777)}/next`),
      'is a symbolic link',
    ],
    [
      'a link of the user’s in a folder of root’s',
      () => {
        symlinkSync('/etc', `${folder('/home/alice')}/next`);
        lchownSync(machine.path('/home/alice/next'), ALICE, ALICE);
      },
      'is a symbolic link',
    ],
    ['links in a circle', () => symlinkSync('next', `${folder('/home/alice')}/next`), 'too many links'],
    ['a file', () => writeFileSync(`${folder('/home/alice')}/next`, ''), 'is no folder'],
    [
      'a folder of somebody else',
      () => folder('/home/alice/next', BOB),
      'belongs to another user (uid 54322)',
    ],
    [
      'a folder in one of somebody else',
      () => {
        folder('/home/alice/next', ALICE);
        folder('/home/alice', BOB);
      },
      '/home/alice belongs to another user',
    ],
  ])('is not %s', async (_, prepare, text) => {
    prepare();
    await expect(hold('/home/alice/next')).rejects.toMatchObject({
      code: 'PATH_UNSAFE',
      message: expect.stringContaining(text),
    });
  });

  it.each(['relative', '/home/../etc', '/a\0b'])('has no such path: %j', async (path) => {
    await expect(hold(path)).rejects.toMatchObject({ code: 'PATH_UNUSABLE' });
  });

  it('that is missing is nothing, and so is one in it', async () => {
    folder('/home/alice', ALICE);
    expect(await holdFolder(machine.host, '/home/bob/x', OWNER)).toBeUndefined();
    expect(await holdChild(await hold('/home/alice'), 'x', OWNER)).toBeUndefined();
  });

  it('shows each folder on the way', async () => {
    folder('/a/b', ALICE);
    const seen: string[] = [];
    await (await holdFolder(machine.host, '/a/b', OWNER, ({ path }) => seen.push(path)))?.close();
    expect(seen).toEqual(['/', '/a', '/a/b']);
  });

  it('that is made belongs to its owner, and one that is there stays who it was', async () => {
    folder('/home/alice', ALICE);
    const home = await hold('/home/alice');
    opened.push(await makeChild(home, 'new', OWNER, 0o750));
    expect(statSync(machine.path('/home/alice/new'))).toMatchObject({ uid: ALICE, mode: 0o40750 });
    folder('/home/alice/theirs', 0);
    await expect(makeChild(home, 'theirs', OWNER, 0o700)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(statSync(machine.path('/home/alice/theirs')).uid).toBe(0);
  });
});

describe.runIf(process.getuid?.() === 0)('a file in a held folder', () => {
  const rules = { owner: OWNER, limitBytes: 10 };
  const how = { ...OWNER, mode: 0o640, before: undefined, dress: async () => {} };

  it('is written whole with its owner and mode, and nothing else is left', async () => {
    folder('/home/alice', ALICE);
    const home = await hold('/home/alice');
    const written = await replaceFile(home, 'file', Buffer.from('first'), how);
    expect(statSync(machine.path('/home/alice/file'))).toMatchObject({
      uid: ALICE,
      gid: ALICE,
      mode: 0o100640,
    });
    const file = await holdFile(home, 'file', rules);
    expect(file?.content.toString()).toBe('first');
    await replaceFile(home, 'file', Buffer.from('second'), { ...how, before: file });
    await file?.close();
    expect(readdirSync(machine.path('/home/alice'))).toEqual(['file']);
    await expect(removeFile(home, 'file', written)).rejects.toMatchObject({ code: 'FILE_BUSY' });
    expect(readFileSync(machine.path('/home/alice/file'), 'utf8')).toBe('second');
  });

  it.each<[string, string, () => void]>([
    ['appeared', 'new', () => writeFileSync(machine.path('/home/alice/new'), 'theirs')],
    ['was written to', 'old', () => writeFileSync(machine.path('/home/alice/old'), 'theirs')],
    [
      'got a second name',
      'old',
      () => linkSync(machine.path('/home/alice/old'), machine.path('/home/alice/other')),
    ],
  ])('that %s at the same moment is not replaced', async (_, name, meanwhile) => {
    folder('/home/alice', ALICE);
    const home = await hold('/home/alice');
    writeFileSync(machine.path('/home/alice/old'), 'before');
    const before = await holdFile(home, name, { owner: OWNER, limitBytes: 10 });
    const dress = async (): Promise<void> => meanwhile();
    await expect(
      replaceFile(home, name, Buffer.from('ours'), { ...how, before, dress }),
    ).rejects.toMatchObject({ code: 'FILE_BUSY' });
    await before?.close();
    expect(readFileSync(machine.path(`/home/alice/${name}`), 'utf8')).not.toBe('ours');
    expect(readdirSync(machine.path('/home/alice')).filter((entry) => entry.startsWith('.'))).toEqual([]);
  });
});
