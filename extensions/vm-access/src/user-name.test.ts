import { describe, expect, it } from 'vitest';
import { checkUserName } from './user-name.ts';

describe('checkUserName', () => {
  it.each([
    ['alice'],
    ['_apt'],
    ['web-admin'],
    ['a'],
    ['azureUser'],
    ['first.last'],
    ['a'.repeat(32)],
    ['ALLy'],
  ])('takes %s', (name) => {
    expect(() => checkUserName(name, { userNames: 'any' })).not.toThrow();
  });

  it.each([
    ['', 'is empty'],
    ['ALL', 'an alias'],
    ['ADMINS_1', 'an alias'],
    ['A', 'an alias'],
    ['%users', 'must begin'],
    ['#1000', 'must begin'],
    ['+netgroup', 'must begin'],
    ['-x', 'must begin'],
    ['--help', 'must begin'],
    ['.', 'must begin'],
    ['..', 'must begin'],
    ['1alice', 'must begin'],
    ['~root', 'must begin'],
    ['ümit', 'must begin'],
    ['1000', 'is a number'],
    ['../etc', 'must begin'],
    ['a/b', 'holds a character'],
    ['bob\\', 'holds a character'],
    ['bob!', 'holds a character'],
    ['a b', 'holds a character'],
    ['a\n', 'holds a character'],
    ['a\nroot', 'holds a character'],
    ['a\0', 'holds a character'],
    ['a:b', 'holds a character'],
    ['a,b', 'holds a character'],
    ['a=b', 'holds a character'],
    ['a(', 'holds a character'],
    ['a+b', 'holds a character'],
    ['a$', 'holds a character'],
    ['a@example.com', 'holds a character'],
    ['$(id)', 'must begin'],
    ['jörg', 'holds a character'],
    ['аlice', 'must begin'],
    ['alice.', 'ends with a dot'],
    ['Defaults', 'a word of the language'],
    ['User_Alias', 'a word of the language'],
    ['a'.repeat(33), 'longer than 32'],
  ])('refuses %j, and does not repeat it: %s (W13)', (name, reason) => {
    expect(() => checkUserName(name)).toThrow(
      expect.objectContaining({ code: 'USER_NAME_INVALID', message: expect.stringContaining(reason) }),
    );
  });

  it.each([['azureUser'], ['first.last']])('refuses %s where useradd takes lower case only', (name) => {
    expect(() => checkUserName(name, { userNames: 'lower-case' })).toThrow('this distribution does not take');
  });
});
