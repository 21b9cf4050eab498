/** Takes the sudo rights of a user away: the file of its own, and its rules in the files that Azure's programs write. */
import { readdirSync } from 'node:fs';
import { posix } from 'node:path';
import { HandlerError, readTextIfThere } from '@handlerkit/sdk';
import { findProgram } from './command.ts';
import type { StepContext } from './step.ts';
import { findSudoers, removeSudoersFile, writeSudoersFile } from './sudoers-files.ts';
import { namesUser, ownSudoersFile, withoutUser } from './sudoers-text.ts';
import type { Undo } from './undo.ts';

/** What was taken away, and what stays and should be known. */
export interface RemovedRights {
  readonly removed: readonly string[];
  readonly warnings: readonly string[];
}

/** Takes them away; rules of others, and rules for several users, stay. What stays and names the user is a warning. */
export async function removeSudoRights(
  context: StepContext,
  username: string,
  undo: Undo,
): Promise<RemovedRights> {
  const { host } = context;
  const { main, folder } = await locate(context);
  const read = (path: string): string | undefined => readTextIfThere(host.path(path));
  const removed: string[] = [];
  const warnings: string[] = [];
  const own = posix.join(folder, ownSudoersFile(username));
  if (read(own) !== undefined) {
    removeSudoersFile(context, own, undo);
    removed.push(own);
  }
  for (const path of SHARED_FILES.map((name) => posix.join(folder, name))) {
    const text = read(path);
    const rest = text === undefined ? undefined : withoutUser(text, username);
    if (rest === undefined || rest === text) continue;
    try {
      await writeSudoersFile(context, path, rest, undo);
      removed.push(path);
    } catch (thrown) {
      // A file that was at fault before stays as it is; the warning below names it.
      if (!(thrown instanceof HandlerError)) throw thrown;
      warnings.push(thrown.message);
    }
  }
  const others = [main, ...listFiles(context, folder).map((name) => posix.join(folder, name))];
  const named = others.filter((path) => namesUser(read(path) ?? '', username));
  if (named.length > 0) {
    warnings.push(
      `${username} is still named in ${named.join(', ')}: a new user of that name has these rights`,
    );
  }
  return { removed, warnings };
}

/** Written by the agent, and by cloud-init. */
const SHARED_FILES = ['waagent', '90-cloud-init-users'] as const;

/** Without sudo its files may be there all the same, for the day on which it is installed. */
async function locate(context: StepContext): Promise<{ readonly main: string; readonly folder: string }> {
  if (findProgram(context.host, 'sudo') === undefined) {
    return { main: '/etc/sudoers', folder: '/etc/sudoers.d' };
  }
  return findSudoers(context);
}

function listFiles({ host }: StepContext, folder: string): readonly string[] {
  try {
    return readdirSync(host.path(folder)).filter((name) => !name.includes('.') && !name.endsWith('~'));
  } catch {
    return [];
  }
}
