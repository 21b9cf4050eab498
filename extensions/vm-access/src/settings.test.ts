import { HandlerError } from '@handlerkit/sdk';
import { describe, expect, it } from 'vitest';
import { readExpiration } from './expiration.ts';
import { misplacedSecrets, readAccessSettings } from './settings.ts';

const NOW = new Date('2026-03-04T05:06:07Z');
const PASSWORD = 'canary-password-8c1f';
const KEY = 'ssh-ed25519 AAAAcanary-key-51d2';

const read = (hidden: object | null, open: object | null = null) => readAccessSettings(open, hidden, NOW);
const problemsOf = (hidden: unknown, open: unknown = null): readonly string[] => {
  try {
    readAccessSettings(open, hidden, NOW);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(HandlerError);
    expect(thrown).toMatchObject({ code: 'CONFIGURATION_INVALID', statusCode: 10, exitCode: 53 });
    const lines = thrown instanceof Error ? thrown.message.split('\n') : [];
    expect(lines.pop()).toBe('Nothing was changed. Correct the settings and apply them again.');
    return lines;
  }
  throw new Error('the settings were accepted');
};
const nothing = { account: undefined, removeUser: undefined, sshd: undefined, disk: undefined };
const account = {
  username: 'alice',
  password: undefined,
  key: undefined,
  expiration: undefined,
  removePriorKeys: false,
  passwordlessSudo: undefined,
};

describe('the settings', () => {
  it('are read with every key of the original, each in its half', () => {
    const hidden = {
      username: 'alice',
      password: PASSWORD,
      ssh_key: KEY,
      expiration: '2030-12-31',
      remove_prior_keys: true,
      enable_passwordless_access: false,
      reset_ssh: true,
      restore_backup_ssh: false,
    };
    const open = { check_disk: false, repair_disk: true, disk_name: 'data' };
    expect(read(hidden, open)).toEqual({
      account: {
        username: 'alice',
        password: PASSWORD,
        key: KEY,
        expiration: { text: '2030-12-31', days: 22279 },
        removePriorKeys: true,
        passwordlessSudo: false,
      },
      removeUser: undefined,
      sshd: 'reset',
      disk: { kind: 'repair', name: 'data' },
    });
  });

  it.each<[string, object, object | null, object]>([
    ['a key alone', { username: 'alice', ssh_key: KEY }, null, { account: { ...account, key: KEY } }],
    [
      'a password alone',
      { username: 'alice', password: PASSWORD },
      null,
      { account: { ...account, password: PASSWORD } },
    ],
    ['a removal', { remove_user: 'bob' }, null, { removeUser: 'bob' }],
    [
      'a removal and another user’s key',
      { remove_user: 'bob', username: 'alice', ssh_key: KEY },
      null,
      { removeUser: 'bob', account: { ...account, key: KEY } },
    ],
    ['a reset', { reset_ssh: true }, null, { sshd: 'reset' }],
    ['a restore', { restore_backup_ssh: true }, null, { sshd: 'restore' }],
    ['a check', {}, { check_disk: true }, { disk: { kind: 'check' } }],
    [
      'a repair',
      {},
      { repair_disk: true, disk_name: 'mnt/data' },
      { disk: { kind: 'repair', name: 'mnt/data' } },
    ],
  ])('may ask for %s', (_, hidden, open, expected) => {
    expect(read(hidden, open)).toEqual({ ...nothing, ...expected });
  });

  it('count null, and the empty text of a parameter that nobody filled in, as not given', () => {
    const empty = { ssh_key: '', expiration: '', remove_user: '', reset_ssh: null, remove_prior_keys: null };
    const hidden = { username: 'alice', password: PASSWORD, ...empty };
    expect(read(hidden, { disk_name: '', check_disk: null })).toEqual({
      ...nothing,
      account: { ...account, password: PASSWORD },
    });
  });
});

