import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { resolveUnder } from './root-path.ts';

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-root-'));
  mkdirSync(join(root, 'run/lock'), { recursive: true });
  mkdirSync(join(root, 'var/lib'), { recursive: true });
  writeFileSync(join(root, 'run/file'), '');
  for (const [target, link] of [
    ['/run', 'var/run'],
    ['../../../../run/file', 'var/climb'],
    ['run', 'var/relative'],
    ['/var/run/lock', 'chain'],
    ['/loop', 'loop'],
    ['/missing/x', 'dangling'],
  ] as const) {
    symlinkSync(target, join(root, link));
  }
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

it.each([
  ['/var/lib/x', '/var/lib/x', 'no link'],
  ['/', '', 'the root itself'],
  ['/var/run/file', '/run/file', 'an absolute link starts at the root of the VM'],
  ['/var/climb', '/run/file', 'a climb ends at the root of the VM'],
  ['/var/relative/file', '/run/file', 'a relative link to a link'],
  ['/chain', '/run/lock', 'the last name is resolved too'],
  ['/var/run/../x', '/var/x', 'the caller normalises as text, before any link'],
  ['/../../etc', '/etc', 'a path that climbs out'],
  ['/dangling/y', '/missing/x/y', 'names that do not exist are kept'],
  ['/loop', '/loop', 'a loop is left for the kernel to refuse'],
])('takes %s to %s (%s)', (path, expected) => {
  expect(resolveUnder(root, path)).toBe(root + expected);
});
