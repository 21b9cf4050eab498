/**
 * Watches what an extension is made of: `extension.json` and its neighbours, what `files` names, and what the bundler read,
 * wherever that is. Folders are watched, not files, because editors rename; an event only makes it look, and what is compared
 * are the files themselves. It looks once a second anyway: network file systems send no events.
 */
import { type BigIntStats, type FSWatcher, readdirSync, realpathSync, statSync, watch } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { EXTENSION_FILE } from '@handlerkit/sdk';
import { readProject } from '../project.ts';

export interface WatchOptions {
  /** Folder of the extension. */
  readonly folder: string;
  /** Absolute path of a folder that is never looked into, such as the VM's. */
  readonly ignored: string;
  /** Absolute paths of other files that count, such as a file of settings. */
  readonly others: readonly string[];
}

/** One round after the other: `begin`, then the work with what is there, then `changed`. */
export interface ProjectWatch {
  /** From now on a change counts. Until {@link noteInputs}, every file of the folder counts. */
  begin(): Promise<void>;
  /** What the bundler read in this round, as absolute paths. */
  noteInputs(inputs: readonly string[]): Promise<void>;
  /** True when something has changed since `begin`. Does not look; it has been seen a moment after the change. */
  hasChanged(): boolean;
  /**
   * Resolves with the files that differ from those at `begin`, relative to the folder, once they have been at rest for a moment.
   * Rejects with the signal's reason.
   */
  changed(signal: AbortSignal): Promise<readonly string[]>;
  close(): void;
}

/** Begins to watch. Throws nothing for a folder or file that is missing: it may come. */
export function watchProject(options: WatchOptions): ProjectWatch {
  const root = realPath(options.folder);
  const always = [...ALWAYS.map((name) => join(root, name)), ...options.others];
  const watchers = new Map<string, { readonly watcher: FSWatcher; readonly inode: string }>();
  let inputs: readonly string[] = [];
  /** Files that count in this round; undefined: all. */
  let relevant: ReadonlySet<string> | undefined;
  let before: ReadonlyMap<string, string> = new Map();
  let differing: readonly string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let onChange = (): void => {};
  let round = 0;

  const look = async (): Promise<void> => {
    const own = round;
    const now = await takeSnapshot();
    // What was seen belongs to a round that is over.
    if (own !== round) return;
    const counts = relevant === undefined ? undefined : new Set([...relevant, ...now.named]);
    const names = new Set([...before.keys(), ...now.files.keys()]);
    differing = [...names].filter(
      (file) => (counts?.has(file) ?? true) && before.get(file) !== now.files.get(file),
    );
    if (differing.length > 0) onChange();
  };
  const schedule = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => void look(), REST_MS);
  };
  const watchFolders = (folders: ReadonlySet<string>): void => {
    for (const [folder, { watcher, inode }] of watchers) {
      // A folder that was deleted and made again is another one.
      if (folders.has(folder) && inodeOf(folder) === inode) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of folders) {
      const inode = inodeOf(folder);
      if (inode === undefined || watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, schedule);
        watcher.on('error', schedule);
        watchers.set(folder, { watcher, inode });
      } catch {
        // No more watches, or it has just gone: the look once a second finds what changes.
      }
    }
  };
  const takeSnapshot = async (): Promise<{
    readonly files: ReadonlyMap<string, string>;
    readonly named: readonly string[];
  }> => {
    const tree = listTree(root, options.ignored);
    const named = await namedFiles(root);
    const singles = [...always, ...inputs, ...named];
    // Before the files are looked at: what changes afterwards makes an event.
    watchFolders(new Set([...tree.folders, ...singles.map((file) => dirname(file))]));
    const files = new Map<string, string>();
    for (const file of [...tree.files, ...singles]) {
      const state = stateOf(file);
      if (state !== undefined) files.set(file, state);
    }
    return { files, named };
  };
  const interval = setInterval(() => void look(), LOOK_MS);
  let began = 0;
  return {
    async begin() {
      began = Date.now();
      const { files } = await takeSnapshot();
      round++;
      relevant = undefined;
      differing = [];
      before = files;
    },
    async noteInputs(read) {
      const isNew = (file: string): boolean => !before.has(file);
      inputs = read;
      const now = await takeSnapshot();
      // Those outside the folder were not looked at before; one that was written meanwhile may have been read before that.
      const added = read.filter((file) => isNew(file) && changedAt(file) <= began);
      const states = added.flatMap((file) => {
        const state = now.files.get(file);
        return state === undefined ? [] : [[file, state] as const];
      });
      before = new Map([...before, ...states]);
      round++;
      relevant = new Set([...always, ...inputs, ...now.named]);
      await look();
    },
    hasChanged: () => differing.length > 0,
    async changed(signal) {
      await look();
      signal.throwIfAborted();
      if (differing.length === 0) {
        let onAbort = (): void => {};
        await new Promise<void>((resolve, reject) => {
          onChange = resolve;
          onAbort = () => reject(signal.reason);
          signal.addEventListener('abort', onAbort);
        }).finally(() => {
          onChange = () => {};
          signal.removeEventListener('abort', onAbort);
        });
      }
      return differing.map((file) => relative(root, file));
    },
    close() {
      clearTimeout(timer);
      clearInterval(interval);
      for (const { watcher } of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}

/** What is read besides the program's own modules, by the packer or the bundler. */
const ALWAYS = [EXTENSION_FILE, 'package.json', 'tsconfig.json'];

/** Without a change for so long, a save of several files is over. */
const REST_MS = 80;
const LOOK_MS = 1000;

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** The files that `files` names; none while `extension.json` cannot be read. */
async function namedFiles(root: string): Promise<readonly string[]> {
  try {
    return (await readProject(root)).files.map(({ path }) => path);
  } catch {
    return [];
  }
}

/** The author's files: not what npm installed, nor hidden folders, nor what `handlerkit pack` makes. */
function listTree(
  root: string,
  ignored: string,
): { readonly folders: readonly string[]; readonly files: readonly string[] } {
  const folders = [root];
  const files: string[] = [];
  for (const folder of folders) {
    for (const item of readFolder(folder)) {
      const path = join(folder, item.name);
      // Hidden ones are what editors and tools keep for themselves.
      if (item.name.startsWith('.') || item.name.endsWith('~')) continue;
      if (!item.isDirectory()) files.push(path);
      else if (!SKIPPED.has(item.name) && path !== ignored) folders.push(path);
    }
  }
  return { folders, files };
}

const SKIPPED: ReadonlySet<string> = new Set(['node_modules', 'dist']);

function readFolder(folder: string): readonly { readonly name: string; isDirectory(): boolean }[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

/** Another text for another content, as far as the file system tells; undefined for a file that is not there. */
function stateOf(file: string): string | undefined {
  const stats = statsOf(file);
  return stats === undefined ? undefined : `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.mode}`;
}

function changedAt(file: string): number {
  return Number(statsOf(file)?.ctimeMs ?? 0);
}

function inodeOf(path: string): string | undefined {
  const stats = statsOf(path);
  return stats === undefined ? undefined : `${stats.dev}:${stats.ino}`;
}

function statsOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}