describe('a switch', () => {
  const FLAGS = [
    ['protected', 'remove_prior_keys'],
    ['protected', 'enable_passwordless_access'],
    ['protected', 'reset_ssh'],
    ['protected', 'restore_backup_ssh'],
    ['public', 'check_disk'],
    ['public', 'repair_disk'],
  ] as const;
  const give = (half: 'public' | 'protected', key: string, value: unknown) => {
    const base = { username: 'alice', ssh_key: KEY };
    const disk = key === 'repair_disk' && (value === true || value === 'true') ? { disk_name: 'data' } : {};
    return half === 'public' ? read(base, { [key]: value, ...disk }) : read({ ...base, [key]: value }, null);
  };

  it.each(FLAGS)('in the %s half, %s, means what it says, as JSON and as text', (half, key) => {
    expect(give(half, key, 'true')).toEqual(give(half, key, true));
    expect(give(half, key, 'false')).toEqual(give(half, key, false));
    expect(give(half, key, true)).not.toEqual(give(half, key, false));
  });

  it.each(FLAGS)('in the %s half, %s, is nothing else', (half, key) => {
    for (const value of ['True', 'yes', '1', '', 1, 0, [], {}]) {
      const hidden = { username: 'alice', ssh_key: KEY };
      const given = { [key]: value };
      const problems = half === 'public' ? problemsOf(hidden, given) : problemsOf({ ...hidden, ...given });
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatch(`${half}Settings.${key}: must be true or false, and is`);
    }
  });

  it('that says false asks for nothing', () => {
    const off = { reset_ssh: 'false', restore_backup_ssh: false };
    expect(problemsOf(off, { check_disk: 'false', repair_disk: 'false' })[0]).toMatch(
      /^nothing is asked for/,
    );
    expect(read({ remove_user: 'bob', ...off }).removeUser).toBe('bob');
  });
});

describe('settings are refused', () => {
  const user = { username: 'alice', ssh_key: KEY };
  it.each<[string, unknown, unknown, readonly string[]]>([
    ['that ask for nothing', {}, {}, ['nothing is asked for']],
    ['that are not there', null, null, ['nothing is asked for']],
    [
      'with a misspelt key',
      { user_name: 'alice', passwd: PASSWORD },
      null,
      [
        'protectedSettings: unknown key `user_name`; did you mean `username`?',
        'protectedSettings: unknown key `passwd`; did you mean `password`?',
      ],
    ],
    [
      'with a misspelt key of the other half',
      user,
      { usrename: 'alice' },
      [
        'publicSettings: unknown key `usrename`; did you mean `username` (which belongs into protectedSettings)?',
      ],
    ],
    ['with a key that nobody knows', user, { colour: 'red' }, ['publicSettings: unknown key `colour`']],
    [
      'with a secret in the place of a key',
      { ...user, [`${PASSWORD} and then something`]: 1 },
      null,
      ['protectedSettings: unknown key `[hidden] (39 characters)`'],
    ],
    [
      'with account keys in the public half',
      null,
      { username: 'alice', password: PASSWORD },
      [
        'publicSettings.username: belongs into protectedSettings',
        'publicSettings.password: belongs into protectedSettings; others can read it here, so choose another one',
      ],
    ],
    [
      'with disk keys in the protected half',
      { check_disk: true },
      null,
      ['protectedSettings.check_disk: belongs into publicSettings'],
    ],
    [
      'with values of another type (W21)',
      { username: ['alice'], password: 7, ssh_key: [KEY], expiration: 20301231, remove_user: {} },
      { disk_name: false },
      [
        'publicSettings.disk_name: must be a text, and is a boolean',
        'protectedSettings.username: must be a text, and is an array',
        'protectedSettings.password: must be a text, and is a number',
        'protectedSettings.ssh_key: must be a text, and is an array',
        'protectedSettings.expiration: must be a text, and is a number',
        'protectedSettings.remove_user: must be a text, and is an object',
        'protectedSettings.remove_user: cannot be combined with `password`; apply one after the other',
        'publicSettings.disk_name: needs `repair_disk`; alone it asks for nothing',
      ],
    ],
    [
      'for an account without a name',
      { password: PASSWORD, ssh_key: KEY, expiration: '2030-01-01', remove_prior_keys: true },
      null,
      ['password', 'ssh_key', 'expiration', 'remove_prior_keys'].map(
        (key) => `protectedSettings.${key}: needs \`username\`, the account that it is for`,
      ),
    ],
    [
      'with an empty name',
      { username: '', enable_passwordless_access: true },
      null,
      ['protectedSettings.enable_passwordless_access: needs `username`, the account that it is for'],
    ],
    [
      'with neither password nor key',
      { username: 'alice', expiration: '2030-01-01' },
      null,
      ['protectedSettings.username: No password or ssh_key is specified, with which the user could get in'],
    ],
    [
      'with an empty password, also beside a key',
      { ...user, password: '' },
      null,
      ['protectedSettings.password: is empty; give a password, or leave the key out'],
    ],
    ...['two\nlines', 'return\r', 'nul\0', 'lone \ud800'].map(
      (password): [string, unknown, unknown, readonly string[]] => [
        `with the password ${JSON.stringify(password)}, which would be more than one line`,
        { username: 'alice', password },
        null,
        ['protectedSettings.password: holds a line break or another character that no password can have'],
      ],
    ),
    [
      'with a password that no hash takes',
      { username: 'alice', password: 'ü'.repeat(256) },
      null,
      ['protectedSettings.password: is longer than 511 bytes'],
    ],
    [
      'that remove all keys for none',
      { username: 'alice', password: PASSWORD, remove_prior_keys: 'true' },
      null,
      ['protectedSettings.remove_prior_keys: needs `ssh_key`; without a new key nobody could get in by key'],
    ],
    [
      'that reset and restore',
      { reset_ssh: true, restore_backup_ssh: 'true' },
      null,
      ['protectedSettings.restore_backup_ssh: cannot be combined with `reset_ssh`; give one of them'],
    ],
    [
      'that remove a user and change more',
      {
        username: 'alice',
        password: PASSWORD,
        remove_user: 'bob',
        reset_ssh: true,
        restore_backup_ssh: true,
      },
      null,
      [
        'protectedSettings.restore_backup_ssh: cannot be combined with `reset_ssh`; give one of them',
        ...['password', 'reset_ssh', 'restore_backup_ssh'].map(
          (key) =>
            `protectedSettings.remove_user: cannot be combined with \`${key}\`; apply one after the other`,
        ),
      ],
    ],
    [
      'that remove the user whom they make',
      { ...user, remove_user: 'alice' },
      null,
      [
        'protectedSettings.remove_user: is the same as `username`; remove the user first, then apply the rest',
      ],
    ],
    [
      'that check and repair',
      null,
      { check_disk: true, repair_disk: true, disk_name: 'data' },
      ['publicSettings.repair_disk: cannot be combined with `check_disk`; apply one after the other'],
    ],
    [
      'that repair no disk in particular',
      null,
      { repair_disk: true },
      ['publicSettings.repair_disk: needs `disk_name`, the mount point of the disk'],
    ],
    [
      'that name a disk for nothing',
      user,
      { disk_name: 'data', repair_disk: 'false' },
      ['publicSettings.disk_name: needs `repair_disk`; alone it asks for nothing'],
    ],
  ])('%s', (_, hidden, open, expected) => {
    const problems = problemsOf(hidden, open);
    expect(problems.map((one, index) => one.slice(0, expected[index]?.length))).toEqual(expected);
    expect(problems.join('\n')).not.toContain('canary');
  });

  it('with all that is wrong in both halves, at once', () => {
    const hidden = { username: 'alice', pasword: PASSWORD, expiration: '2020-01-01', reset_ssh: 'on' };
    expect(problemsOf(hidden, { ssh_key: KEY, check_disk: true, repair_disk: true })).toHaveLength(7);
  });
});

