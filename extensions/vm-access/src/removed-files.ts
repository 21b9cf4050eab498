/**
 * What a user has outside of the files of users: home, mail, scheduled jobs. A folder or file that may be large is renamed
 * beside its place and deleted when all has succeeded; a small one is kept in memory until then.
 */
import {
  chmodSync,
  chownSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { posix } from 'node:path';
import { HandlerError, writeWholeFile } from '@handlerkit/sdk';
import type { PasswdEntry } from './account-files.ts';
import { readPasswd } from './account-files.ts';
import { isSystemPath } from './account-home.ts';
import { holdFolder, modeOf, WRITABLE_BY_OTHERS } from './held-folder.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/** What is to become of a home: removed, or kept and why. */
export interface HomeVerdict {
  readonly remove: boolean;
  /** Why it stays, for people; `undefined`: there is none, or it goes. */
  readonly reason: string | undefined;
}

/** Judges the home of a user who is removed. It goes only when it is a folder of that user and of nobody else. */
export async function judgeHome(context: StepContext, entry: PasswdEntry): Promise<HomeVerdict> {
  const { home } = entry;
  const stays = (reason: string): HomeVerdict => ({ remove: false, reason: `${home} stays: it ${reason}` });
  if (!home.startsWith('/')) return { remove: false, reason: undefined };
  const path = cleanPath(home);
  const stats = lstatSync(context.host.path(path), { throwIfNoEntry: false });
  if (stats === undefined) return { remove: false, reason: undefined };
  if (isSystemPath(path)) return stays('is a folder of the system');
  if (stats.isSymbolicLink()) return stays('is a link');
  if (!stats.isDirectory()) return stays('is no folder');
  if (stats.uid !== entry.uid) return stays(`belongs to the uid ${stats.uid}`);
  const other = findSharer(context, entry, path);
  if (other !== undefined) return stays(`is or holds the home of ${other}`);
  const parent = statSync(context.host.path(posix.dirname(path)));
  if (parent.dev !== stats.dev) return stays('is a disk of its own');
  if (!(await isRootsFolder(context, posix.dirname(path))))
    return stays('lies in a folder of others than root');
  return { remove: true, reason: undefined };
}

/** A path without what makes no difference: `//`, `/./`, a slash at its end. */
export function cleanPath(path: string): string {
  return posix.normalize(path).replace(/(?<=.)\/$/, '');
}

/** Where something is put that is deleted at the end. */
export function asidePath(path: string): string {
  return posix.join(posix.dirname(path), `.${posix.basename(path)}.handlerkit-removed`);
}

/** Renames a file or folder of the user aside, or finds what a run that was ended has renamed. */
export async function moveAside(
  context: StepContext,
  path: string,
  uid: number,
  undo: Undo,
): Promise<boolean> {
  const { host } = context;
  const aside = asidePath(path);
  const isThere = lstatSync(host.path(path), { throwIfNoEntry: false })?.uid === uid;
  const isAside = lstatSync(host.path(aside), { throwIfNoEntry: false })?.uid === uid;
  if (!isThere && !isAside) return false;
  undo.add(path, async () => {
    if (lstatSync(host.path(path), { throwIfNoEntry: false }) !== undefined) return;
    renameSync(host.path(aside), host.path(path));
  });
  undo.afterSuccess(aside, () => removeAside(context, aside));
  if (isThere) {
    if (isAside) await removeAside(context, aside);
    renameSync(host.path(path), host.path(aside));
  }
  return true;
}

/** Deletes what was put aside, and nothing of another file system. */
export async function removeAside(context: StepContext, aside: string): Promise<void> {
  await context.run(['rm', '-rf', '--one-file-system', '--', aside], { timeoutMs: 600_000 });
}

/** Removes the user's tables of cron and jobs of at; gives how many. */
export function removeJobs(context: StepContext, { name, uid }: PasswdEntry, undo: Undo): number {
  const { host } = context;
  const tables = CRON_FOLDERS.map((folder) => posix.join(folder, name));
  const jobs = AT_FOLDERS.flatMap((folder) =>
    listFiles(context, folder)
      .map((file) => posix.join(folder, file))
      .filter((path) => lstatSync(host.path(path), { throwIfNoEntry: false })?.uid === uid),
  );
  return [...tables, ...jobs].filter((path) => removeSmall(context, path, undo)).length;
}

/** Where Debian, Red Hat and SUSE keep them. */
const CRON_FOLDERS = ['/var/spool/cron/crontabs', '/var/spool/cron', '/var/spool/cron/tabs'] as const;
const AT_FOLDERS = ['/var/spool/cron/atjobs', '/var/spool/at', '/var/spool/atjobs'] as const;

function findSharer({ host }: StepContext, { name, home }: PasswdEntry, path: string): string | undefined {
  const own = statSync(host.path(home));
  return readPasswd(host).find((other) => {
    if (other.name === name || !other.home.startsWith('/')) return false;
    if (`${posix.normalize(other.home)}/`.startsWith(`${path}/`)) return true;
    const stats = statSync(host.path(other.home), { throwIfNoEntry: false });
    return stats !== undefined && stats.dev === own.dev && stats.ino === own.ino;
  })?.name;
}

async function isRootsFolder(context: StepContext, path: string): Promise<boolean> {
  try {
    const folder = await holdFolder(context.host, path);
    const isSafe = folder !== undefined && (modeOf(folder.stats) & WRITABLE_BY_OTHERS) === 0;
    await folder?.close();
    return isSafe;
  } catch (thrown) {
    if (thrown instanceof HandlerError) return false;
    throw thrown;
  }
}

function listFiles({ host }: StepContext, folder: string): readonly string[] {
  try {
    return readdirSync(host.path(folder));
  } catch {
    return [];
  }
}

function removeSmall({ host }: StepContext, path: string, undo: Undo): boolean {
  const real = host.path(path);
  const stats = lstatSync(real, { throwIfNoEntry: false });
  if (stats?.isFile() !== true) return false;
  const content = readFileSync(real);
  undo.add(path, async () => {
    writeWholeFile(real, content);
    chownSync(real, stats.uid, stats.gid);
    chmodSync(real, stats.mode & 0o7777);
  });
  rmSync(real, { force: true });
  return true;
}
