import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { until } from './fixtures/process-machine.ts';
import { createHost } from './host.ts';
import { identifyProcess, isRunning, readBootId } from './process-identity.ts';

const host = createHost();

it('a process has a number, a start and a boot, and runs while all three are the same', () => {
  const own = identifyProcess(host, process.pid);
  if (own === undefined) throw new Error('this process is not found');
  expect(own).toMatchObject({ pid: process.pid, bootId: readBootId(host) });
  expect(own.startTicks).toBeGreaterThan(0);
  expect(own.bootId).toMatch(/^[0-9a-f-]{36}$/);
  expect(isRunning(host, own)).toBe(true);
  expect(isRunning(host, { ...own, startTicks: own.startTicks + 1 })).toBe(false);
  expect(isRunning(host, { ...own, bootId: 'another' })).toBe(false);
  expect(isRunning(host, { ...own, pid: 4_000_000 })).toBe(false);
});

it('a number that nobody has is no process', () => {
  expect(identifyProcess(host, 4_000_000)).toBeUndefined();
});

it('a zombie has ended', async () => {
  // The shell goes on as a program that never asks how its child ended; the child ends after that.
  const parent = spawn(
    'sh',
    ['-c', `sh -c 'while [ "$(cat /proc/$PPID/comm)" != sleep ]; do :; done' & echo $!; exec sleep 30`],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  try {
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
    await until(() => readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '));
    expect(identifyProcess(host, pid)).toBeUndefined();
  } finally {
    parent.kill('SIGKILL');
  }
});

it('a program’s name may hold anything', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-identity-'));
  const program = join(folder, 'a) Z 1 (');
  copyFileSync('/bin/sleep', program);
  const child = spawn(program, ['30'], { stdio: 'ignore' });
  try {
    const other = identifyProcess(host, process.pid);
    const identity = await until(() => identifyProcess(host, child.pid ?? 0));
    expect(identity.startTicks).toBeGreaterThanOrEqual(other?.startTicks ?? Number.POSITIVE_INFINITY);
    expect(isRunning(host, identity)).toBe(true);
  } finally {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

it('a machine without a boot id has an empty one', () => {
  expect(readBootId({ ...host, path: (absolute) => join('/nonexistent', absolute) })).toBe('');
});
