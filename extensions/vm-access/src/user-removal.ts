/**
 * The step that removes a user: the account with its own group, its processes, scheduled jobs, mail, home and sudo rights,
 * and nothing of anybody else. A removal that was ended in the middle is finished by the next run.
 */
import { lstatSync, rmSync } from 'node:fs';
import { posix } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { findUserAccount, HandlerError, readTextIfThere, writeWholeFile } from '@handlerkit/sdk';
import type { PasswdEntry } from './account-files.ts';
import { readGroups, readPasswd, readShadow } from './account-files.ts';
import { runAccountTool } from './account-tool.ts';
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import { findOrdinaryAccount } from './ordinary-account.ts';
import type { HomeVerdict } from './removed-files.ts';
import { asidePath, cleanPath, judgeHome, moveAside, removeAside, removeJobs } from './removed-files.ts';
import type { SavedAccount } from './saved-account.ts';
import { restoreAccount, saveAccount } from './saved-account.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';
import { removeSudoRights } from './sudo-removal.ts';
import type { Undo } from './undo.ts';
import { endProcesses, findProcesses } from './user-processes.ts';

/**
 * Plans the removal. Throws `USER_UNKNOWN` when there is no such user, `USER_NAME_INVALID`, `ACCOUNT_REFUSED` also for
 * an account whose uid another one has too, and `PROGRAM_MISSING`.
 */
export async function planRemoval(context: StepContext, username: string): Promise<PlannedStep> {
  const entry = await findOrdinaryAccount(context, username);
  if (entry === undefined) {
    const rest = readNote(context);
    if (rest?.username !== username) {
      throw accessError('USER_UNKNOWN', `there is no user ${username} on this VM; look at the name`);
    }
    return { name: 'account', act: (undo) => finishRemoval(context, rest, undo) };
  }
  if (findProgram(context.host, 'userdel') === undefined) {
    throw accessError('PROGRAM_MISSING', 'this VM has no program userdel; install it and try again');
  }
  const twin = readPasswd(context.host).find(({ name, uid }) => name !== username && uid === entry.uid);
  if (twin !== undefined) {
    throw accessError(
      'ACCOUNT_REFUSED',
      `${username} and ${twin.name} have the same uid ${entry.uid}, so that what belongs to one of them only cannot be told; give one of them another uid`,
    );
  }
  return { name: 'account', act: (undo) => removeUser(context, entry, undo) };
}

async function removeUser(context: StepContext, entry: PasswdEntry, undo: Undo): Promise<StepReport> {
  const { name, uid, home } = entry;
  const saved = saveAccount(context, entry);
  const verdict = await judgeHome(context, entry);
  takeNote(context, { username: name, uid, home }, undo);
  await closeAccount(context, saved, undo);
  const jobs = removeJobs(context, entry, undo);
  const processes = await endProcesses(context, { name, owns: ownerOf(saved) });
  const sudo = await removeSudoRights(context, name, undo);
  const mail = [];
  for (const path of MAIL_FOLDERS.map((folder) => posix.join(folder, name))) {
    if (await moveAside(context, path, uid, undo)) mail.push(path);
  }
  const isHomeGone = await removeHomeOf(context, entry, verdict, undo);
  undo.add(`the account ${name}`, () => restoreAccount(context, saved));
  await deleteAccount(context, saved);
  await verifyGone(context, saved);
  const also = [
    ...(processes > 0 ? [`${processes} processes`] : []),
    ...(isHomeGone ? [`its home ${home}`] : []),
    ...(mail.length > 0 ? ['its mail'] : []),
    ...(jobs > 0 ? ['its scheduled jobs'] : []),
    ...(sudo.removed.length > 0 ? [`its sudo rights in ${sudo.removed.join(', ')}`] : []),
  ];
  const warnings = [...(verdict.reason === undefined ? [] : [verdict.reason]), ...sudo.warnings];
  return {
    changed: true,
    message: `removed the account ${name} (uid ${uid})${also.length > 0 ? `, with ${also.join(', ')}` : ''}`,
    ...(warnings.length === 0 ? {} : { warning: warnings.join('; ') }),
  };
}

/** Nobody logs in any more, and no job starts. */
async function closeAccount(context: StepContext, { shadow }: SavedAccount, undo: Undo): Promise<void> {
  if (shadow === undefined || findProgram(context.host, 'chage') === undefined) return;
  const { name, expires } = shadow;
  undo.add(`the day of expiry of ${name}`, async () => {
    if (readShadow(context.host, name)?.expires === expires) return;
    await runAccountTool(context, ['chage', '-E', String(expires ?? -1), name]);
  });
  await runAccountTool(context, ['chage', '-E', '1', name]);
}

function ownerOf({ entry, subUids }: SavedAccount): (uid: number) => boolean {
  return (uid) =>
    uid === entry.uid || subUids.some(({ first, count }) => uid >= first && uid < first + count);
}

