import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checkKeysAccepted, listKeyFiles, readKeyLoginRules } from './key-login-rules.ts';
import type { SshKey } from './ssh-key.ts';
import { parseSshKeys } from './ssh-key.ts';
import { encodePublicKey } from './ssh-wire.ts';

const sshd = (lines: Readonly<Record<string, string>>) => ({
  values: (keyword: string): readonly string[] => (lines[keyword] === undefined ? [] : [lines[keyword]]),
});
const ED25519 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAzMYRvC786Z7+ifP4B/2pBgFge0pjQgM5IN+oQJzU+o';
const rsa = encodePublicKey(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey).toString('base64');
const keysOf = (text: string): readonly SshKey[] => parseSshKeys(text);
const ALICE = { name: 'alice', uid: 1000, home: '/srv/homes/alice' };

describe('the files in which sshd looks', () => {
  it.each<[string, string, boolean]>([
    ['.ssh/authorized_keys', '/srv/homes/alice/.ssh/authorized_keys', true],
    ['%h/.ssh/authorized_keys', '/srv/homes/alice/.ssh/authorized_keys', true],
    ['keys//%u', '/srv/homes/alice/keys/alice', true],
    ['/etc/ssh/keys/%u', '/etc/ssh/keys/alice', true],
    ['/etc/ssh/keys/%U/keys', '/etc/ssh/keys/1000/keys', true],
    ['/etc/ssh/100%%/%u', '/etc/ssh/100%/alice', true],
    ['/etc/ssh/keys', '/etc/ssh/keys', false],
    ['/etc/ssh/%%u', '/etc/ssh/%u', false],
  ])('%s (W26)', (pattern, path, isOfThisUser) => {
    expect(listKeyFiles([pattern], ALICE)).toEqual([{ path, isOfThisUser }]);
  });

  it.each(['/etc/%x/keys', '%', '/etc/ssh/../%u', '../bob/%u'])('leave out what cannot be: %s', (pattern) => {
    expect(listKeyFiles([pattern], ALICE)).toEqual([]);
  });

  it('come in the order of sshd, and are the usual ones when it does not say', () => {
    const text = { authorizedkeysfile: '/etc/ssh/keys/%u .ssh/authorized_keys' };
    expect(readKeyLoginRules(sshd(text), 'alice').patterns).toEqual([
      '/etc/ssh/keys/%u',
      '.ssh/authorized_keys',
    ]);
    expect(readKeyLoginRules(sshd({}), 'alice')).toEqual({
      patterns: ['.ssh/authorized_keys', '.ssh/authorized_keys2'],
      isStrict: true,
      warnings: [],
    });
    expect(readKeyLoginRules(sshd({ strictmodes: 'no' }), 'alice').isStrict).toBe(false);
  });
});

describe('a configuration with which no key helps', () => {
  it.each<[Readonly<Record<string, string>>, string]>([
    [{ pubkeyauthentication: 'no' }, 'sshd takes no keys of alice (PubkeyAuthentication no)'],
    [{ authorizedkeysfile: 'none' }, 'in no file (AuthorizedKeysFile none); change sshd_config'],
    [
      { authorizedkeysfile: 'none', authorizedkeyscommand: '/usr/bin/ask %u' },
      'it asks the program of AuthorizedKeysCommand',
    ],
    [
      { authorizedkeysfile: 'none', trustedusercakeys: '/etc/ssh/ca.pub' },
      'it takes certificates of the authorities in TrustedUserCAKeys',
    ],
  ])('%j is an error (W26)', (lines, text) => {
    let message = '';
    try {
      readKeyLoginRules(sshd(lines), 'alice');
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'SSH_KEY_NOT_LOOKED_AT' });
      message = thrown instanceof Error ? thrown.message : '';
    }
    expect(message).toContain(text);
    // The same is found after a reset, when something was.
    expect(message).not.toContain('Nothing was changed');
  });

  it.each<[Readonly<Record<string, string>>, string | undefined]>([
    [
      { authorizedkeyscommand: '/usr/bin/ask' },
      'also takes the keys that the program of AuthorizedKeysCommand names',
    ],
    [{ authorizedkeyscommand: 'none', authenticationmethods: 'any' }, undefined],
    [{ authenticationmethods: 'publickey password,publickey' }, undefined],
    [
      { authenticationmethods: 'publickey,password publickey,keyboard-interactive' },
      'asks for more than a key',
    ],
    [{ authenticationmethods: 'password' }, 'does not log anybody in by key'],
  ])('%j is a warning: %s', (lines, text) => {
    const { warnings } = readKeyLoginRules(sshd(lines), 'alice');
    if (text === undefined) expect(warnings).toEqual([]);
    else expect(warnings.join()).toContain(text);
  });
});

describe('a key that sshd would not take', () => {
  const noRsa = { pubkeyacceptedalgorithms: 'ssh-ed25519,sk-ssh-ed25519@openssh.com' };

  it.each<[string, Readonly<Record<string, string>>, string]>([
    ['is too short', { requiredrsasize: '2048' }, 'it has 1024 bits, and RequiredRSASize is 2048'],
    ['is of another kind', noRsa, 'PubkeyAcceptedAlgorithms does not name its kind'],
    [
      'is of another kind for an old sshd',
      { pubkeyacceptedkeytypes: 'ssh-ed25519' },
      'does not name its kind',
    ],
  ])('is an error alone and a warning among others: it %s (W27)', (_, lines, text) => {
    expect(() => checkKeysAccepted(sshd(lines), keysOf(`ssh-rsa ${rsa}`))).toThrow(text);
    const warnings = checkKeysAccepted(sshd(lines), keysOf(`ssh-rsa ${rsa}\n${ED25519}`));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(text);
  });

  it.each([
    [{ pubkeyacceptedalgorithms: 'rsa-sha2-256' }],
    [{ pubkeyacceptedalgorithms: 'ssh-rsa', requiredrsasize: '1024' }],
    [{}],
  ])('is not an RSA key with %j', (lines) => {
    expect(checkKeysAccepted(sshd(lines), keysOf(`ssh-rsa ${rsa}`))).toEqual([]);
  });
});
