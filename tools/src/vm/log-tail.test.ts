import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { lastLines, openLogTail } from './log-tail.ts';

describe('the tail of a log', () => {
  it('gives what was appended since the last look, and characters whole', () => {
    const file = join(makeFolder(), 'log');
    writeFileSync(file, 'before\n');
    const tail = openLogTail(file, 0);
    expect(tail.read()).toBe('');
    const bytes = Buffer.from('grün\n');
    writeFileSync(file, bytes.subarray(0, 3), { flag: 'a' });
    expect(tail.read()).toBe('gr');
    writeFileSync(file, bytes.subarray(3), { flag: 'a' });
    expect(tail.read()).toBe('ün\n');
  });

  it('begins anew with a file that became shorter, and waits for one that is not there yet', () => {
    const file = join(makeFolder(), 'log');
    const tail = openLogTail(file, 0);
    expect(tail.read()).toBe('');
    writeFileSync(file, 'a long first line\n');
    expect(tail.read()).toBe('a long first line\n');
    writeFileSync(file, 'short\n');
    expect(tail.read()).toBe('short\n');
  });

  it('has its last lines', () => {
    const file = join(makeFolder(), 'log');
    writeFileSync(file, 'one\n\ntwo\nthree\n');
    expect(lastLines(file, 2)).toEqual(['two', 'three']);
    expect(lastLines(`${file}.not`, 2)).toEqual([]);
  });
});

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-log-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
