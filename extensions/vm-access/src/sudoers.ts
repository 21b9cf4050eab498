/**
 * The step for sudo rights. A new account gets a file of rules of its own; the rights of one that is there stay exactly as
 * they are, unless the user asks for access without a password. Other users' rules are never touched.
 */
import { posix } from 'node:path';
import { HandlerError, readTextIfThere } from '@handlerkit/sdk';
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import { findOrdinaryAccount } from './ordinary-account.ts';
import type { SudoRequest } from './planners.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';
import type { SudoRights } from './sudo-rights.ts';
import { describeRights, readSudoRights } from './sudo-rights.ts';
import type { SudoersPlace } from './sudoers-files.ts';
import { findSudoers, findSudoersFault, includeFolder, writeSudoersFile } from './sudoers-files.ts';
import { formatRules, ownSudoersFile } from './sudoers-text.ts';
import type { Undo } from './undo.ts';
import { checkUserName } from './user-name.ts';

/**
 * Plans the rights. Throws `USER_NAME_INVALID`; where rights are to be given also `PROGRAM_MISSING`, and
 * `SUDO_UNUSABLE` when sudo does not work as it is. A fault in the rules that sudo passes over is only told.
 */
export async function planSudo(context: StepContext, request: SudoRequest): Promise<PlannedStep> {
  const { username, passwordless, isNew } = request;
  checkUserName(username);
  if (!isNew()) {
    const isThere = (await findOrdinaryAccount(context, username)) !== undefined;
    if (isThere && passwordless !== true) return { name: 'sudo', act: () => leaveRights(context, username) };
  }
  const grant = await planGrant(context, request);
  return { name: 'sudo', act: (undo) => giveRights(context, request, grant, undo) };
}

/** Rights that are there stay. That they cannot be read is no reason to fail: nothing was asked of them. */
async function leaveRights(context: StepContext, username: string): Promise<StepReport> {
  const unchanged = 'its rights stay as they are';
  try {
    const rights = await readSudoRights(context, username);
    const found = rights === undefined ? 'sudo is not installed' : `it has ${describeRights(rights)}`;
    return { changed: false, message: `${unchanged}: ${found}` };
  } catch (thrown) {
    const reason = thrown instanceof HandlerError ? thrown.message : 'unknown reason';
    return { changed: false, message: unchanged, warning: `sudo does not tell them: ${reason}` };
  }
}

interface Grant {
  readonly place: SudoersPlace;
  readonly wanted: 'all' | 'passwordless';
  /** What was wrong with the rules before. */
  readonly fault: string | undefined;
}

async function planGrant(context: StepContext, request: SudoRequest): Promise<Grant> {
  for (const program of ['sudo', 'visudo']) {
    if (findProgram(context.host, program) !== undefined) continue;
    throw accessError(
      'PROGRAM_MISSING',
      `this VM has no program ${program}, so no rights can be given; install sudo and try again`,
    );
  }
  const [fault, place] = await Promise.all([findSudoersFault(context), findSudoers(context)]);
  if (fault !== undefined) await requireWorkingSudo(context, fault);
  const { passwordless, hasPassword } = request;
  const wanted = passwordless === true || (passwordless === undefined && !hasPassword);
  return { place, fault, wanted: wanted ? 'passwordless' : 'all' };
}

/** Newer versions pass over a line with a fault, older ones do nothing at all then. */
async function requireWorkingSudo(context: StepContext, fault: string): Promise<void> {
  try {
    await readSudoRights(context, 'root');
  } catch (cause) {
    throw accessError(
      'SUDO_UNUSABLE',
      `sudo does not work on this VM, so no rights can be given: ${fault}; mend that and try again`,
      { cause },
    );
  }
}

async function giveRights(
  context: StepContext,
  request: SudoRequest,
  { place, wanted, fault }: Grant,
  undo: Undo,
): Promise<StepReport> {
  const { username } = request;
  const path = posix.join(place.folder, ownSudoersFile(username));
  const passwordless = wanted === 'passwordless';
  const format = (ownPassword: boolean): string => formatRules(username, { passwordless, ownPassword });
  const own = readTextIfThere(context.host.path(path));
  const warnings = listWarnings(request, wanted, fault);
  const warning = warnings.length === 0 ? {} : { warning: warnings.join('; ') };
  // A file of ours that a former user of this name has left gives what was asked for then.
  const isOwnRight = own === undefined || own === format(false) || own === format(true);
  if (isOwnRight && !(request.isNew() && own === undefined)) {
    const before = await requireRights(context, username);
    if (isEnough(before, wanted)) {
      return { changed: false, message: `${username} has ${describeRights(before)} already`, ...warning };
    }
  }
  await includeFolder(context, place, undo);
  await writeSudoersFile(context, path, format(false), undo);
  let rights = await requireRights(context, username);
  if (rights.asksForOtherPassword && !isEnough(rights, wanted)) {
    await writeSudoersFile(context, path, format(true), undo);
    rights = await requireRights(context, username);
  }
  await verify(context, username, place, fault);
  if (!isEnough(rights, wanted)) {
    throw accessError(
      'SUDO_NOT_VERIFIED',
      `${username} was to have ${wanted === 'all' ? 'every command' : 'every command without a password'}, and sudo says: ${describeRights(rights)}; another file of rules comes after ${path}`,
    );
  }
  return { changed: true, message: `gave ${username} ${describeRights(rights)} (${path})`, ...warning };
}

function listWarnings(
  { username, hasPassword, isNew }: SudoRequest,
  wanted: Grant['wanted'],
  fault: string | undefined,
): readonly string[] {
  return [
    ...(fault === undefined ? [] : [`the rules of sudo have a fault that was there before: ${fault}`]),
    ...(wanted === 'all' && !hasPassword && isNew()
      ? [`${username} has no password, and can use sudo only with one`]
      : []),
  ];
}

/** What groups and rules for all give counts, too. */
function isEnough({ level, asksForOtherPassword }: SudoRights, wanted: Grant['wanted']): boolean {
  if (level === 'passwordless') return true;
  return wanted === 'all' && level === 'all' && !asksForOtherPassword;
}

/** A fault that was there before is no fault of these rules. */
async function verify(
  context: StepContext,
  username: string,
  { folder }: SudoersPlace,
  fault: string | undefined,
): Promise<void> {
  const now = await findSudoersFault(context);
  if (now === undefined || fault !== undefined) return;
  throw accessError(
    'SUDO_UNUSABLE',
    `visudo has something against the rules of ${username} in ${folder}: ${now}`,
  );
}

async function requireRights(context: StepContext, username: string): Promise<SudoRights> {
  const rights = await readSudoRights(context, username);
  if (rights !== undefined) return rights;
  throw accessError('PROGRAM_MISSING', 'sudo was removed from this VM at the same time; install it again');
}