it('secrets in the public half are named, so that they are hidden', () => {
  expect(misplacedSecrets({ password: PASSWORD, ssh_key: KEY, username: 'alice' })).toEqual([PASSWORD, KEY]);
  for (const half of [null, undefined, [], { password: 1 }]) expect(misplacedSecrets(half)).toEqual([]);
});

describe('an expiration', () => {
  it.each([
    ['2026-03-05', '2026-03-05', 20517],
    [' 2030-12-31 ', '2030-12-31', 22279],
    ['2030-12-31T00:00:00.000Z', '2030-12-31', 22279],
    ['2030-12-31T23:59', '2030-12-31', 22279],
    ['2030-12-31T23:59:59+02:00', '2030-12-31', 22279],
    ['2028-02-29', '2028-02-29', 21243],
  ])('%j is the day %s', (value, text, days) => {
    expect(readExpiration(value, NOW)).toEqual({ text, days });
    expect(new Date(days * 86_400_000).toISOString().slice(0, 10)).toBe(text);
  });

  it.each([
    '2024-02-30',
    '2030-02-29',
    '2030-13-01',
    '2030-1-1',
    '31.12.2030',
    'never',
    '-e 2030-12-31',
    '2030-12-31 10:00',
    '2031-12-31T',
    '20301231',
    '+1 day',
    '99999-01-01',
  ])('%j is none, and the text does not say it', (value) => {
    const result = readExpiration(value, NOW);
    expect(result).toEqual({ problem: expect.stringContaining('is no date; write YYYY-MM-DD') });
    expect(JSON.stringify(result)).not.toContain(value);
  });

  it.each(['2026-03-04', '2026-03-03', '1970-01-01', '2026-03-04T23:59:59Z', '0001-01-01'])(
    '%j is not in the future',
    (value) => {
      expect(readExpiration(value, NOW)).toEqual({ problem: expect.stringContaining('not in the future') });
    },
  );
});
