import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../fixtures/run-cli.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'handlerkit-watch-'));
  mkdirSync(join(folder, 'ext/src'), { recursive: true });
  writeFileSync(join(folder, 'ext/extension.json'), '{"publisher":"A","type":"B","version":"1.0.0"}');
  writeFileSync(join(folder, 'ext/src/main.ts'), "import './part.ts';\n");
  writeFileSync(join(folder, 'ext/src/part.ts'), "console.log('first');\n");
});
afterEach(async () => {
  await runCli(['vm', 'reset'], { cwd: folder });
  await rm(folder, { recursive: true, force: true });
});

const set = (...words: string[]): string[] => ['vm', 'set', 'ext', '--isolation', 'relocated', ...words];

describe('vm set --watch', () => {
  it('applies after each change, waits on an error, and ends with Ctrl-C while the VM stays', async () => {
    const steps = [
      () => writeFileSync(join(folder, 'ext/src/part.ts'), "console.log('second');\n"),
      () => appendFileSync(join(folder, 'ext/src/part.ts'), 'syntax('),
      () => writeFileSync(join(folder, 'ext/src/part.ts'), "console.log('third'); process.exitCode = 3;\n"),
    ];
    const interruptWhen = (_stdout: string, stderr: string): boolean => {
      const rounds = stderr.match(/Waiting for a change/g)?.length ?? 0;
      if (rounds + steps.length <= 3) return false;
      const step = steps.shift();
      step?.();
      return step === undefined;
    };
    const result = await runCli(set('--watch'), { cwd: folder, interruptWhen });
    expect(result.exitCode).toBe(130);
    expect(result.stderr.match(/Waiting for a change|Changed: .*|exit \d+|error [A-Z_]+/g)).toEqual([
      ...['exit 0', 'exit 0', 'Waiting for a change', 'Changed: src/part.ts'],
      ...['exit 0', 'exit 0', 'exit 0', 'exit 0', 'Waiting for a change', 'Changed: src/part.ts'],
      ...['error BUNDLE_FAILED', 'Waiting for a change', 'Changed: src/part.ts'],
      ...['exit 0', 'exit 0', 'exit 3', 'error EXTENSION_FAILED', 'Waiting for a change'],
      'error INTERRUPTED',
    ]);
    expect(result.stderr).toContain('The watch has ended. The VM stays as it is.');
    const list = await runCli(['vm', 'list', '--json'], { cwd: folder });
    expect(JSON.parse(list.stdout)).toHaveLength(1);
  }, 120_000);

  it.each([
    [['--watch', '--json'], 'one JSON document'],
    [['--watch', '--settings', '{'], 'not valid JSON'],
    [['--watch', '--settings', '@/dev/stdin'], 'a pipe gives them only once'],
    [['--inspect', '--no-wait'], 'has to wait'],
    [['--inspect=http'], 'names no port'],
    [['--inspect=65536'], 'names no port'],
    [['--inspect-operation', 'update'], 'says where --inspect stops'],
    [['--inspect', '--inspect-operation', 'start'], 'inspect-operation'],
  ])('refuses %j, and makes no VM', async (words, reason) => {
    const result = await runCli(set(...words), { cwd: folder });
    expect([result.exitCode, result.stdout + result.stderr]).toEqual([2, expect.stringContaining(reason)]);
    expect(existsSync(join(folder, '.handlerkit'))).toBe(false);
  });

  it.each(['--watch', '--inspect'])('refuses %s for a zip', async (option) => {
    writeFileSync(join(folder, 'ext.zip'), 'PK');
    const result = await runCli(['vm', 'set', 'ext.zip', option], { cwd: folder });
    expect([result.exitCode, result.stderr]).toEqual([2, expect.stringContaining('not a zip')]);
  });
});
