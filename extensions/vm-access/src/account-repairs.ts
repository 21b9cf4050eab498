/**
 * What keeps somebody out of an account that is there, and how each of it is mended and taken back: what an ended
 * `useradd` left out, a lock, a day of expiry, an aged password, a shell that lets nobody in, a missing home.
 */
import { existsSync, statSync } from 'node:fs';
import type { PasswdEntry, ShadowEntry } from './account-files.ts';
import { readGroups, readShadow, today } from './account-files.ts';
import type { HomeState } from './account-home.ts';
import { makeHome, readHomeState } from './account-home.ts';
import { runAccountTool } from './account-tool.ts';
import { findProgram } from './command.ts';
import { readSshd } from './effective-sshd.ts';
import { accessError } from './errors.ts';
import { chooseShell, isUsableShell } from './login-shell.ts';
import {
  isLocked,
  restorePassword,
  setLastChange,
  withoutLock,
  writePasswordField,
} from './password-field.ts';
import type { AccountRequest } from './planners.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/** One thing to mend. */
export interface Repair {
  /** What is wrong and what becomes of it, for people: `its shell /usr/sbin/nologin is now /bin/bash`. */
  readonly what: string;
  /** Mends it; says to `undo` before how it is taken back. */
  apply(undo: Undo): Promise<void>;
}

/** What is to mend, and what cannot be mended but should be known. */
export interface Examination {
  readonly repairs: readonly Repair[];
  readonly warnings: readonly string[];
}

/** Looks at an account and changes nothing. Throws `HOME_UNUSABLE` when a key could not be put into its home. */
export async function examineAccount(
  context: StepContext,
  request: AccountRequest,
  entry: PasswdEntry,
): Promise<Examination> {
  const shadow = readShadow(context.host, entry.name);
  const home = await examineHome(context, request, entry);
  const repairs = [
    ...(shadow === undefined ? [makeShadow(context, entry)] : []),
    ...mendGroup(context, entry),
    ...(await mendLock(context, request, shadow)),
    ...mendExpiry(context, request, entry, shadow),
    ...mendAge(context, request, shadow),
    ...mendShell(context, entry),
    ...mendFailures(context, entry),
    ...home.repairs,
  ];
  return { repairs, warnings: home.warnings };
}

/** A `useradd` that was ended between two files leaves an account without its line in shadow. */
function makeShadow(context: StepContext, { name }: PasswdEntry): Repair {
  return {
    what: 'its line in /etc/shadow was missing and was made',
    apply: async (undo) => {
      undo.add(`the line of ${name} in /etc/shadow`, async () => {
        // No program of the system takes such a line away from an account that stays.
        throw accessError(
          'ACCOUNT_NOT_VERIFIED',
          'a line of /etc/shadow stays, with which nobody can log in',
        );
      });
      await runAccountTool(context, ['usermod', '-p', '*', name]);
    },
  };
}

function mendGroup(context: StepContext, { name, gid }: PasswdEntry): readonly Repair[] {
  const groups = readGroups(context.host);
  if (groups.some((group) => group.gid === gid)) return [];
  if (groups.some((group) => group.name === name)) return [];
  const apply = async (undo: Undo): Promise<void> => {
    undo.add(`the group ${name}`, async () => {
      await runAccountTool(context, ['groupdel', name], { accept: [0, 6, 8] });
    });
    await runAccountTool(context, ['groupadd', '-g', String(gid), name]);
  };
  return [{ what: `its group ${gid} was missing and was made`, apply }];
}

/** A new password takes a lock away by itself. Login by key is kept out by it only where sshd does not use PAM. */
async function mendLock(
  context: StepContext,
  { hasPassword, hasKey }: AccountRequest,
  shadow: ShadowEntry | undefined,
): Promise<readonly Repair[]> {
  if (hasPassword || !hasKey || shadow === undefined || !isLocked(shadow.hash)) return [];
  const sshd = await readSshd(context, shadow.name).catch(() => undefined);
  if (sshd?.values('usepam')[0] === 'yes') return [];
  const apply = async (undo: Undo): Promise<void> => {
    undo.add(`the lock of ${shadow.name}`, () => restorePassword(context, shadow));
    await writePasswordField(context, shadow.name, withoutLock(shadow.hash));
    await setLastChange(context, shadow.name, shadow.lastChange);
  };
  const what = 'its lock, which sshd takes for one of the account, now keeps out logins by password only';
  return [{ what, apply }];
}

