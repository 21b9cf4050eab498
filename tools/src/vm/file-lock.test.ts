import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockFile } from './file-lock.ts';
import { findTool } from './system-tools.ts';

const flock = findTool('flock', '');
let base: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'handlerkit-lock-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

it('lets one owner in at a time, in this process too', async () => {
  const order: string[] = [];
  const first = await lockFile(join(base, 'lock'), 'exclusive', flock);
  const second = lockFile(join(base, 'lock'), 'exclusive', flock).then((lock) => {
    order.push('second in');
    lock.release();
  });
  const other = lockFile(join(base, 'other'), 'exclusive', flock);
  (await other).release();
  order.push('first out');
  first.release();
  await second;
  expect(order).toEqual(['first out', 'second in']);
});

it('lets several in that share it', async () => {
  const locks = await Promise.all([1, 2, 3].map(() => lockFile(join(base, 'lock'), 'shared', flock)));
  expect(locks).toHaveLength(3);
  for (const lock of locks) lock.release();
});

it('makes the folder, and follows when the folder was deleted by the owner before', async () => {
  const path = join(base, 'folder/lock');
  const first = await lockFile(path, 'exclusive', flock);
  const second = lockFile(path, 'exclusive', flock);
  rmSync(join(base, 'folder'), { recursive: true });
  first.release();
  const held = await second;
  // Nobody else gets the lock that a newcomer sees.
  const probe = spawn(flock, ['--exclusive', '--nonblock', path, 'true'], { stdio: 'ignore' });
  expect((await once(probe, 'exit'))[0]).toBe(1);
  held.release();
});

it('is free again when its owner was killed', async () => {
  const path = join(base, 'lock');
  const owner = spawn(flock, ['--exclusive', path, 'sh', '-c', 'echo in; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  await once(owner.stdout, 'data');
  const lock = lockFile(path, 'exclusive', flock);
  if (owner.pid !== undefined) process.kill(-owner.pid, 'SIGKILL');
  (await lock).release();
});
