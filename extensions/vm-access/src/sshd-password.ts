/**
 * Lets a user log in by password: only where sshd, asked for this user, does not allow it yet, and with no more than the
 * one keyword. Who may log in at all (`AllowUsers` and the like) and with what besides a password is not ours to change.
 */
import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import { findProgram } from './command.ts';
import type { EffectiveSshd } from './effective-sshd.ts';
import { readSshd } from './effective-sshd.ts';
import { accessError } from './errors.ts';
import type { SshdBackup } from './sshd-backup.ts';
import { closeBackup, makeBackup, putBack, removeBackup } from './sshd-backup.ts';
import { applyFormerConfig } from './sshd-change.ts';
import { globalDirectives, setForUser, setGlobally } from './sshd-config.ts';
import { removeSshdFile, writeSshdFile } from './sshd-files.ts';
import {
  describeObstacle,
  findLoginObstacle,
  findMethodObstacle,
  findPlaceObstacle,
} from './sshd-obstacles.ts';
import { expandInclude } from './sshd-pattern.ts';
import { applySshdConfig, isReloadNeeded, isSshdRunning, requireSshd } from './sshd-service.ts';
import { checkStaged, readStaged } from './sshd-staging.ts';
import type { FileChanges } from './sshd-tree.ts';
import { findMainFile, hostFiles, listDirectives, MAIN_FILE, readSshdTree } from './sshd-tree.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';
import type { Undo } from './undo.ts';

/** Name of our own file in the folder that the main file includes: it sorts before those of distributions and cloud-init. */
export const DROP_IN_NAME = '00-handlerkit-vm-access.conf';

/** For whom, and whether sshd's configuration is another one by the time that the step acts. */
export interface SshdPasswordRequest {
  readonly username: string;
  /** True when a reset or a restore comes before: then nothing is judged by the configuration of now. */
  readonly afterReset?: boolean;
}

/**
 * Plans it. Without an SSH server there is nothing to do, which is a warning. Throws `SSHD_PASSWORD_BLOCKED`, with file and line, when something keeps the user out that is not ours to
 * change; `SSHD_CONFIG_INVALID` when sshd refuses its configuration as it is.
 */
export async function planSshdPassword(
  context: StepContext,
  { username, afterReset = false }: SshdPasswordRequest,
): Promise<PlannedStep> {
  if (findProgram(context.host, 'sshd') === undefined) return { name: 'sshd', act: async () => NO_SERVER };
  requireSshd(context);
  if (!afterReset) await findChanges(context, username);
  return { name: 'sshd', act: (undo) => allowPassword(context, username, undo) };
}

/** What is to be done, found out anew: between plan and act a reset may have been. */
interface PasswordChanges {
  readonly changes: FileChanges;
  readonly warning: string | undefined;
}

const NO_SERVER: StepReport = {
  changed: false,
  message: 'this VM has no SSH server that would have to be told of passwords',
  warning: 'this VM has no SSH server, so nobody can log in by SSH',
};
const KEYWORD = 'passwordauthentication';
const DIRECTIVE = 'PasswordAuthentication yes';
const HEADER =
  '# Made by VM Access (Handlerkit) when it set a password. Delete this file to take password login back.';

async function allowPassword(context: StepContext, username: string, undo: Undo): Promise<StepReport> {
  const { changes, warning } = await findChanges(context, username);
  const warnings = warning === undefined ? [] : [warning];
  if (changes.size === 0) {
    const already = `sshd lets ${username} log in by password already`;
    if (!isReloadNeeded(context)) return { changed: false, message: already, ...joinWarnings(warnings) };
    const { message } = await applySshdConfig(context, { start: false });
    const late = `${already}, once it has read its configuration as it is now; ${message}`;
    return { changed: true, message: late, ...joinWarnings(warnings) };
  }
  const files = hostFiles(context.host);
  // Our own file is no one's work that a restore must bring back.
  const edited = [...changes.keys()].filter((path) => posix.basename(path) !== DROP_IN_NAME);
  const backup = edited.length > 0 ? await makeBackup(context, 'password', edited, changes) : undefined;
  const wasRunning = await isSshdRunning(context);
  const former = new Map([...changes.keys()].map((path) => [path, files.read(path)]));
  undo.add("password login in sshd's configuration", () => takeBack(context, former, backup, wasRunning));
  for (const [path, text] of changes) {
    await writeSshdFile(context, path, text ?? '', neighbourOf(context, path));
  }
  const applied = await applySshdConfig(context, { start: false });
  await verify(context, username);
  if (backup !== undefined) {
    undo.afterSuccess("the backup of sshd's configuration", async () => closeBackup(context, backup));
  }
  if (applied.warning !== undefined) warnings.push(applied.warning);
  const message = `${username} may log in by password (${[...changes.keys()].join(', ')}); ${applied.message}`;
  return { changed: true, message, ...joinWarnings(warnings) };
}

