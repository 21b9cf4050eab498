/**
 * Making folders. Not with the `recursive` of Node's mkdir: below a folder that lets none be made, such as `/proc`, that
 * goes round for ever, and no signal ends it.
 */
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isSystemError } from '@handlerkit/sdk';
import { ToolError } from './errors.ts';

/**
 * Makes the folder `path` and those above it that are missing, each with `mode` less the umask. One that exists is left
 * as it is. Throws `FOLDER_NOT_MADE` where a folder takes no folders, and the system's error for anything else.
 */
export function makeFolders(path: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let at = resolve(path); !isThere(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) makeFolder(folder, mode);
}

function makeFolder(folder: string, mode: number): void {
  try {
    mkdirSync(folder, { mode });
  } catch (thrown) {
    // Another process was faster.
    if (isSystemError(thrown, 'EEXIST') && isThere(folder)) return;
    if (!isSystemError(thrown, 'ENOENT')) throw thrown;
    throw new ToolError('FOLDER_NOT_MADE', `${dirname(folder)} does not let a folder be made in it.`, {
      file: folder,
      hint: 'Name a folder on a disk.',
      cause: thrown,
    });
  }
}

/** True for a folder. Throws the system's error for a file that is where a folder is needed. */
function isThere(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  // A trailing slash asks for a folder: the system then says that this is none.
  return stats === undefined ? false : stats.isDirectory() || statSync(`${path}/`).isDirectory();
}
