/**
 * The home of an account: what state it is in, and making one as `useradd` does, also where a run was ended in the
 * middle. A home that is somebody else's, or a folder of the system, is never touched.
 */
import type { Stats } from 'node:fs';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  statSync,
} from 'node:fs';
import { posix } from 'node:path';
import type { PasswdEntry } from './account-files.ts';
import { readPasswd } from './account-files.ts';
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import { holdFolder, modeOf, WRITABLE_BY_OTHERS } from './held-folder.ts';
import { readLoginDefs, readUseraddDefaults } from './login-defs.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/**
 * `missing`: not there, and may be made. `unfinished`: empty and root's, as an ended `useradd` leaves it. `roots`: root's
 * with something in it. `foreign`: another user's. `system`: missing or not the user's, where only the system makes folders.
 */
export type HomeState = 'right' | 'missing' | 'unfinished' | 'roots' | 'foreign' | 'not a folder' | 'system';

/** Looks at the home that an account has, or is to have. */
export function readHomeState(
  context: StepContext,
  { home, uid }: Pick<PasswdEntry, 'home' | 'uid'>,
): HomeState {
  const stats = home.startsWith('/') ? statFollowed(context, home) : undefined;
  if (stats?.isDirectory() === true && stats.uid === uid) return 'right';
  if (isSystemPath(home) || isSystemPath(realPathOf(context, home))) return 'system';
  if (stats === undefined) return 'missing';
  if (!stats.isDirectory()) return 'not a folder';
  if (stats.uid !== 0) return 'foreign';
  return readdirSync(context.host.path(home)).length === 0 ? 'unfinished' : 'roots';
}

