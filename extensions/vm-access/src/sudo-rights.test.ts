import { describe, expect, it } from 'vitest';
import { describeRights, parseSudoRights } from './sudo-rights.ts';

const list = (rules: string, defaults = 'env_reset'): string =>
  `Matching Defaults entries for alice on vm:\n    ${defaults}\n\nUser alice may run the following commands on vm:\n${rules}`;

describe('parseSudoRights', () => {
  it.each([
    ['User alice is not allowed to run sudo on vm.\n', 'none'],
    [list('    (ALL : ALL) ALL\n'), 'all'],
    [list('    (ALL) ALL\n'), 'all'],
    [list('    (root) ALL\n'), 'all'],
    [list('    (ALL) NOPASSWD: ALL\n'), 'passwordless'],
    [list('    (ALL) SETENV: NOPASSWD: ALL\n'), 'passwordless'],
    [list('    (ALL : ALL) ALL\n    (ALL) NOPASSWD: ALL\n'), 'passwordless'],
    [list('    (ALL) NOPASSWD: ALL\n    (ALL : ALL) ALL\n'), 'all'],
    [list('    (ALL) NOPASSWD: /usr/bin/apt\n'), 'some'],
    [list('    (ALL) NOPASSWD: ALL, !/bin/su\n'), 'some'],
    [list('    (bob) ALL\n'), 'some'],
    [list('    (ALL) ALL, (ALL) NOPASSWD: /bin/ls\n'), 'some'],
    [list(`    (ALL) NOPASSWD: /usr/bin/one,\n        /usr/bin/two\n`), 'some'],
  ])('reads %j as %s', (text, level) => {
    expect(parseSudoRights(text)).toMatchObject({ level });
  });

  it.each([
    ['env_reset', false],
    ['env_reset, targetpw', true],
    ['rootpw, env_reset', true],
    ['targetpw, !targetpw', false],
    ['!targetpw, targetpw', true],
    ['!targetpw, !rootpw, !runaspw', false],
    ['env_keep="targetpwx"', false],
  ])('with the defaults %s another password is asked for: %s', (defaults, expected) => {
    expect(parseSudoRights(list('    (ALL) ALL\n', defaults))).toMatchObject({
      asksForOtherPassword: expected,
    });
  });

  it('takes nothing else for a list', () => {
    expect(parseSudoRights('')).toBeUndefined();
    expect(parseSudoRights('sudo: unknown user: bob\n')).toBeUndefined();
  });

  it('joins rules that go on in the next line', () => {
    const rights = parseSudoRights(list('    (ALL) /usr/bin/one,\n        /usr/bin/two\n'));
    expect(rights === undefined ? '' : describeRights(rights)).toBe(
      'some rights of sudo: (ALL) /usr/bin/one, /usr/bin/two',
    );
  });
});
