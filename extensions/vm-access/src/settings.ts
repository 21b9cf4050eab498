/**
 * The settings of VM Access: what each half may hold, and what goes together. Both halves are judged at once, every
 * problem is listed, and no text holds a value. The keys and their meaning are those of VMAccess 1.5.
 */
import { nearestName, shownProtectedKey } from '@handlerkit/sdk';
import { PROTECTED_SETTINGS_KEY, PUBLIC_SETTINGS_KEY } from '@handlerkit/sdk/contract';
import * as z from 'zod/mini';
import { accessError } from './errors.ts';
import type { ExpirationDate } from './expiration.ts';
import { readExpiration } from './expiration.ts';

/** The account that is made, or made usable again. */
export interface AccountSettings {
  /** As the user wrote it; what a name may be is for the distribution to say. */
  readonly username: string;
  readonly password: string | undefined;
  /** Text with one public key or several, in any of the forms that are known; not read yet. */
  readonly key: string | undefined;
  readonly expiration: ExpirationDate | undefined;
  /** The keys that are there already are replaced. */
  readonly removePriorKeys: boolean;
  /** `undefined`: the user did not say. */
  readonly passwordlessSudo: boolean | undefined;
}

/** A check of all disks, or the repair of one: a mount point, as the user wrote it. */
export type DiskSettings = { readonly kind: 'check' } | { readonly kind: 'repair'; readonly name: string };

/** What the user asked for, checked; at least one part is there. */
export interface AccessSettings {
  readonly account: AccountSettings | undefined;
  /** Name of the user to remove. */
  readonly removeUser: string | undefined;
  readonly sshd: 'reset' | 'restore' | undefined;
  readonly disk: DiskSettings | undefined;
}

/**
 * Checks both halves together; `now` is the time of the VM. Throws one `CONFIGURATION_INVALID` that lists all problems,
 * one a line.
 */
export function readAccessSettings(publicHalf: unknown, protectedHalf: unknown, now: Date): AccessSettings {
  const problems: string[] = [];
  const open = readHalf('public', publicHalf, problems);
  const hidden = readHalf('protected', protectedHalf, problems);
  const settings = combine(open, hidden, now, problems);
  if (problems.length === 0) return settings;
  throw accessError('CONFIGURATION_INVALID', `${problems.join('\n')}\n${ADVICE}`);
}

/** Secrets that were put into the public half by mistake, so that they can be hidden at least from now on. */
export function misplacedSecrets(publicHalf: unknown): readonly string[] {
  const half = isRecord(publicHalf) ? publicHalf : {};
  return [half.password, half.ssh_key].filter((value) => typeof value === 'string');
}

const ADVICE = 'Nothing was changed. Correct the settings and apply them again.';

const flag = z.optional(z.union([z.boolean(), z.enum(['true', 'false'])]));
const text = z.optional(z.string());
const SCHEMAS = {
  public: z.strictObject({ check_disk: flag, repair_disk: flag, disk_name: text }),
  protected: z.strictObject({
    username: text,
    password: text,
    ssh_key: text,
    expiration: text,
    remove_prior_keys: flag,
    enable_passwordless_access: flag,
    reset_ssh: flag,
    restore_backup_ssh: flag,
    remove_user: text,
  }),
} as const;

type Half = keyof typeof SCHEMAS;
type Values = Readonly<Record<string, unknown>>;

const HALF_KEYS = { public: PUBLIC_SETTINGS_KEY, protected: PROTECTED_SETTINGS_KEY } as const;
const OTHER_HALF = { public: 'protected', protected: 'public' } as const;
const KEYS: Readonly<Record<Half, readonly string[]>> = {
  public: Object.keys(SCHEMAS.public.def.shape),
  protected: Object.keys(SCHEMAS.protected.def.shape),
};
/** Keys of the protected half whose value must not be known to others. */
const SECRET_KEYS: readonly string[] = ['password'];
const FLAGS: readonly string[] = [
  'check_disk',
  'repair_disk',
  'remove_prior_keys',
  'enable_passwordless_access',
  'reset_ssh',
  'restore_backup_ssh',
];

