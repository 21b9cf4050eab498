/**
 * The step that makes an account, or makes one usable that is there. Whatever a run that was ended has left of an account
 * is found and finished.
 */
import { lstatSync } from 'node:fs';
import { posix } from 'node:path';
import { HandlerError } from '@handlerkit/sdk';
import type { GroupEntry, PasswdEntry } from './account-files.ts';
import { readGroups, readPasswd } from './account-files.ts';
import { findLeftHome, isSystemPath, makeHome, readHomeState, removeHome } from './account-home.ts';
import type { Examination } from './account-repairs.ts';
import { examineAccount } from './account-repairs.ts';
import { runAccountTool } from './account-tool.ts';
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import type { UseraddDefaults } from './login-defs.ts';
import { readUseraddDefaults } from './login-defs.ts';
import { chooseShell } from './login-shell.ts';
import { findOrdinaryAccount } from './ordinary-account.ts';
import type { AccountRequest } from './planners.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';
import type { Undo } from './undo.ts';
import { checkUserName } from './user-name.ts';

/**
 * Plans the account. Throws `USER_NAME_INVALID`, `ACCOUNT_REFUSED`, `USER_NAME_TAKEN`, `HOME_UNUSABLE`, and
 * `PROGRAM_MISSING` where the VM has no programs for accounts. Groups that the user is in are never changed.
 */
export async function planAccount(context: StepContext, request: AccountRequest): Promise<PlannedStep> {
  for (const program of ['useradd', 'usermod', 'userdel', 'chage', 'chpasswd']) {
    if (findProgram(context.host, program) !== undefined) continue;
    throw accessError('PROGRAM_MISSING', `this VM has no program ${program}; install it and try again`);
  }
  const [found, defaults] = await Promise.all([
    findOrdinaryAccount(context, request.username),
    readUseraddDefaults(context),
  ]);
  if (found === undefined) {
    const plan = planUseradd(context, request, defaults);
    return { name: 'account', act: (undo) => makeAccount(context, request, plan, undo) };
  }
  await examineAccount(context, request, found);
  return { name: 'account', act: (undo) => mendAccount(context, request, undo) };
}

interface Useradd {
  readonly argv: readonly string[];
  readonly home: string;
  /** There was something in the place of the home before. */
  readonly hadHome: boolean;
  /** The group that was there before, and is used. */
  readonly group: GroupEntry | undefined;
}

function planUseradd(context: StepContext, request: AccountRequest, { homeBase }: UseraddDefaults): Useradd {
  const { host, distro } = context;
  const { username, expiration } = request;
  checkUserName(username, distro);
  const home = posix.join(homeBase, username);
  if (isSystemPath(home)) {
    throw accessError('HOME_UNUSABLE', `useradd makes homes in ${homeBase}, a folder of the system`);
  }
  const left = findLeftHome(context, home);
  // Who had this home before is gone; with the same id the user finds it again.
  const uid = left === undefined || left.uid === 0 ? [] : ['-u', String(left.uid)];
  const argv = [
    'useradd',
    '-m',
    '-d',
    home,
    '-s',
    chooseShell(host),
    // No password has this hash, and no sshd takes it for a lock of the account.
    '-p',
    '*',
    ...uid,
    ...planGroup(context, username),
    ...(expiration === undefined ? [] : ['-e', expiration.text]),
    username,
  ];
  const group = readGroups(host).find(({ name }) => name === username);
  return { argv, home, hadHome: left !== undefined, group };
}

/** A group of its own; one that an ended removal has left, without members, is taken. */
function planGroup({ host }: StepContext, username: string): readonly string[] {
  const group = readGroups(host).find(({ name }) => name === username);
  if (group === undefined) return ['-U'];
  const isUsed = group.members.length > 0 || readPasswd(host).some(({ gid }) => gid === group.gid);
  if (!isUsed && group.gid >= LOWEST_OWN_GID) return ['-N', '-g', username];
  throw accessError(
    'USER_NAME_TAKEN',
    `there is a group ${username} already, whose rights the user would get; choose another name`,
  );
}

/** Below lie groups of the system, with rights. Source: login.defs(5), GID_MIN. */
const LOWEST_OWN_GID = 1000;