/** A home that a new account would find: whose it is. `undefined`: there is none. Throws `HOME_UNUSABLE`. */
export function findLeftHome(context: StepContext, home: string): { readonly uid: number } | undefined {
  const stats = lstatSync(context.host.path(home), { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  const problem = describeObstacle(context, stats);
  if (problem === undefined) return { uid: stats.uid };
  throw accessError('HOME_UNUSABLE', `${home} ${problem}; move it away and try again`);
}

/**
 * Makes the home of an account, or finishes one: filled with what new homes hold, with its owner and mode. It appears
 * whole. Throws `HOME_UNUSABLE` where others than root could put something in its place.
 */
export async function makeHome(context: StepContext, entry: PasswdEntry, undo: Undo): Promise<void> {
  const { home } = entry;
  const parent = posix.dirname(home);
  makeParent(context, parent, undo);
  await requireRootsFolder(context, parent);
  const state = readHomeState(context, entry);
  if (state === 'roots') {
    giveHome(context, entry, undo);
    return;
  }
  const temporary = posix.join(parent, `.${posix.basename(home)}${NEW_SUFFIX}`);
  undo.add(`the home of ${entry.name}`, async () => {
    await context.run(['rm', '-rf', '--', temporary], SLOW);
    await removeHome(context, home, entry.uid);
  });
  await context.run(['rm', '-rf', '--', temporary], SLOW);
  await fillHome(context, entry, temporary);
  const real = context.host.path(home);
  // Nobody but root writes to the parent, and an empty folder is all that this removes.
  if (state === 'unfinished') rmdirSync(real);
  renameSync(context.host.path(temporary), real);
  if (findProgram(context.host, 'restorecon') !== undefined) {
    // What cannot be labelled is no worse than what useradd leaves where there is no policy.
    await context.run(['restorecon', '-R', '--', home], { ...SLOW, accept: [0, 1, 255] });
  }
}

/** Removes a home that this run has made: the folder of that user, and nothing of other file systems. */
export async function removeHome(context: StepContext, home: string, uid: number): Promise<void> {
  const stats = lstatSync(context.host.path(home), { throwIfNoEntry: false });
  if (stats?.isDirectory() !== true || (stats.uid !== uid && stats.uid !== 0)) return;
  await context.run(['rm', '-rf', '--one-file-system', '--', home], SLOW);
}

/** True for folders that belong to the system whatever lies there, and for what Debian calls no home at all. */
export function isSystemPath(path: string): boolean {
  const [first = '', second, third] = posix.normalize(path).split('/').filter(Boolean);
  // Where the root folder is an image, the homes are in /var.
  if (first === 'var' && second === 'home') return third === undefined;
  if (HOMES.includes(first)) return second === undefined;
  return first === '' || SYSTEM_FOLDERS.includes(first);
}

const SLOW = { timeoutMs: 600_000 };
const NEW_SUFFIX = '.handlerkit-new';
/** Folders of folders: each is nobody's home itself. */
const HOMES: readonly string[] = ['home', 'srv', 'opt', 'mnt', 'media', 'export'];
const SYSTEM_FOLDERS: readonly string[] = [
  'bin',
  'boot',
  'dev',
  'etc',
  'lib',
  'lib32',
  'lib64',
  'libx32',
  'nonexistent',
  'proc',
  'root',
  'run',
  'sbin',
  'sys',
  'tmp',
  'usr',
  'var',
];

function statFollowed({ host }: StepContext, path: string): Stats | undefined {
  try {
    return statSync(host.path(path));
  } catch {
    return undefined;
  }
}

/** Where a path of the VM leads when its links are followed; what is not there stays as it is named. */
function realPathOf({ host }: StepContext, path: string): string {
  let rest = path.split('/').filter(Boolean);
  let at = '/';
  for (let links = 0; rest.length > 0; ) {
    const [name = '', ...behind] = rest;
    const next = posix.join(at, name);
    rest = behind;
    if (lstatSync(host.path(next), { throwIfNoEntry: false })?.isSymbolicLink() !== true) at = next;
    else if (++links > MOST_LINKS) return path;
    else {
      const target = readlinkSync(host.path(next));
      rest = [...target.split('/').filter(Boolean), ...behind];
      if (target.startsWith('/')) at = '/';
    }
  }
  return at;
}

/** As many as the kernel follows. Source: path_resolution(7). */
const MOST_LINKS = 40;

function describeObstacle({ host }: StepContext, stats: Stats): string | undefined {
  if (stats.isSymbolicLink()) return 'is a link';
  if (!stats.isDirectory()) return 'is no folder';
  if (stats.uid === 0) return undefined;
  const owner = readPasswd(host).find(({ uid }) => uid === stats.uid);
  if (owner !== undefined) return `belongs to ${owner.name}`;
  const { uidMin, uidMax } = readLoginDefs(host);
  const isOrdinary = stats.uid >= uidMin && stats.uid <= uidMax;
  return isOrdinary ? undefined : `belongs to the uid ${stats.uid}`;
}

function makeParent({ host }: StepContext, parent: string, undo: Undo): void {
  if (statSync(host.path(parent), { throwIfNoEntry: false }) !== undefined) return;
  undo.add(`the folder ${parent}`, async () => rmdirSync(host.path(parent)));
  mkdirSync(host.path(parent), { recursive: true, mode: 0o755 });
}

async function requireRootsFolder(context: StepContext, path: string): Promise<void> {
  const folder = await holdFolder(context.host, path);
  const isSafe = folder !== undefined && (modeOf(folder.stats) & WRITABLE_BY_OTHERS) === 0;
  await folder?.close();
  if (isSafe) return;
  throw accessError('HOME_UNUSABLE', `others than root may write to ${path}, so no home can be made there`);
}

/** Only root gets into the folder before everything in it is the user's. */
async function fillHome(context: StepContext, entry: PasswdEntry, folder: string): Promise<void> {
  const { host } = context;
  const { skeleton } = await readUseraddDefaults(context);
  mkdirSync(host.path(folder), { mode: 0o700 });
  if (statSync(host.path(skeleton), { throwIfNoEntry: false })?.isDirectory() === true) {
    await context.run(['cp', '-a', '--', `${skeleton}/.`, folder], SLOW);
    // The copy takes the mode of the skeleton.
    chmodSync(host.path(folder), 0o700);
  }
  const names = readdirSync(host.path(folder)).map((name) => posix.join(folder, name));
  if (names.length > 0) {
    await context.run(['chown', '-R', '-h', '--', `${entry.uid}:${entry.gid}`, ...names], SLOW);
  }
  chownSync(host.path(folder), entry.uid, entry.gid);
  chmodSync(host.path(folder), readLoginDefs(host).homeMode);
}

/** A folder that waits for its user, such as a disk that is mounted there. What is in it stays root's. */
function giveHome({ host }: StepContext, { name, home, uid, gid }: PasswdEntry, undo: Undo): void {
  const path = host.path(home);
  const before = lstatSync(path);
  if (!before.isDirectory() || before.uid !== 0) {
    throw accessError('HOME_UNUSABLE', `${home} was changed by somebody else at the same time; try again`);
  }
  undo.add(`the owner of the home of ${name}`, async () => {
    chownSync(path, before.uid, before.gid);
    chmodSync(path, before.mode & 0o7777);
  });
  chownSync(path, uid, gid);
  chmodSync(path, readLoginDefs(host).homeMode);
}
