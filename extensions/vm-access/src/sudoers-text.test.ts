import { describe, expect, it } from 'vitest';
import { formatRules, namesUser, ownSudoersFile, withoutUser } from './sudoers-text.ts';

describe('ownSudoersFile', () => {
  it('gives a name that sudo reads, and never the same one to two users (W14)', () => {
    const names = ['a.b', 'a-b', 'a_b', 'ab', 'a..b', 'axb'].map(ownSudoersFile);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[^.~/]+$/);
  });
});

describe('formatRules', () => {
  it('is one line for the user, and never asks for the password of another one', () => {
    expect(formatRules('a.b', { passwordless: false, ownPassword: false })).toBe(
      '# Written by VM Access.\na.b ALL=(ALL:ALL) ALL\n',
    );
    expect(formatRules('alice', { passwordless: true, ownPassword: false })).toContain(
      'alice ALL=(ALL:ALL) NOPASSWD: ALL\n',
    );
    expect(formatRules('alice', { passwordless: false, ownPassword: true })).toContain(
      'Defaults:alice !targetpw, !rootpw, !runaspw\nalice ',
    );
  });
});

describe('withoutUser', () => {
  it.each([
    ['alice ALL = (ALL) ALL\n', ''],
    ['alice\tALL=(ALL) NOPASSWD:ALL\nbob ALL=(ALL) ALL\n', 'bob ALL=(ALL) ALL\n'],
    ['# User rules for alice\nalice ALL=(ALL) NOPASSWD:ALL\n', '# User rules for alice\n'],
    ['alice ALL=(ALL) \\\n  ALL\nbob ALL=ALL\n', 'bob ALL=ALL\n'],
    ['  "alice" ALL=ALL\n', ''],
    ['Defaults:alice !targetpw\n', ''],
    ['bob ALL=ALL\nalice ALL=ALL', 'bob ALL=ALL\n'],
  ])('takes the rules of alice out of %j', (text, rest) => {
    expect(withoutUser(text, 'alice')).toBe(rest);
  });

  it.each([
    ['alice2 ALL=ALL\n'],
    ['malice ALL=ALL\n'],
    ['Alice ALL=ALL\n'],
    ['%alice ALL=ALL\n'],
    ['alice, bob ALL=ALL\n'],
    ['alice ,bob ALL=ALL\n'],
    ['alice,bob ALL=ALL\n'],
    ['bob ALL=(alice) ALL\n'],
    ['User_Alias A = alice\n'],
    ['# alice ALL=ALL\n'],
    ['bob ALL = ALL \\\nalice ALL\n'],
    [''],
    ['\n\n'],
    ['no newline at the end'],
  ])('leaves %j as it is (W14)', (text) => {
    expect(withoutUser(text, 'alice')).toBe(text);
  });

  it('does not take a dot for any character (W14)', () => {
    expect(withoutUser('axb ALL=ALL\na.b ALL=ALL\n', 'a.b')).toBe('axb ALL=ALL\n');
  });
});

describe('namesUser', () => {
  it.each([
    ['alice, bob ALL=ALL\n', true],
    ['User_Alias A = bob, alice\n', true],
    ['bob ALL=(alice) ALL\n', true],
    ['Defaults:alice !lecture\n', true],
    ['# alice ALL=ALL\n', false],
    ['bob ALL=ALL # not alice\n', false],
    ['alice2 ALL=ALL\n%alice ALL=ALL\n', false],
  ])('%j: %s', (text, expected) => {
    expect(namesUser(text, 'alice')).toBe(expected);
  });
});