async function removeHomeOf(
  context: StepContext,
  { home, uid }: PasswdEntry,
  { remove }: HomeVerdict,
  undo: Undo,
): Promise<boolean> {
  if (!home.startsWith('/')) return false;
  const path = cleanPath(home);
  const isGoneAlready = lstatSync(context.host.path(path), { throwIfNoEntry: false }) === undefined;
  return remove || isGoneAlready ? moveAside(context, path, uid, undo) : false;
}

/** With its own group, where nobody else is in it. */
async function deleteAccount(context: StepContext, { entry }: SavedAccount): Promise<void> {
  const { name } = entry;
  try {
    await runAccountTool(context, ['userdel', name]);
  } catch (thrown) {
    // Its processes have ended; what it still sees has a parent that does not ask for its end.
    const isBusy = thrown instanceof HandlerError && /exit code 8\b/.test(thrown.message);
    if (!isBusy || isGroupOfOthers(context, name)) throw thrown;
    await runAccountTool(context, ['userdel', '-f', name]);
  }
  requireNoEntry(context, name);
  const group = readGroups(context.host).find((one) => one.name === name);
  if (group === undefined || group.gid !== entry.gid || isGroupOfOthers(context, name)) return;
  await runAccountTool(context, ['groupdel', name]);
}

function isGroupOfOthers({ host }: StepContext, name: string): boolean {
  const group = readGroups(host).find((one) => one.name === name);
  if (group === undefined) return false;
  if (group.members.some((member) => member !== name)) return true;
  return readPasswd(host).some((other) => other.name !== name && other.gid === group.gid);
}

async function verifyGone(context: StepContext, saved: SavedAccount): Promise<void> {
  const { host } = context;
  const { name } = saved.entry;
  requireNoEntry(context, name);
  if ((await findUserAccount(host, name)) !== undefined) throw stillThere(name);
  const left = findProcesses(host, ownerOf(saved)).filter(({ isDead }) => !isDead);
  if (left.length > 0) {
    throw accessError(
      'USER_PROCESSES_LEFT',
      `a process of ${name} was started while it was removed; try again`,
    );
  }
}

function requireNoEntry({ host }: StepContext, username: string): void {
  const isThere = readPasswd(host).some(({ name }) => name === username);
  if (isThere || readShadow(host, username) !== undefined) throw stillThere(username);
}

function stillThere(username: string): Error {
  return accessError('ACCOUNT_NOT_VERIFIED', `the account ${username} is there after its removal`);
}

const MAIL_FOLDERS = ['/var/mail', '/var/spool/mail'] as const;

/** What a removal is about, for a run that has to finish it without the account. */
interface RemovalNote {
  readonly username: string;
  readonly uid: number;
  readonly home: string;
}

function takeNote(context: StepContext, note: RemovalNote, undo: Undo): void {
  const path = context.host.path(notePath(context));
  const drop = async (): Promise<void> => rmSync(path, { force: true });
  undo.add('the note of the removal', drop);
  undo.afterSuccess('the note of the removal', drop);
  writeWholeFile(path, `${JSON.stringify(note)}\n`);
}

/** A note that cannot be read is none. */
function readNote(context: StepContext): RemovalNote | undefined {
  try {
    const value: unknown = JSON.parse(readTextIfThere(context.host.path(notePath(context))) ?? '');
    if (typeof value !== 'object' || value === null) return undefined;
    const { username, uid, home }: Partial<Record<keyof RemovalNote, unknown>> = value;
    const isNote = typeof username === 'string' && typeof uid === 'number' && typeof home === 'string';
    return isNote ? { username, uid, home } : undefined;
  } catch {
    return undefined;
  }
}

function notePath({ dataFolder }: StepContext): string {
  return posix.join(dataFolder, 'user-removal.json');
}

/** The account went in the run that was ended; what it had put aside goes now. */
async function finishRemoval(
  context: StepContext,
  { username, home, uid }: RemovalNote,
  undo: Undo,
): Promise<StepReport> {
  const { host } = context;
  const places = [home, ...MAIL_FOLDERS.map((folder) => posix.join(folder, username))];
  const asides = places.filter((path) => path.startsWith('/')).map((path) => asidePath(cleanPath(path)));
  const left = asides.filter((path) => isOwned(host, path, uid));
  const sudo = await removeSudoRights(context, username, undo);
  for (const path of left) undo.afterSuccess(path, () => removeAside(context, path));
  undo.afterSuccess('the note of the removal', async () =>
    rmSync(host.path(notePath(context)), { force: true }),
  );
  return {
    changed: true,
    message: `finished the removal of the account ${username}, which an earlier run had begun`,
    ...(sudo.warnings.length === 0 ? {} : { warning: sudo.warnings.join('; ') }),
  };
}

function isOwned(host: Host, path: string, uid: number): boolean {
  return lstatSync(host.path(path), { throwIfNoEntry: false })?.uid === uid;
}
