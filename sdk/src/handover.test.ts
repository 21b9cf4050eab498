import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isHandedOver, noteHandover } from './handover.ts';
import { createHost } from './host.ts';
import { identifyProcess } from './process-identity.ts';

const host = createHost();
const own = identifyProcess(host, process.pid) ?? { pid: 0, startTicks: 0, bootId: '' };
const version = () => ({ folder, handlerName: 'A.B', version: '1.0.0', libFolder: folder });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-handover-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const noteFile = (): string => join(folder, readdirSync(folder)[0] ?? '');

it('names the process that wrote it, to which it says nothing', () => {
  expect(isHandedOver(host, version())).toBe(false);
  noteHandover(host, version());
  expect(readFileSync(noteFile(), 'utf8')).toBe(`${own.pid}:${own.startTicks}:${own.bootId}`);
  expect(isHandedOver(host, version())).toBe(false);
});

it.each([
  [true, 'a process that started later', own.pid + 1, own.startTicks + 1, own.bootId],
  [true, 'another one of the same moment', own.pid + 1, own.startTicks, own.bootId],
  [false, 'a process that started before', own.pid + 1, own.startTicks - 1, own.bootId],
  [false, 'a process of another boot', own.pid + 1, own.startTicks + 1, 'other'],
])('is %s for this process when it was written by %s', (isLate, _, pid, ticks, bootId) => {
  noteHandover(host, version());
  writeFileSync(noteFile(), `${pid}:${ticks}:${bootId}`);
  expect(isHandedOver(host, version())).toBe(isLate);
});

it.each(['', 'x', '1:2', '::'])('says nothing when it is %j', (text) => {
  noteHandover(host, version());
  writeFileSync(noteFile(), text);
  expect(isHandedOver(host, version())).toBe(false);
});
