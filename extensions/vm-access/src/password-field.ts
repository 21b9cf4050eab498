/**
 * The field of the password in `/etc/shadow`. A hash is handed over by standard input only; what stands there in the place
 * of a hash is no secret.
 */
import { HandlerError } from '@handlerkit/sdk';
import type { ShadowEntry } from './account-files.ts';
import { readShadow } from './account-files.ts';
import { runAccountTool } from './account-tool.ts';
import { accessError } from './errors.ts';
import type { StepContext } from './step.ts';

/** True when nothing but a lock stands there, or nothing that any password has as its hash. */
export function hasPassword(hash: string): boolean {
  return hash !== '' && !/^[!*]/.test(hash);
}

/** True for a lock that sshd without PAM takes for a lock of the account. Source: sshd(8), "Regardless of the…". */
export function isLocked(hash: string): boolean {
  return hash.startsWith('!');
}

/** A field with which nobody logs in by password, as before, and that is no lock of the account: `!$6$…` → `*$6$…`. */
export function withoutLock(hash: string): string {
  return `*${hash.replace(/^[!*]+/, '')}`;
}

/** How a hash was made, by its prefix; `undefined` for one that is not as strong as SHA-512. */
export function modernMethod(hash: string): string | undefined {
  return METHODS.find(([prefix]) => hash.startsWith(prefix))?.[1];
}

/** Writes the field. The day of the last change becomes today. Throws `ACCOUNT_NOT_VERIFIED` when it is not there then. */
export async function writePasswordField(
  context: StepContext,
  username: string,
  field: string,
): Promise<void> {
  if (/^[!*]+$/.test(field)) await runAccountTool(context, ['usermod', '-p', field, username]);
  else await handOver(context, username, field);
  if (readShadow(context.host, username)?.hash === field) return;
  throw accessError('ACCOUNT_NOT_VERIFIED', `the password field of ${username} is not what it was to become`);
}

/** Puts the field and the day of its last change back. */
export async function restorePassword(context: StepContext, before: ShadowEntry): Promise<void> {
  const { name, hash, lastChange } = before;
  if (readShadow(context.host, name)?.hash !== hash) await writePasswordField(context, name, hash);
  await setLastChange(context, name, lastChange);
}

/** Sets the day of the last change; `undefined`: none. */
export async function setLastChange(
  context: StepContext,
  username: string,
  day: number | undefined,
): Promise<void> {
  if (readShadow(context.host, username)?.lastChange === day) return;
  await runAccountTool(context, ['chage', '-d', String(day ?? -1), username]);
}

/** Source: crypt(5). */
const METHODS: readonly (readonly [string, string])[] = [
  ['$y$', 'yescrypt'],
  ['$gy$', 'gost-yescrypt'],
  ['$7$', 'scrypt'],
  ['$6$', 'SHA-512'],
  ['$2b$', 'bcrypt'],
  ['$2y$', 'bcrypt'],
  ['$2a$', 'bcrypt'],
];

async function handOver(context: StepContext, username: string, field: string): Promise<void> {
  const set = (value: string): Promise<unknown> =>
    runAccountTool(context, ['chpasswd', '-e'], { stdin: `${username}:${value}\n` });
  const bare = field.replace(/^!/, '');
  try {
    await set(field);
  } catch (thrown) {
    // A newer chpasswd may take hashes only.
    const isRefused = thrown instanceof HandlerError && thrown.code === 'COMMAND_FAILED';
    if (!isRefused || bare === field) throw thrown;
    await set(bare);
    await runAccountTool(context, ['usermod', '-L', username]);
  }
}
