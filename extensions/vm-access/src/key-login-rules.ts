/**
 * What sshd's configuration says of logging in with a key: in which files it looks for the keys of a user, and which keys
 * it would not take. Asked before anything is changed.
 *
 * Source: sshd_config(5): AuthorizedKeysFile, TOKENS, PubkeyAcceptedAlgorithms, RequiredRSASize, AuthenticationMethods.
 */
import { posix } from 'node:path';
import type { EffectiveSshd } from './effective-sshd.ts';
import { accessError } from './errors.ts';
import type { SshKey } from './ssh-key.ts';
import { describeKey } from './ssh-key.ts';
import type { KeyType } from './ssh-wire.ts';

/** sshd's own values for the user. */
export type KeyLoginValues = Pick<EffectiveSshd, 'values'>;

/** How sshd goes about the keys of a user. */
export interface KeyLoginRules {
  /** Texts of `AuthorizedKeysFile`, with their tokens. */
  readonly patterns: readonly string[];
  /** Whether sshd looks at owners and modes. */
  readonly isStrict: boolean;
  /** What the user should know. */
  readonly warnings: readonly string[];
}

/** A user, as the tokens of a pattern name them. */
export interface KeyUser {
  readonly name: string;
  readonly uid: number;
  readonly home: string;
}

/** A file in which sshd looks. */
export interface KeyFile {
  /** Absolute, as sshd finds it. */
  readonly path: string;
  /** False: other users' logins are looked up in the same file. */
  readonly isOfThisUser: boolean;
}

/** What OpenSSH does when it is not configured otherwise. */
export const DEFAULT_RULES: KeyLoginRules = {
  patterns: ['.ssh/authorized_keys', '.ssh/authorized_keys2'],
  isStrict: true,
  warnings: [],
};

/** Reads sshd's rules. Throws `SSH_KEY_NOT_LOOKED_AT` when no key of a file would log the user in. */
export function readKeyLoginRules(sshd: KeyLoginValues, username: string): KeyLoginRules {
  const value = (keyword: string): string => sshd.values(keyword).join(' ').trim();
  if (value('pubkeyauthentication') === 'no') {
    throw refusal(`sshd takes no keys of ${username} (PubkeyAuthentication no)`, RESET_ADVICE);
  }
  const command = value('authorizedkeyscommand');
  const hasCommand = command !== '' && command !== 'none';
  const patterns = value('authorizedkeysfile').split(/\s+/).filter(isGiven);
  if (sshd.values('authorizedkeysfile').length > 0 && patterns.length === 0) {
    const authority = value('trustedusercakeys');
    const instead = [
      ...(hasCommand ? [`asks the program of AuthorizedKeysCommand`] : []),
      ...(isGiven(authority) ? ['takes certificates of the authorities in TrustedUserCAKeys'] : []),
    ].join(' and ');
    const reason = `sshd looks for the keys of ${username} in no file (AuthorizedKeysFile none)`;
    throw refusal(instead === '' ? reason : `${reason}, it ${instead}`, RESET_ADVICE);
  }
  const warnings = [
    ...(hasCommand ? ['sshd also takes the keys that the program of AuthorizedKeysCommand names'] : []),
    ...methodWarnings(value('authenticationmethods')),
  ];
  return {
    patterns: patterns.length === 0 ? DEFAULT_RULES.patterns : patterns,
    isStrict: value('strictmodes') !== 'no',
    warnings,
  };
}

/**
 * Looks which keys sshd would not take. Gives a warning for some of them, and throws `SSH_KEY_NOT_LOOKED_AT` when it
 * would take none.
 */
export function checkKeysAccepted(sshd: KeyLoginValues, keys: readonly SshKey[]): readonly string[] {
  const problems = keys.flatMap((key) => {
    const problem = findKeyProblem(sshd, key);
    return problem === undefined ? [] : [`sshd will not take the key ${describeKey(key)}: ${problem}`];
  });
  if (problems.length === keys.length) {
    throw refusal(problems.join('; '), 'give another key, such as ssh-ed25519, or change sshd_config');
  }
  return problems;
}

/** The files of the user, in the order in which sshd looks; a pattern with a token that it has not is left out. */
export function listKeyFiles(patterns: readonly string[], user: KeyUser): readonly KeyFile[] {
  return patterns.flatMap((pattern) => {
    const name = expandTokens(pattern, user);
    if (name === undefined || name.split('/').includes('..')) return [];
    const path = posix.normalize(name.startsWith('/') ? name : posix.join(user.home, name));
    const isInHome = path.startsWith(`${posix.normalize(user.home).replace(/\/$/, '')}/`);
    return [{ path, isOfThisUser: isInHome || /%[huU]/.test(pattern.replaceAll('%%', '')) }];
  });
}

const RESET_ADVICE = 'change sshd_config, or set reset_ssh to true';
/** Names of the algorithms with which each type of key signs. */
const ALGORITHMS: Partial<Record<KeyType, readonly string[]>> = {
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'],
  'sk-ecdsa-sha2-nistp256@openssh.com': [
    'sk-ecdsa-sha2-nistp256@openssh.com',
    'webauthn-sk-ecdsa-sha2-nistp256@openssh.com',
  ],
};

function findKeyProblem(sshd: KeyLoginValues, { type, bits }: SshKey): string | undefined {
  const least = Number(sshd.values('requiredrsasize')[0] ?? 0);
  if (type === 'ssh-rsa' && bits < least) return `it has ${bits} bits, and RequiredRSASize is ${least}`;
  // The name before OpenSSH 8.5.
  const accepted = [...sshd.values('pubkeyacceptedalgorithms'), ...sshd.values('pubkeyacceptedkeytypes')]
    .join(',')
    .split(',')
    .filter((name) => name !== '');
  const usable = ALGORITHMS[type] ?? [type];
  if (accepted.length === 0 || usable.some((name) => accepted.includes(name))) return undefined;
  return 'PubkeyAcceptedAlgorithms does not name its kind';
}

/** `sshd -T` prints `any`, or lists of methods that are separated by commas, each list enough by itself. */
function methodWarnings(methods: string): readonly string[] {
  const lists = methods.split(/\s+/).filter((list) => isGiven(list) && list !== 'any');
  if (lists.length === 0 || lists.includes('publickey')) return [];
  return lists.some((list) => list.split(',').includes('publickey'))
    ? [`sshd asks for more than a key (AuthenticationMethods ${lists.join(' ')})`]
    : [`sshd does not log anybody in by key (AuthenticationMethods ${lists.join(' ')})`];
}

function expandTokens(pattern: string, user: KeyUser): string | undefined {
  const values = new Map([
    ['%', '%'],
    ['h', user.home],
    ['u', user.name],
    ['U', String(user.uid)],
  ]);
  let isKnown = true;
  const text = pattern.replace(/%(.?)/gs, (_, token: string) => {
    const value = values.get(token);
    isKnown &&= value !== undefined;
    return value ?? '';
  });
  return isKnown ? text : undefined;
}

function isGiven(value: string): boolean {
  return value !== '' && value !== 'none';
}

function refusal(reason: string, advice: string): Error {
  return accessError('SSH_KEY_NOT_LOOKED_AT', `${reason}; ${advice}`);
}
