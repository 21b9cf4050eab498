import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lastLines } from './last-lines.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'custom-script-lines-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const numbered = (count: number): string => Array.from({ length: count }, (_, i) => `line ${i}\n`).join('');

it.each<[string, string, string]>([
  ['nothing', '', ''],
  ['a line that is not finished', 'half of a sec', ''],
  ['only the finished lines', 'one\ntwo\nthr', 'one\ntwo'],
  ['the last ten lines', numbered(40), numbered(40).split('\n').slice(30, 40).join('\n')],
  ['no beginning of a line that is cut', `${'canary'.repeat(4000)}\nend\n`, 'end'],
  ['nothing of an endless line', 'x'.repeat(100_000), ''],
  ['at most 1024 bytes', `${'ä'.repeat(1000)}\n`, 'ä'.repeat(512)],
])('shows %s', async (_, text, expected) => {
  writeFileSync(join(folder, 'stdout'), text);
  expect(await lastLines(join(folder, 'stdout'), (shown) => shown)).toBe(expected);
});

it('hides secrets before anything is cut', async () => {
  const secret = `begin\n${'line\n'.repeat(20)}canary`;
  writeFileSync(join(folder, 'stdout'), `${secret}\nend\n`);
  expect(await lastLines(join(folder, 'stdout'), (text) => text.replaceAll(secret, '[hidden]'))).toBe(
    '[hidden]\nend',
  );
});

it('a file that is not there, a link, or a pipe that nobody writes to shows nothing', async () => {
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  symlinkSync('/etc/passwd', join(folder, 'stdout'));
  for (const name of ['stdout', 'stderr', 'pipe'])
    expect(await lastLines(join(folder, name), String)).toBe('');
});