function mendExpiry(
  context: StepContext,
  { expiration }: AccountRequest,
  { name }: PasswdEntry,
  shadow: ShadowEntry | undefined,
): readonly Repair[] {
  const before = shadow?.expires;
  const isExpired = before !== undefined && before <= today(context.host);
  const wanted = expiration === undefined && isExpired ? undefined : (expiration?.days ?? before);
  if (wanted === before) return [];
  const set = async (day: number | undefined): Promise<void> => {
    await runAccountTool(context, ['chage', '-E', String(day ?? -1), name]);
  };
  const apply = async (undo: Undo): Promise<void> => {
    undo.add(`the day of expiry of ${name}`, () => set(before));
    await set(wanted);
  };
  const was = isExpired ? 'it had expired, and now ' : 'it now ';
  const what = `${was}${expiration === undefined ? 'does not expire' : `expires on ${expiration.text}`}`;
  return [{ what, apply }];
}

/** Who comes with a key cannot answer when the system asks for the old password to change it. */
function mendAge(
  context: StepContext,
  { hasPassword }: AccountRequest,
  shadow: ShadowEntry | undefined,
): readonly Repair[] {
  if (hasPassword || shadow === undefined) return [];
  const { name, lastChange, maximumAge } = shadow;
  if (lastChange === undefined) return [];
  const now = today(context.host);
  const isAged = lastChange === 0 || (maximumAge !== undefined && lastChange + maximumAge < now);
  if (!isAged) return [];
  const apply = async (undo: Undo): Promise<void> => {
    undo.add(`the age of the password of ${name}`, () => setLastChange(context, name, lastChange));
    await setLastChange(context, name, now);
  };
  const what =
    'its password had to be changed first, which nobody with a key only can; it counts as of today';
  return [{ what, apply }];
}

function mendShell(context: StepContext, { name, shell }: PasswdEntry): readonly Repair[] {
  if (isUsableShell(context.host, shell)) return [];
  const wanted = chooseShell(context.host);
  const apply = async (undo: Undo): Promise<void> => {
    undo.add(`the shell of ${name}`, async () => {
      await runAccountTool(context, ['usermod', '-s', shell, name]);
    });
    await runAccountTool(context, ['usermod', '-s', wanted, name]);
  };
  return [{ what: `its shell ${shell}, which lets nobody in, is now ${wanted}`, apply }];
}

/** Too many wrong passwords keep somebody out for a while. Source: faillock(8). */
function mendFailures(context: StepContext, { name }: PasswdEntry): readonly Repair[] {
  const file = context.host.path(`/var/run/faillock/${name}`);
  if (!existsSync(file) || statSync(file).size === 0) return [];
  if (findProgram(context.host, 'faillock') === undefined) return [];
  const apply = async (): Promise<void> => {
    await context.run(['faillock', '--user', name, '--reset'], { timeoutMs: 20_000 });
  };
  return [{ what: 'its count of wrong passwords was set to zero', apply }];
}

async function examineHome(
  context: StepContext,
  { hasKey }: AccountRequest,
  entry: PasswdEntry,
): Promise<Examination> {
  const { home } = entry;
  const state = readHomeState(context, entry);
  if (state === 'right') return { repairs: [], warnings: [] };
  if (state === 'missing' || state === 'unfinished') {
    const apply = (undo: Undo): Promise<void> => makeHome(context, entry, undo);
    return { repairs: [{ what: `its home ${home} was ${state} and was made`, apply }], warnings: [] };
  }
  const problem = describeHome(state, entry);
  const isNeeded = hasKey && state !== 'roots' && (await keysLieAtHome(context, entry.name));
  if (!isNeeded) return { repairs: [], warnings: [problem] };
  throw accessError(
    'HOME_UNUSABLE',
    `${problem}, so no key can be put there; give ${entry.name} a home with usermod -m -d and try again`,
  );
}

function describeHome(state: HomeState, { name, home, uid }: PasswdEntry): string {
  if (state === 'system') return `the home of ${name}, ${home || '(none)'}, is a folder of the system`;
  if (state === 'not a folder') return `the home of ${name}, ${home}, is no folder`;
  const owner = state === 'roots' ? 'root' : 'another user';
  return `the home of ${name}, ${home}, belongs to ${owner} and not to uid ${uid}`;
}

/** Where sshd cannot be asked, they do, as by default. */
async function keysLieAtHome(context: StepContext, username: string): Promise<boolean> {
  const sshd = await readSshd(context, username).catch(() => undefined);
  const patterns = sshd?.values('authorizedkeysfile').join(' ').split(/\s+/).filter(Boolean) ?? [];
  return patterns.length === 0 || patterns.some((one) => !one.startsWith('/'));
}
