import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Journal } from './journal.ts';
import { isJournalFile, journalOwner, journalPath, readJournal, writeJournal } from './journal.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-journal-'));
  path = journalPath(folder, undefined);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const process = { pid: 7, startTicks: 1234, bootId: 'boot' };
const running: Journal = {
  sequence: 0,
  state: 'running',
  version: '1.0.0',
  process,
  children: [{ ...process, pid: 8 }],
  stop: undefined,
  status: undefined,
};

describe('a journal', () => {
  it.each([
    [running, 'a run that works'],
    [{ ...running, stop: 'superseded' as const }, 'one that was asked to end'],
    [
      {
        ...running,
        state: 'finished' as const,
        children: [],
        status: {
          operation: 'Enable',
          status: 'error' as const,
          code: -3,
          message: 'ä "quoted"\nline',
          substatus: [{ name: 'a', status: 'success' as const, code: 0, message: '' }],
          time: '2026-01-02T03:04:05Z',
        },
      },
      'one that has finished',
    ],
  ])('is read as it was written (%#)', (journal) => {
    writeJournal(path, journal, { durable: false });
    expect(readJournal(path)).toEqual(journal);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['journal.json']);
  });

  it('keeps what it knows of one that a newer version wrote', () => {
    writeFileSync(path, JSON.stringify({ format: 9, future: [1], ...running, stop: 'unheard-of' }));
    expect(readJournal(path)).toEqual(running);
  });

  it.each([
    ['', 'nothing'],
    ['{', 'cut off'],
    ['[]', 'no object'],
    ['{"sequence":"x"}', 'no number'],
    [JSON.stringify({ ...running, process: { pid: 1 } }), 'half a process'],
    [JSON.stringify({ ...running, children: [null] }), 'a child that is none'],
    [JSON.stringify({ ...running, status: '[]' }), 'no status'],
  ])('that cannot be understood is none: %s (%s)', (text) => {
    writeFileSync(path, text);
    expect(readJournal(path)).toBeUndefined();
  });

  it('that is not there is none', () => {
    expect(readJournal(path)).toBeUndefined();
  });
});

it.each([
  ['journal.json', undefined],
  ['web.journal.json', 'web'],
  ['a.b.journal.json', 'a.b'],
] as const)('the file %s belongs to the configuration %s', (name, owner) => {
  expect(isJournalFile(name)).toBe(true);
  expect(journalOwner(name)).toBe(owner);
  expect(journalPath('/x', owner)).toBe(`/x/${name}`);
});

it.each(['journal.json.12.tmp', 'xjournal.json', 'journal.jsonx', 'mrseq'])('%s is no journal', (name) => {
  expect(isJournalFile(name)).toBe(false);
});