async function makeAccount(
  context: StepContext,
  request: AccountRequest,
  { argv, home, hadHome, group }: Useradd,
  undo: Undo,
): Promise<StepReport> {
  const { host } = context;
  const { username } = request;
  const base = posix.dirname(home);
  const hadBase = isThere(context, base);
  const mail = mailFilesOf(username).filter((path) => !isThere(context, path));
  undo.add(`the account ${username}`, async () => {
    const made = readPasswd(host).find(({ name }) => name === username);
    if (made !== undefined && !hadHome) await removeHome(context, home, made.uid);
    await deleteAccount(context, username, group);
    for (const path of mail) await context.run(['rm', '-f', '--', path]);
    if (!hadBase) await context.run(['rmdir', '--', base], { accept: [0, 1] });
  });
  await runUseradd(context, argv);
  const made = requireEntry(context, username);
  // A folder that waits for its user, such as a disk that is mounted there.
  if (hadHome && readHomeState(context, made) === 'roots') await makeHome(context, made, undo);
  const report = await mendAccount(context, request, undo);
  const { uid, shell } = requireEntry(context, username);
  const { expiration } = request;
  const details = [
    `uid ${uid}`,
    `home ${home}${hadHome ? ', which was there' : ''}`,
    `shell ${shell}`,
    ...(group === undefined ? [] : ['in the group of that name, which was there']),
    ...(expiration === undefined ? [] : [`expires on ${expiration.text}`]),
  ];
  return { ...report, changed: true, message: `made the account ${username} (${details.join(', ')})` };
}

async function runUseradd(context: StepContext, argv: readonly string[]): Promise<void> {
  try {
    await runAccountTool(context, argv, { accept: [0, HOME_NOT_MADE] });
  } catch (thrown) {
    if (!(thrown instanceof HandlerError) || !/exit code 3\b/.test(thrown.message)) throw thrown;
    throw accessError('USER_NAME_INVALID', `this VM does not take the user name: ${thrown.message}`);
  }
}

/** Then it is made by us, or what keeps it from being made is told better. Source: useradd(8), exit values. */
const HOME_NOT_MADE = 12;

/** Mends what is wrong now, and then looks again whether anything is left. */
async function mendAccount(context: StepContext, request: AccountRequest, undo: Undo): Promise<StepReport> {
  const { username } = request;
  const before = await examine(context, request);
  for (const repair of before.repairs) await repair.apply(undo);
  const after = before.repairs.length === 0 ? before : await examine(context, request);
  if (after.repairs.length > 0) {
    const left = after.repairs.map(({ what }) => what).join('; ');
    throw accessError('ACCOUNT_NOT_VERIFIED', `the account ${username} could not be mended: ${left}`);
  }
  const mended = before.repairs.map(({ what }) => what);
  return {
    changed: mended.length > 0,
    message: [`the account ${username} can be used`, ...mended].join('; '),
    ...(after.warnings.length === 0 ? {} : { warning: after.warnings.join('; ') }),
  };
}

async function examine(context: StepContext, request: AccountRequest): Promise<Examination> {
  const entry = await findOrdinaryAccount(context, request.username);
  if (entry === undefined) throw missing(request.username);
  return examineAccount(context, request, entry);
}

function requireEntry({ host }: StepContext, username: string): PasswdEntry {
  const entry = readPasswd(host).find(({ name }) => name === username);
  if (entry === undefined) throw missing(username);
  return entry;
}

function missing(username: string): Error {
  return accessError('ACCOUNT_NOT_VERIFIED', `the account ${username} is not there after it was made`);
}

/** Takes an account away again that was made a moment ago, with its group, also when only one of them was made. */
async function deleteAccount(
  context: StepContext,
  username: string,
  group: GroupEntry | undefined,
): Promise<void> {
  const { host } = context;
  const hasGroup = (): boolean => readGroups(host).some(({ name }) => name === username);
  if (readPasswd(host).some(({ name }) => name === username)) {
    await runAccountTool(context, ['userdel', '-f', username]);
  }
  if (group === undefined && hasGroup()) await runAccountTool(context, ['groupdel', username]);
  if (group !== undefined && !hasGroup()) {
    await runAccountTool(context, ['groupadd', '-g', String(group.gid), username]);
  }
}

function mailFilesOf(username: string): readonly string[] {
  return ['/var/mail', '/var/spool/mail'].map((folder) => posix.join(folder, username));
}

function isThere({ host }: StepContext, path: string): boolean {
  return lstatSync(host.path(path), { throwIfNoEntry: false }) !== undefined;
}
