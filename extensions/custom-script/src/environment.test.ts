import { expect, it } from 'vitest';
import { checkEnvironment, commandEnvironment, isLoaderVariable, readEnvironment } from './environment.ts';

const user = { name: 'jo', uid: 7, gid: 8, home: '/home/jo', shell: '/bin/bash' };

it.each<[unknown, unknown, readonly string[]]>([
  [undefined, undefined, []],
  [{ ROLE: 'web', _x1: '' }, { TOKEN: 'canary=\n€' }, []],
  [{ ROLE: 'a' }, { ROLE: 'canary' }, ["'environment.ROLE' was specified both in public and protected"]],
  [{ 'A=B': 'canary' }, {}, ['is no name of a variable']],
  [{ '': 'canary' }, { '1A': 'canary' }, ['is no name of a variable', 'is no name of a variable']],
  [{ 'BASH_FUNC_ls%%': '() { canary; }' }, {}, ['is no name of a variable']],
  [{}, { A: 'can\0ary' }, ["'environment.A' must not contain a NUL"]],
  [{ A: 'x'.repeat(128 * 1024 - 3) }, {}, []],
  [{ A: 'x'.repeat(128 * 1024 - 2) }, {}, ["'environment.A' has 131073 bytes, but at most 131072"]],
])('%#: what is wrong is said without a value', (open, hidden, expected) => {
  const problems = checkEnvironment(open, hidden);
  expect(problems).toHaveLength(expected.length);
  for (const [index, text] of expected.entries()) expect(problems[index]).toContain(text);
  expect(problems.join()).not.toContain('canary');
});

it('a longest variable can be given to a program, a longer one cannot', async () => {
  const { spawnSync } = await import('node:child_process');
  const start = (length: number) => spawnSync('/bin/true', [], { env: { A: 'x'.repeat(length) } });
  expect(start(128 * 1024 - 3).status).toBe(0);
  expect(start(128 * 1024 - 2).error).toMatchObject({ code: 'E2BIG' });
});

it('a name of an object’s own is a variable like any other', () => {
  const half: unknown = JSON.parse('{"__proto__":"a","constructor":"b"}');
  expect(Object.entries(readEnvironment(half, {}))).toEqual([
    ['__proto__', 'a'],
    ['constructor', 'b'],
  ]);
});

it('without a user and variables the command has the environment of this process', () => {
  expect(commandEnvironment({ PATH: '/bin' }, {}, undefined)).toBeUndefined();
});

it('the given variables lie over the user’s, those over the agent’s', () => {
  const own = {
    PATH: '/bin',
    HOME: '/root',
    MAIL: '/var/mail/root',
    XDG_RUNTIME_DIR: '/run/user/0',
    GONE: undefined,
  };
  expect(commandEnvironment(own, { A: 'a' }, undefined)).toEqual({
    PATH: '/bin',
    HOME: '/root',
    MAIL: '/var/mail/root',
    XDG_RUNTIME_DIR: '/run/user/0',
    A: 'a',
  });
  expect(commandEnvironment(own, { SHELL: '/bin/zsh' }, user)).toEqual({
    PATH: '/bin',
    HOME: '/home/jo',
    USER: 'jo',
    LOGNAME: 'jo',
    SHELL: '/bin/zsh',
  });
});

it.each(['LD_PRELOAD', 'LD_AUDIT', 'GLIBC_TUNABLES', 'GCONV_PATH'])(
  '%s is heeded by every program',
  (name) => {
    expect(isLoaderVariable(name)).toBe(true);
    expect(isLoaderVariable(`MY_${name}`)).toBe(false);
  },
);