/** Adds the problems of one half, and gives what it holds without what is null, which counts as not given. */
function readHalf(half: Half, value: unknown, problems: string[]): Values {
  const given = Object.fromEntries(
    Object.entries(isRecord(value) ? value : {}).filter(([, one]) => one !== null),
  );
  // Without generated code: a schema that is used once is faster without it.
  const result = z.safeParse(SCHEMAS[half], given, { jitless: true });
  for (const issue of result.error?.issues ?? []) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) problems.push(describeUnknown(half, key));
      continue;
    }
    const key = String(issue.path[0]);
    const expected = FLAGS.includes(key) ? 'must be true or false' : 'must be a text';
    problems.push(`${place(half, key)}: ${expected}, and is ${describeType(given[key])}`);
  }
  return given;
}

function describeUnknown(half: Half, key: string): string {
  const other = OTHER_HALF[half];
  if (KEYS[other].includes(key)) {
    const leaked = SECRET_KEYS.includes(key) ? '; others can read it here, so choose another one' : '';
    return `${place(half, key)}: belongs into ${HALF_KEYS[other]}${leaked}`;
  }
  const all = [...KEYS[half], ...KEYS[other]];
  const shown = half === 'public' ? JSON.stringify(key).slice(1, -1) : shownProtectedKey(key, all);
  const near = nearestName(key, KEYS[half]) ?? nearestName(key, KEYS[other]);
  if (near === undefined) return `${HALF_KEYS[half]}: unknown key \`${shown}\``;
  const where = KEYS[half].includes(near) ? '' : ` (which belongs into ${HALF_KEYS[other]})`;
  return `${HALF_KEYS[half]}: unknown key \`${shown}\`; did you mean \`${near}\`${where}?`;
}

/** Judges what goes together. What has a wrong type was told already, and counts as given. */
function combine(open: Values, hidden: Values, now: Date, problems: string[]): AccessSettings {
  const add = (half: Half, key: string, problem: string): void => {
    problems.push(`${place(half, key)}: ${problem}`);
  };
  const isGiven = (values: Values, key: string): boolean => values[key] !== undefined && values[key] !== '';
  const has = (key: string): boolean => isGiven(hidden, key);
  const asks = (values: Values, key: string): boolean => readFlag(values[key]) === true;

  if (hidden.password === '') add('protected', 'password', 'is empty; give a password, or leave the key out');
  else if (typeof hidden.password === 'string') {
    const problem = judgePassword(hidden.password);
    if (problem !== undefined) add('protected', 'password', problem);
  }
  const expiration = has('expiration') ? readExpiration(textOf(hidden.expiration), now) : undefined;
  if (expiration !== undefined && 'problem' in expiration && typeof hidden.expiration === 'string') {
    add('protected', 'expiration', expiration.problem);
  }
  if (!has('username')) {
    const without = ACCOUNT_KEYS.filter((key) => (FLAGS.includes(key) ? asks(hidden, key) : has(key)));
    for (const key of without) add('protected', key, 'needs `username`, the account that it is for');
  } else if (!has('ssh_key') && hidden.password === undefined) {
    add('protected', 'username', 'No password or ssh_key is specified, with which the user could get in');
  }
  if (has('username') && asks(hidden, 'remove_prior_keys') && !has('ssh_key')) {
    add('protected', 'remove_prior_keys', 'needs `ssh_key`; without a new key nobody could get in by key');
  }
  if (asks(hidden, 'reset_ssh') && asks(hidden, 'restore_backup_ssh')) {
    add('protected', 'restore_backup_ssh', 'cannot be combined with `reset_ssh`; give one of them');
  }
  if (has('remove_user')) {
    const against = ['password', 'reset_ssh', 'restore_backup_ssh'].filter((key) =>
      FLAGS.includes(key) ? asks(hidden, key) : hidden[key] !== undefined,
    );
    for (const key of against) {
      add('protected', 'remove_user', `cannot be combined with \`${key}\`; apply one after the other`);
    }
    if (hidden.remove_user === hidden.username) {
      add(
        'protected',
        'remove_user',
        'is the same as `username`; remove the user first, then apply the rest',
      );
    }
  }
  if (asks(open, 'check_disk') && asks(open, 'repair_disk')) {
    add('public', 'repair_disk', 'cannot be combined with `check_disk`; apply one after the other');
  }
  if (asks(open, 'repair_disk') && !isGiven(open, 'disk_name')) {
    add('public', 'repair_disk', 'needs `disk_name`, the mount point of the disk');
  }
  if (!asks(open, 'repair_disk') && isGiven(open, 'disk_name')) {
    add('public', 'disk_name', 'needs `repair_disk`; alone it asks for nothing');
  }
  const settings = {
    account: readAccount(hidden, expiration),
    removeUser: has('remove_user') ? textOf(hidden.remove_user) : undefined,
    sshd: readSshd(asks(hidden, 'reset_ssh'), asks(hidden, 'restore_backup_ssh')),
    disk: readDisk(asks(open, 'check_disk'), asks(open, 'repair_disk'), textOf(open.disk_name)),
  };
  if (problems.length === 0 && Object.values(settings).every((one) => one === undefined)) {
    problems.push(NOTHING_ASKED);
  }
  return settings;
}

