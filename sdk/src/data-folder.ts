/**
 * The extension's data folder, beside the versioned folders, and which version owns it. The owner is written down, so
 * that `uninstall` of an old version deletes nothing that the new one uses, and a run that outlives its version knows
 * where its result belongs.
 */
import { mkdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { HandlerState } from './contract/package-layout.ts';
import { CONFIG_FOLDER, HANDLER_STATE_FILE } from './contract/package-layout.ts';
import { HandlerError, isSystemError } from './errors.ts';
import type { HandlerFolder } from './handler-files.ts';
import { siblingFolder } from './handler-files.ts';
import type { Host } from './host.ts';
import { LOCK_NAME, removeAbandonedTurns } from './lock.ts';
import { identifyProcess } from './process-identity.ts';
import { readTextIfThere, removeUnfinishedFiles, writeWholeFile } from './whole-file.ts';

/** Holds the version that owns the folder. */
const OWNER_FILE = '.owner';

export interface DataFolder {
  /** Absolute path, as the handler sees it. */
  readonly path: string;
  /** Makes the folder with mode 0700 when it is not there. Throws `STATE_UNUSABLE` when something else has its name. */
  create(): void;
  exists(): boolean;
  /** The version that owns the data; `undefined` when nobody has claimed it. */
  owner(): string | undefined;
  /** Writes down that `version` owns the data from now on. */
  claim(version: string): void;
  /** The version folder to which state and results belong now: the owner's if it is there, else `own`. */
  home(): HandlerFolder;
  /** True when another version has taken the data over, and its update has not failed. */
  isAdopted(): boolean;
  remove(): void;
  /** Removes the folder that somebody else has removed before, and that was made again for nothing. Never throws. */
  removeIfEmpty(): void;
  /** Removes what processes that were killed have left of the owner's note and of the lock. Called under the lock. */
  removeLeftovers(): void;
}

/** @param name a single path segment. */
export function openDataFolder(host: Host, own: HandlerFolder, name: string): DataFolder {
  const path = join(own.libFolder, name);
  const ownerFile = host.path(join(path, OWNER_FILE));
  const owner = (): string | undefined => {
    const text = readTextIfThere(ownerFile)?.trim();
    return text === undefined || text === '' ? undefined : text;
  };
  const adopter = (): HandlerFolder | undefined => {
    const version = owner();
    if (version === undefined || version === own.version) return undefined;
    const folder = siblingFolder(own, version);
    return isFolder(host.path(folder.folder)) && readHandlerState(host, folder) !== 'FailedUpgrade'
      ? folder
      : undefined;
  };
  return {
    path,
    create: () => {
      try {
        // Not recursive: then a read-only disk would be told as a missing folder.
        mkdirSync(host.path(path), { mode: 0o700 });
      } catch (thrown) {
        if (!isSystemError(thrown, 'EEXIST')) throw thrown;
        if (isFolder(host.path(path))) return;
        throw new HandlerError(
          'STATE_UNUSABLE',
          `${path} is no folder, and the extension keeps its data in a folder of that name; move it away and apply the settings again`,
        );
      }
    },
    exists: () => isFolder(host.path(path)),
    owner,
    claim: (version) => {
      if (owner() !== version) writeWholeFile(ownerFile, version);
    },
    home: () => adopter() ?? own,
    isAdopted: () => adopter() !== undefined,
    removeIfEmpty: () => {
      try {
        rmdirSync(host.path(path));
      } catch {
        // Something is in it, or it is gone.
      }
    },
    removeLeftovers: () => {
      const isOurs = (name: string): boolean => name === OWNER_FILE || name === LOCK_NAME;
      removeUnfinishedFiles(host.path(path), isOurs, (pid) => identifyProcess(host, pid) !== undefined);
      removeAbandonedTurns(host, path);
    },
    remove: () => {
      rmSync(host.path(path), { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

/** What the agent says of a version; `NotInstalled` when it says nothing. */
export function readHandlerState(host: Host, folder: HandlerFolder): HandlerState {
  const text = readTextIfThere(host.path(join(folder.folder, CONFIG_FOLDER, HANDLER_STATE_FILE)))?.trim();
  return text === 'Installed' || text === 'Enabled' || text === 'FailedUpgrade' ? text : 'NotInstalled';
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
