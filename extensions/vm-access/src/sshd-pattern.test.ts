import { describe, expect, it } from 'vitest';
import { expandInclude, matchesPattern, matchesUser } from './sshd-pattern.ts';

const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  '/etc/ssh': ['sshd_config', 'sshd_config.d', 'extra'],
  '/etc/ssh/sshd_config.d': [
    '60-b.conf',
    '10-a.conf',
    'Z.conf',
    'a.conf',
    '.hidden.conf',
    'a.conf.bak',
    '[x].conf',
  ],
  '/etc/ssh/extra': ['10-a.conf'],
};

describe('expandInclude', () => {
  it.each([
    [
      'sorts by bytes',
      'sshd_config.d/*.conf',
      ['10-a', '60-b', 'Z', '[x]', 'a'].map((name) => `/etc/ssh/sshd_config.d/${name}.conf`),
    ],
    [
      'finds patterns in folders too',
      '/etc/ssh/*/10-?.conf',
      ['/etc/ssh/extra/10-a.conf', '/etc/ssh/sshd_config.d/10-a.conf'],
    ],
    [
      'knows sets',
      '/etc/ssh/sshd_config.d/[!0-9[]*.conf',
      ['/etc/ssh/sshd_config.d/Z.conf', '/etc/ssh/sshd_config.d/a.conf'],
    ],
    ['knows a backslash', '/etc/ssh/sshd_config.d/\\[x].conf', ['/etc/ssh/sshd_config.d/[x].conf']],
    [
      'finds a hidden file only by name',
      '/etc/ssh/sshd_config.d/.*.conf',
      ['/etc/ssh/sshd_config.d/.hidden.conf'],
    ],
    ['leaves a plain path alone', 'other.conf', ['/etc/ssh/other.conf']],
    ['finds nothing where there is no folder', '/etc/none/*.conf', []],
  ])('%s (W31)', (_what, pattern, paths) => {
    expect(expandInclude(pattern, (folder) => FOLDERS[folder] ?? [])).toEqual(paths);
  });
});

it.each([
  ['alice', 'alice', true],
  ['alice', 'Alice', false],
  ['alice', 'al*', true],
  ['alice', 'alic?', true],
  ['a.b', 'axb', false],
  ['axb', 'a.b', false],
  ['a+', 'a+', true],
])('a user called %s matches %s: %s (W31)', (user, pattern, matches) => {
  expect(matchesPattern(user, pattern)).toBe(matches);
});

it.each([
  ['alice', { user: true, from: '*' }],
  ['al*@10.0.0.0/8', { user: true, from: '10.0.0.0/8' }],
  ['bob@*', { user: false, from: '*' }],
])('reads the entry %s of AllowUsers', (entry, expected) => {
  expect(matchesUser(entry, 'alice')).toEqual(expected);
});