/** Keys that say something about the account of `username`. */
const ACCOUNT_KEYS = [
  'password',
  'ssh_key',
  'expiration',
  'remove_prior_keys',
  'enable_passwordless_access',
] as const;

const NOTHING_ASKED = `nothing is asked for: give \`username\` with \`password\` or \`ssh_key\`, \`reset_ssh\`, \`restore_backup_ssh\` or \`remove_user\` in ${PROTECTED_SETTINGS_KEY}, or \`check_disk\` or \`repair_disk\` in ${PUBLIC_SETTINGS_KEY}`;

/** Longest password that the system's hash takes. Source: crypt(3), CRYPT_MAX_PASSPHRASE_SIZE with its end. */
const PASSWORD_BYTES = 511;

/** What no password can hold, because it is handed over as one line of text. */
function judgePassword(password: string): string | undefined {
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(password) || !password.isWellFormed()) {
    return 'holds a line break or another character that no password can have';
  }
  return Buffer.byteLength(password) > PASSWORD_BYTES ? `is longer than ${PASSWORD_BYTES} bytes` : undefined;
}

function readAccount(
  hidden: Values,
  expiration: ExpirationDate | { readonly problem: string } | undefined,
): AccountSettings | undefined {
  if (typeof hidden.username !== 'string' || hidden.username === '') return undefined;
  return {
    username: hidden.username,
    password: typeof hidden.password === 'string' ? hidden.password : undefined,
    key: typeof hidden.ssh_key === 'string' && hidden.ssh_key !== '' ? hidden.ssh_key : undefined,
    expiration: expiration === undefined || 'problem' in expiration ? undefined : expiration,
    removePriorKeys: readFlag(hidden.remove_prior_keys) === true,
    passwordlessSudo: readFlag(hidden.enable_passwordless_access),
  };
}

function readSshd(reset: boolean, restore: boolean): AccessSettings['sshd'] {
  if (restore) return 'restore';
  return reset ? 'reset' : undefined;
}

function readDisk(check: boolean, repair: boolean, name: string): DiskSettings | undefined {
  if (repair) return { kind: 'repair', name };
  return check ? { kind: 'check' } : undefined;
}

function readFlag(value: unknown): boolean | undefined {
  if (value === true || value === 'true') return true;
  return value === false || value === 'false' ? false : undefined;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function place(half: Half, key: string): string {
  return `${HALF_KEYS[half]}.${key}`;
}

/** In words that hold nothing of the value. */
function describeType(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') return 'another text';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function isRecord(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
