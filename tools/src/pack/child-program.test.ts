import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { type ChildOptions, runChild } from './child-program.ts';

const options: ChildOptions = {
  cwd: '/',
  env: { PATH: process.env.PATH },
  timeoutMs: 20_000,
  errorCode: 'TEST_FAILED',
  purpose: 'Doing a thing',
  hint: 'Do it again.',
};

it('gives the standard output, and no shell sees the arguments', async () => {
  expect(await runChild(['printf', '%s|', '$HOME', 'a b', '*'], options)).toBe('$HOME|a b|*|');
});

it('says what was being done, how the program ended and what it printed last', async () => {
  const script = 'for i in $(seq 1 100); do echo "line $i"; done; echo oh no >&2; exit 3';
  const failure = await runChild(['sh', '-c', script], options).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'TEST_FAILED', hint: 'Do it again.' });
  const text = String(failure);
  expect(text).toContain('Doing a thing: sh ended with 3\n');
  expect(text).toContain('line 100');
  expect(text).not.toContain('line 80\n');
});

it('keeps credentials in addresses to itself', async () => {
  const script =
    'echo "GET https://me:hush-1@host/pkg?sig=hush-2&x=1 failed: https://host/a#hush-3" >&2; exit 1';
  const failure = String(await runChild(['sh', '-c', script], options).catch((error: unknown) => error));
  expect(failure).toContain('GET https://host/pkg failed: https://host/a');
  expect(failure).not.toContain('hush');
});

it('ends the whole process group when the time is over', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'child-'));
  const script = `sleep 600 & echo $! >${folder}/pid; wait`;
  const running = runChild(['sh', '-c', script], { ...options, timeoutMs: 500 });
  await expect(running).rejects.toThrow('took longer than 0.5 s');
  const pid = (await readFile(join(folder, 'pid'), 'utf8')).trim();
  const isRunning = async (): Promise<boolean> => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z');
    return !/\) [ZX]/.test(stat);
  };
  for (let tries = 0; (await isRunning()) && tries < 500; tries++) await delay(10);
  expect(await isRunning()).toBe(false);
  rmSync(folder, { recursive: true });
});

it('names a program that is not there', async () => {
  await expect(runChild(['/nonexistent/bun'], options)).rejects.toMatchObject({
    code: 'TEST_FAILED',
    message: expect.stringContaining('/nonexistent/bun could not be started'),
  });
});

it('does not begin when it was stopped before', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'child-'));
  const begun = join(folder, 'begun');
  const running = runChild(['touch', begun], { ...options, signal: AbortSignal.abort() });
  await expect(running).rejects.toThrow('abort');
  expect(existsSync(begun)).toBe(false);
  rmSync(folder, { recursive: true });
});