async function verify(context: StepContext, username: string): Promise<void> {
  if (allowsPassword(await readSshd(context, username))) return;
  const text = `sshd still does not let ${username} log in by password; look into ${MAIN_FILE}`;
  throw accessError('SSHD_NOT_VERIFIED', text);
}

async function takeBack(
  context: StepContext,
  former: FileChanges,
  backup: SshdBackup | undefined,
  wasRunning: boolean,
): Promise<void> {
  for (const [path, text] of former) {
    if (backup?.files.some((file) => file.path === path) === true) await putBack(context, backup, [path]);
    else if (text === undefined) removeSshdFile(context.host, path);
    else await writeSshdFile(context, path, text);
  }
  await applyFormerConfig(context, wasRunning);
  if (backup !== undefined) removeBackup(context, backup);
}

/** The least change of files after which sshd says yes for this user; none when it does so now. */
async function findChanges(context: StepContext, username: string): Promise<PasswordChanges> {
  const effective = await readSshd(context, username);
  const tree = readSshdTree(hostFiles(context.host));
  const directives = listDirectives(tree);
  if (effective === undefined) throw accessError('SSHD_MISSING', 'this VM has no SSH server; install it');
  const obstacle =
    (await findLoginObstacle(context, effective, directives, username)) ??
    findMethodObstacle(effective, directives);
  if (obstacle?.isWarning === false) throw blocked(username, obstacle.text);
  const warning = obstacle?.text ?? findPlaceObstacle(directives)?.text;
  if (allowsPassword(effective)) return { changes: new Map(), warning };
  for (const changes of proposeChanges(context, username)) {
    if (allowsPassword(await readStaged(context, changes, username))) return { changes, warning };
  }
  const problem = await checkStaged(context, new Map());
  if (problem !== undefined) throw blocked(username, problem.text);
  const line = directives.find(({ keyword, args }) => keyword === KEYWORD && args[0]?.toLowerCase() === 'no');
  throw blocked(username, line === undefined ? 'its configuration' : describeObstacle(line));
}

function blocked(username: string, what: string): Error {
  const advice = 'change that on the VM, or set reset_ssh to true in the same settings';
  const text = `sshd would not let ${username} log in by password because of ${what}; ${advice}`;
  return accessError('SSHD_PASSWORD_BLOCKED', text);
}

/** For everybody, then for this user besides, each in a file of our own or else in the main one. For this user only where passwords are on. */
function proposeChanges({ host }: StepContext, username: string): readonly FileChanges[] {
  const files = hostFiles(host);
  const main = findMainFile(files);
  const tree = readSshdTree(files, main);
  const first = listDirectives(tree).find(
    ({ keyword, conditions }) => keyword === KEYWORD && conditions.length === 0,
  );
  const isOnForAll = first === undefined || first.args[0]?.toLowerCase() === 'yes';
  const forUser = (text: string): string => setForUser(text, username, DIRECTIVE);
  const forAll = (text: string): string => setGlobally(text, DIRECTIVE);
  const edits = isOnForAll ? [forUser] : [forAll, (text: string) => forUser(forAll(text))];
  const dropIn = globalDirectives(tree.directives)
    .filter(({ keyword }) => keyword === 'include')
    .flatMap(({ args }) => args)
    .map((pattern) => findDropIn(pattern))
    .find((path) => path !== undefined && existsSync(host.path(posix.dirname(path))));
  return edits.flatMap((edit) => {
    // A main file below /usr is the distribution's, and its copy in /etc takes its place.
    const inMain = new Map([[MAIN_FILE, edit(files.read(main) ?? '')]]);
    if (dropIn === undefined) return [inMain];
    return [new Map([[dropIn, edit(files.read(dropIn) ?? `${HEADER}\n`)]]), inMain];
  });
}

/** Path of our own file if the pattern of an `Include` would read it. */
function findDropIn(pattern: string): string | undefined {
  const [path] = expandInclude(pattern, () => [DROP_IN_NAME]);
  return path?.startsWith('/etc/') && posix.basename(path) === DROP_IN_NAME ? path : undefined;
}

/** A file in the same folder whose mode a new one takes, or the main file. */
function neighbourOf({ host }: StepContext, path: string): string {
  const folder = posix.dirname(path);
  const name = hostFiles(host)
    .list(folder)
    .find((other) => other.endsWith('.conf') && other !== DROP_IN_NAME);
  return name === undefined ? MAIN_FILE : posix.join(folder, name);
}

function allowsPassword(effective: EffectiveSshd | undefined): boolean {
  return effective?.values(KEYWORD)[0] === 'yes';
}

function joinWarnings(warnings: readonly string[]): Pick<StepReport, 'warning'> {
  return warnings.length === 0 ? {} : { warning: warnings.join('; ') };
}
