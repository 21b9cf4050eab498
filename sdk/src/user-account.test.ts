import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ScriptedResult, TestMachine } from './testing/index.ts';
import { createTestMachine } from './testing/index.ts';
import { findUserAccount } from './user-account.ts';

let machine: TestMachine;
let answer: ScriptedResult | undefined;
beforeEach(() => {
  answer = undefined;
  machine = createTestMachine({ exec: () => answer });
});
afterEach(() => machine.remove());

it('a user of the machine is found by name', async () => {
  expect(await findUserAccount(machine.host, 'root')).toMatchObject({ name: 'root', uid: 0, gid: 0 });
});

it.each([
  '',
  '0',
  '+0',
  '-1',
  '--help',
  'root ',
  'root:x',
  'a/b',
  '../root',
  'root\n',
  'no-such-user-7',
  'ROOT',
])('%j is no user', async (name) => {
  expect(await findUserAccount(machine.host, name)).toBeUndefined();
});

it('a line for another name does not count, and neither does one with a wrong id', async () => {
  for (const stdout of [
    'root:x:0:0::/root:/bin/sh\n',
    'jo:x:-1:0::/:\n',
    'jo:x:4294967295:0::/:\n',
    'jo:x\n',
  ]) {
    answer = { stdout };
    expect(await findUserAccount(machine.host, 'jo')).toBeUndefined();
  }
  answer = { stdout: 'jo:x:7:8:Jo::\n' };
  expect(await findUserAccount(machine.host, 'jo')).toEqual({
    name: 'jo',
    uid: 7,
    gid: 8,
    home: '/',
    shell: '/bin/sh',
  });
});

it('without getent the file of users is read', async () => {
  answer = { exitCode: 127 };
  await expect(findUserAccount(machine.host, 'jo')).rejects.toMatchObject({ code: 'DEPENDENCY_MISSING' });
  mkdirSync(machine.path('/etc'));
  writeFileSync(machine.path('/etc/passwd'), 'root:x:0:0::/root:/bin/sh\njo:x:7:8::/home/jo:/bin/bash\n');
  expect(await findUserAccount(machine.host, 'jo')).toMatchObject({ uid: 7, home: '/home/jo' });
});
