/**
 * The user who runs the command, and a folder for the run that the user can reach. The agent's folder is closed to all
 * but root, and stays so: the files of such a run lie beside it, each run in a folder that only root and its user enter.
 */
import { chmod, lchown, lstat, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Host, UserAccount } from '@handlerkit/sdk';
import { findUserAccount, HandlerError, isSystemError } from '@handlerkit/sdk';
import { scriptError, systemCode } from './errors.ts';

/** Finds the user of `runAsUser`. Throws `USER_UNUSABLE`. */
export async function findRunUser(host: Host, name: string): Promise<UserAccount> {
  const user = await findUserAccount(host, name);
  if (user !== undefined) return user;
  throw scriptError(
    'USER_UNUSABLE',
    "there is no user with the name that 'runAsUser' gives; create the user first, and give the name, not the id. Nothing was downloaded or run",
  );
}

/** The folder of all runs of other users than root: `/var/lib/handlerkit-custom-script` on a VM as usual. */
export function userRunsFolder(dataFolder: string): string {
  return join(dirname(dirname(dataFolder)), 'handlerkit-custom-script');
}

/** Makes the empty folder of a run, closed to all but root until {@link giveRunFolder}. Throws `FOLDER_NOT_CREATED`. */
export async function createUserRunFolder(host: Host, dataFolder: string, sequence: number): Promise<string> {
  const parent = userRunsFolder(dataFolder);
  const folder = join(parent, String(sequence));
  try {
    await mkdir(host.path(parent), { recursive: true, mode: PARENT_MODE });
    const found = await lstat(host.path(parent));
    if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) {
      throw new HandlerError('FOLDER_NOT_CREATED', `${parent} is no folder that only root can write to`);
    }
    await chmod(host.path(parent), PARENT_MODE);
    await removeTree(host, folder);
    await mkdir(host.path(folder), { mode: 0o700 });
  } catch (cause) {
    const reason = cause instanceof HandlerError ? cause.message : systemCode(cause);
    const text = `cannot create the folder ${folder} (${reason}); check the free space and the permissions of ${parent}`;
    throw scriptError('FOLDER_NOT_CREATED', text, cause);
  }
  return folder;
}

/** Gives the folder and the named files in it to the user. From then on what is in it is the user's word. */
export async function giveRunFolder(
  host: Host,
  folder: string,
  names: readonly string[],
  { uid, gid }: UserAccount,
): Promise<void> {
  try {
    // The folder last: until then nobody else can put a link in a file's place.
    for (const name of names) await lchown(host.path(join(folder, name)), uid, gid);
    await lchown(host.path(folder), uid, gid);
  } catch (cause) {
    const text = `cannot give the folder ${folder} to the user of 'runAsUser' (${systemCode(cause)})`;
    throw scriptError('USER_UNUSABLE', text, cause);
  }
}

/**
 * Removes a folder in which a user can still move things about: `rm` follows no link that is put there in the meantime,
 * where a removal path by path might. Throws what failed.
 */
export async function removeTree(host: Host, folder: string): Promise<void> {
  const isThere = await lstat(host.path(folder)).then(
    () => true,
    (thrown: unknown) => !isSystemError(thrown, 'ENOENT'),
  );
  if (!isThere) return;
  const { exitCode } = await host.exec(['/bin/rm', '-rf', '--', host.path(folder)], {
    timeoutMs: REMOVAL_LIMIT_MS,
  });
  if (exitCode !== 0) throw new HandlerError('FOLDER_NOT_CREATED', `${folder} cannot be removed`);
}

/** Others may pass through, but see and write nothing. */
const PARENT_MODE = 0o711;
const REMOVAL_LIMIT_MS = 120_000;
