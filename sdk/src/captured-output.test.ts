import { mkdtempSync, readdirSync, rmSync, statSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { captureOutput, openUnlinkedFile, openUnnamedFile, readTail } from './captured-output.ts';
import { execCommand } from './exec.ts';
import { until } from './fixtures/process-machine.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-captured-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe.each([
  ['without a name', openUnnamedFile],
  ['whose name is taken away', openUnlinkedFile],
])('a file %s', (_, openFile) => {
  it('is private, leaves nothing in its folder, and holds what is appended', async () => {
    const file = await openFile(folder);
    try {
      expect(readdirSync(folder)).toEqual([]);
      expect((await file.stat()).mode & 0o777).toBe(0o600);
      await file.write('one ');
      await file.write('two');
      expect(readTail(file, 100)).toBe('one two');
      expect(readTail(file, 2)).toBe('wo');
    } finally {
      await file.close();
    }
  });

  it('needs its folder', async () => {
    await expect(openFile(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

it('output and input of a command have no name at any moment, so a killed process leaves none', async () => {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = folder;
  const seen: (string | null)[] = [];
  // 'rename': a name came or went. A change is told even of a file without a name.
  const watcher = watch(folder, (event, name) => {
    if (event === 'rename') seen.push(name);
  });
  try {
    await execCommand(['cat'], { stdin: 'x' });
    // The watch tells in order, so nothing is still to come once it has told of this.
    rmSync(mkdtempSync(join(folder, 'last-')), { recursive: true });
    await until(() => seen.length >= 2);
    expect(seen.every((name) => name?.startsWith('last-'))).toBe(true);
  } finally {
    watcher.close();
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
});

describe('captured output', () => {
  it('does not grow beyond its limit, and its end is whole however often it was cut', async () => {
    const file = await openUnnamedFile(folder);
    const captured = captureOutput(file, 1_000, 50);
    try {
      let all = '';
      for (let round = 0; round < 3; round++) {
        const text = `${round}${'€'.repeat(700)}`;
        all += text;
        await file.write(text);
        await until(() => statSync(`/proc/self/fd/${file.fd}`).size === 0);
        expect(captured.readTail()).toBe('€'.repeat(16));
      }
      await file.write('the end');
      all += 'the end';
      expect(captured.readTail()).toBe(`${'€'.repeat(14)}the end`);
      expect(all.endsWith(captured.readTail())).toBe(true);
    } finally {
      captured.end();
      await file.close();
    }
  });

  it('of a command that prints far more than the limit takes no more room than what comes between two looks', async () => {
    let most = 0;
    let pid = 0;
    const look = setInterval(() => {
      const found = pid === 0 ? undefined : statSync(`/proc/${pid}/fd/1`, { throwIfNoEntry: false });
      most = Math.max(most, (found?.blocks ?? 0) * 512);
    }, 5);
    try {
      // Sixty pieces of 2 MiB, so that the command lasts for many looks on any machine.
      const script =
        'i=0; while [ $i -lt 60 ]; do head -c 2097152 /dev/zero; sleep 0.02; i=$((i+1)); done; echo; echo the end';
      const { stdout, exitCode } = await execCommand(['sh', '-c', script], {
        captureLimitBytes: 1024 * 1024,
        tailBytes: 9,
        onStart: (started) => {
          pid = started;
        },
      });
      expect([stdout, exitCode]).toEqual(['\nthe end\n', 0]);
      expect(most).toBeGreaterThan(0);
      expect(most).toBeLessThan(60 * 1024 * 1024);
    } finally {
      clearInterval(look);
    }
  });

  it('that a file was named for is kept whole', async () => {
    const stdoutFile = join(folder, 'whole');
    const script = 'head -c 300000 /dev/zero; sleep 0.3; echo end';
    const { stdout } = await execCommand(['sh', '-c', script], {
      stdoutFile,
      captureLimitBytes: 1_000,
      tailBytes: 4,
    });
    expect([stdout, statSync(stdoutFile).size]).toEqual(['end\n', 300_004]);
  });
});
