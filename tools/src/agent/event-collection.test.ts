import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventRecord } from './event-collection.ts';
import { collectEvents } from './event-collection.ts';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm, HANDLER } from './fixtures/test-vm.ts';

let vm: TestVm;
let folder: string;
let pauses: number[];
beforeEach(async () => {
  vm = await createTestVm();
  folder = join(vm.machine.logFolder, HANDLER, 'events');
  await mkdir(folder, { recursive: true });
  pauses = [];
});
afterEach(() => vm.dispose());

const EVENT = {
  Version: '1.0.0',
  Timestamp: '2026-01-02T03:04:05Z',
  TaskName: 'Enable',
  EventLevel: 'Informational',
  Message: 'done',
  EventPid: '1',
  EventTid: 2,
  OperationId: 'x',
};
const put = (name: string, value: unknown): Promise<void> =>
  writeFile(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value));
const collect = (): Promise<readonly EventRecord[]> =>
  collectEvents(vm.machine, {
    async sleep(ms) {
      pauses.push(ms);
    },
  });

describe('collecting events', () => {
  it('takes one event or several of a file, the newest file first, and deletes all', async () => {
    await put('1.json', { ...EVENT, Message: 'first' });
    await put('3.JSON', [EVENT, { ...EVENT, message: 'ignored, the later key wins' }]);
    await put(
      '2.json',
      Object.fromEntries(Object.entries(EVENT).map(([key, value]) => [key.toUpperCase(), value])),
    );
    const records = await collect();
    expect(records.map(({ file }) => file)).toEqual(['3.JSON', '3.JSON', '2.json', '1.json']);
    expect(records[2]).toEqual({
      handlerName: HANDLER,
      file: '2.json',
      event: {
        version: '1.0.0',
        timestamp: '2026-01-02T03:04:05Z',
        taskName: 'Enable',
        level: 'Informational',
        message: 'done',
        pid: '1',
        tid: '2',
        operationId: 'x',
      },
    });
    expect(await readdir(folder)).toEqual([]);
    expect(pauses).toEqual([]);
  });

  it.each<[string, unknown, RegExp]>([
    [
      '1.json',
      { ...EVENT, Message: undefined },
      /^MissingKeyError: Message not found; an event needs Version, /,
    ],
    ['1.json', { ...EVENT, TaskName: undefined }, /^MissingKeyError: taskname not found; /],
    ['1.json', { ...EVENT, Message: '  ' }, /^EmptyMessageError: Message should not be empty$/],
    ['1.json', { ...EVENT, TaskName: 5 }, /^taskname is a number, not a text; every value must be a text/],
    ['1.json', { ...EVENT, OperationId: null }, /^operationid is null, not a text; /],
    [
      '1.json',
      { ...EVENT, TaskName: 'x'.repeat(6145) },
      /^OversizeEventError: max event size allowed: 6144; shorten/,
    ],
    ['1.json', 7, /^the event is a number, not an object; /],
    [
      '1.json.tmp',
      EVENT,
      /^the agent reads only files whose names are digits and \.json, and deletes all others/,
    ],
    ['a1.json', EVENT, /^the agent reads only files whose names/],
    [
      '1.json',
      'x'.repeat(4 * 1024 * 1024 + 1),
      /^the file has 4\.19 MB, more than the 4\.2 MB that the agent reads/,
    ],
  ])('says why %s is lost', async (name, value, reason) => {
    await put(name, value);
    const records = await collect();
    expect(records).toEqual([{ handlerName: HANDLER, file: name, dropped: expect.stringMatching(reason) }]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('reads a file that is no JSON three times, a second apart', async () => {
    await put('1.json', '{"Version":');
    expect(await collect()).toMatchObject([
      { dropped: expect.stringContaining('Expecting value: line 1 column 12 (char 11)') },
    ]);
    expect(pauses).toEqual([1000, 1000]);
  });

  it('takes 360 events of a handler, of the newest files, and says of the rest that it is lost', async () => {
    await put('1.json', EVENT);
    await put('2.json', Array(359).fill(EVENT));
    await put('3.json', [EVENT, EVENT]);
    const records = await collect();
    expect(records.filter(({ event }) => event !== undefined)).toHaveLength(360);
    const lost = records.filter(({ dropped }) => dropped !== undefined);
    expect(lost.map(({ file }) => file)).toEqual(['2.json', '1.json']);
    expect(lost[0]?.dropped).toContain('takes 360 events of a handler in 300 s');
    expect(await readdir(folder)).toEqual([]);
  });

  it('cuts a message at 3072 characters and hides shared access signatures in it', async () => {
    await put('1.json', { ...EVENT, Message: `https://a.example/b?sig=secret ${'x'.repeat(4000)}` });
    const [record] = await collect();
    expect(record?.event?.message).toHaveLength(3072);
    expect(record?.event?.message).toMatch(/^https:\/\/a\.example\/b\?<redacted> x+$/);
  });

  it('looks into the folders of handlers that are not installed, and leaves folders and what a link points to', async () => {
    const other = join(vm.machine.logFolder, 'Gone.Handler', 'events');
    await mkdir(join(other, 'folder'), { recursive: true });
    await writeFile(join(other, '5.json'), JSON.stringify(EVENT));
    const target = join(vm.folder, 'target');
    await writeFile(target, 'kept');
    await symlink(target, join(other, 'link'));
    expect((await collect()).map(({ handlerName, file }) => `${handlerName} ${file}`)).toEqual([
      'Gone.Handler 5.json',
      'Gone.Handler folder',
      'Gone.Handler link',
    ]);
    expect(await readdir(other)).toEqual(['folder']);
    expect(await readdir(vm.folder)).toContain('target');
  });

  it('finds nothing where no handler was', async () => {
    const empty = await createTestVm();
    try {
      expect(await collectEvents(empty.machine, { sleep: async () => {} })).toEqual([]);
    } finally {
      await empty.dispose();
    }
  });
});
