/**
 * The folder of one run, `download/<sequence>` in the extension's data folder, with the names and modes of the original.
 * Source: Custom Script 2.1.19 sections 4 and 9.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host, Logger } from '@handlerkit/sdk';
import { isSystemError, toHandlerError } from '@handlerkit/sdk';
import { scriptError, systemCode } from './errors.ts';
import { removeTree, userRunsFolder } from './run-user.ts';

/** Makes the empty folder of a run, mode 0700, and gives its path as the VM sees it. Throws `FOLDER_NOT_CREATED`. */
export async function createRunFolder(host: Host, dataFolder: string, sequence: number): Promise<string> {
  const folder = join(dataFolder, DOWNLOAD_FOLDER, String(sequence));
  try {
    // What an image or an earlier life of the extension left under this number is not part of the run.
    await rm(host.path(folder), { recursive: true, force: true });
    await mkdir(host.path(folder), { recursive: true, mode: 0o700 });
  } catch (cause) {
    const text = `cannot create the folder ${folder} (${systemCode(cause)}); check the free space and the permissions of ${dataFolder}`;
    throw scriptError('FOLDER_NOT_CREATED', text, cause);
  }
  return folder;
}

/** Removes the folders of all other runs. A folder that cannot be removed is logged and is no failure of the run. */
export async function removeOtherRuns(
  host: Host,
  log: Logger,
  dataFolder: string,
  sequence: number,
): Promise<void> {
  const own = join(dataFolder, DOWNLOAD_FOLDER);
  const removeOwn = (folder: string): Promise<void> =>
    rm(host.path(folder), { recursive: true, force: true });
  const ofUsers = userRunsFolder(dataFolder);
  for (const [parent, remove] of [
    [own, removeOwn],
    [ofUsers, (folder: string) => removeTree(host, folder)],
  ] as const) {
    try {
      for (const entry of await readdir(host.path(parent), { withFileTypes: true })) {
        if (!entry.isDirectory() || entry.name === String(sequence)) continue;
        await remove(join(parent, entry.name));
      }
    } catch (thrown) {
      if (isSystemError(thrown, 'ENOENT')) continue;
      log.warn('an older run could not be removed', {
        folder: parent,
        reason: toHandlerError(thrown).message,
      });
    }
  }
}

const DOWNLOAD_FOLDER = 'download';
