import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AZURE_ENDPOINTS } from '../fabric/fabric-addresses.ts';
import { lastLines, openLogTail } from './log-tail.ts';
import { formatConfiguration } from './waagent-files.ts';
import { isListening } from './waagent-services.ts';

describe("the agent's configuration", () => {
  it('keeps what the package says, but for what would touch this machine or take time', () => {
    const lines = formatConfiguration(
      '# a comment\nExtensions.Enabled=y\nResourceDisk.Format=y\nOS.RootDeviceScsiTimeout=300\n# ResourceDisk.Format=y\n',
    ).split('\n');
    expect(lines.slice(0, 3)).toEqual(['# a comment', 'Extensions.Enabled=y', '# ResourceDisk.Format=y']);
    expect(lines).toContain('ResourceDisk.Format=n');
    expect(lines).toContain('Extensions.GoalStatePeriod=1');
    expect(lines.join('\n')).not.toContain('RootDeviceScsiTimeout');
  });
});

describe('a server of the fabric', () => {
  const ROW =
    '   0: 10813FA8:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000';

  it.each([
    ['listens', ROW, true],
    ['is only connected', ROW.replace(' 0A ', ' 01 '), false],
    ['listens on another port', ROW.replace(':0050', ':7F0E'), false],
    ['listens on another address', ROW.replace('10813FA8', 'FEA9FEA9'), false],
    ['is not there', '', false],
  ])('that %s is seen as such', (_, table, expected) => {
    expect(isListening(table, AZURE_ENDPOINTS.wireServer)).toBe(expected);
  });

  it('is told from others by the port', () => {
    expect(isListening(ROW.replace(':0050', ':7F0E'), AZURE_ENDPOINTS.hostPlugin)).toBe(true);
  });
});

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
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-waagent-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
