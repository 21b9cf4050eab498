/**
 * Dated backups of sshd's configuration in the data folder: each is a folder with copies of the files as they were before
 * a run changed them, and a manifest. A backup appears whole or not at all, and is put back as a whole.
 */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { readTextIfThere, writeWholeFile } from '@handlerkit/sdk';
import * as z from 'zod';
import { copySshdFile, removeSshdFile } from './sshd-files.ts';
import type { FileChanges } from './sshd-tree.ts';
import { MAIN_FILE } from './sshd-tree.ts';
import type { StepContext } from './step.ts';

/** A saved configuration. */
export interface SshdBackup {
  /** Where it lies on the VM. */
  readonly folder: string;
  /** When it was made, ISO 8601; `undefined` for the original's, which does not say. */
  readonly made: string | undefined;
  readonly files: readonly SavedFile[];
}

/** One file of a backup. */
export type SavedFile = z.infer<typeof SAVED_FILE>;

/**
 * Saves the files of `paths`, there or not, before `changes` are made to some of them. What a run that
 * was killed for the same `reason` has changed already is taken from the backup that it left open. The backup is open until {@link closeBackup}.
 */
export async function makeBackup(
  context: StepContext,
  reason: string,
  paths: readonly string[],
  changes: FileChanges,
): Promise<SshdBackup> {
  const { host, dataFolder } = context;
  const parent = join(dataFolder, BACKUP_FOLDER);
  mkdirSync(host.path(parent), { recursive: true, mode: 0o700 });
  const left = listBackups(context).findLast(({ manifest }) => manifest.open && manifest.reason === reason);
  const number = Math.max(0, ...readdirSync(host.path(parent)).map((name) => Number.parseInt(name, 10) || 0));
  const made = host.now().toISOString();
  const stamp = made.replace(/\.\d+Z$/, 'Z').replace(/[-:]/g, '');
  const name = `${String(number + 1).padStart(4, '0')}-${stamp}-${reason}`;
  const temporary = join(parent, '.unfinished');
  rmSync(host.path(temporary), { recursive: true, force: true });
  mkdirSync(host.path(temporary), { mode: 0o700 });
  const files: SavedFile[] = [];
  const all = new Set([...paths, ...changes.keys(), ...(left?.manifest.files ?? []).map(({ path }) => path)]);
  for (const path of [...all].toSorted()) {
    const source = findSource(host, path, left);
    const copy =
      source === undefined ? null : `${String(files.length + 1).padStart(2, '0')}-${baseName(path)}`;
    if (source !== undefined && copy !== null) await copySshdFile(context, source, join(temporary, copy));
    const stats = copy === null ? undefined : lstatSync(host.path(join(temporary, copy)));
    const written = changes.has(path) ? digest(changes.get(path)) : 'unchanged';
    files.push({
      path,
      copy,
      sha256: copy === null ? null : fingerprint(host, join(temporary, copy)),
      mode: stats === undefined ? null : (stats.mode & 0o7777).toString(8).padStart(4, '0'),
      owner: stats === undefined ? null : `${stats.uid}:${stats.gid}`,
      written,
    });
  }
  const manifest: Manifest = { version: 1, made, reason, open: true, files };
  writeManifest(host, temporary, manifest);
  const folder = join(parent, name);
  renameSync(host.path(temporary), host.path(folder));
  if (left !== undefined) rmSync(host.path(left.folder), { recursive: true, force: true });
  return { folder, made, files };
}

/** Says that what the backup was made for has succeeded: from now on it is there to be restored. */
export function closeBackup({ host }: StepContext, backup: SshdBackup): void {
  const manifest = readManifest(host, backup.folder);
  if (manifest !== undefined) writeManifest(host, backup.folder, { ...manifest, open: false });
}

/** Removes a backup, once everything is as it was again. */
export function removeBackup({ host }: StepContext, backup: SshdBackup): void {
  rmSync(host.path(backup.folder), { recursive: true, force: true });
}

/** The backup that a restore takes: the newest of ours, else the one slot of Microsoft's VMAccess, else `undefined`. */
export function findNewestBackup(context: StepContext): SshdBackup | undefined {
  // The one that a killed restore has left open is what that restore was to replace.
  const newest = listBackups(context).findLast(
    ({ manifest }) => !(manifest.open && manifest.reason === 'restore'),
  );
  if (newest !== undefined) return { folder: newest.folder, ...newest.manifest };
  const text = readText(context.host, `${ORIGINAL_FOLDER}/${ORIGINAL_FILE}`);
  if (text === undefined) return undefined;
  const file = {
    path: MAIN_FILE,
    copy: ORIGINAL_FILE,
    sha256: digest(text),
    mode: null,
    owner: null,
    written: 'unchanged',
  };
  return { folder: ORIGINAL_FOLDER, made: undefined, files: [file] };
}

/** Every main file that was ever saved: one of them may be the package's own. */
export function savedMainFiles(context: StepContext): readonly string[] {
  const saved = listBackups(context).flatMap(({ folder, manifest }) =>
    manifest.files.flatMap(({ path, copy }) =>
      path === MAIN_FILE && copy !== null ? [join(folder, copy)] : [],
    ),
  );
  return [...saved, `${ORIGINAL_FOLDER}/${ORIGINAL_FILE}`];
}

/** What putting `backup` back would change now. Throws for a copy that is not what was saved; `explain` makes that error. */
export function backupChanges(
  host: Host,
  backup: SshdBackup,
  explain: (problem: string) => Error,
): FileChanges {
  const changes = new Map<string, string | undefined>();
  for (const { path, copy, sha256 } of backup.files) {
    const source = copy === null ? undefined : join(backup.folder, copy);
    if (source !== undefined && fingerprint(host, source) !== sha256) {
      throw explain(`its copy of ${path} is missing or damaged`);
    }
    const text = source === undefined ? undefined : textAt(host, source, path);
    if (text !== readText(host, path)) changes.set(path, text);
  }
  return changes;
}

/** Puts the files of `paths` back as they were saved, with mode, owner and attributes; default: all of the backup. */
export async function putBack(
  context: StepContext,
  backup: SshdBackup,
  paths?: readonly string[],
): Promise<void> {
  for (const { path, copy } of backup.files) {
    if (paths !== undefined && !paths.includes(path)) continue;
    if (copy === null) removeSshdFile(context.host, path);
    else await copySshdFile(context, join(backup.folder, copy), path);
  }
}

const BACKUP_FOLDER = 'backup';
const MANIFEST_FILE = 'manifest.json';
const ORIGINAL_FOLDER = '/var/cache/vmaccess';
const ORIGINAL_FILE = 'backup';

const SAVED_FILE = z.object({
  /** Where the file belongs. */
  path: z.string().startsWith('/etc/'),
  /** Name of the copy in the folder of the backup; `null`: there was no such file. */
  copy: z
    .string()
    .regex(/^[^/]+$/)
    .nullable(),
  sha256: z.string().nullable(),
  /** For readers; the copy has them itself, and the extended attributes too. */
  mode: z.string().nullable(),
  owner: z.string().nullable(),
  /** Digest of what the run put there, `null` when it removed the file, `unchanged` when it left it alone. */
  written: z.string().nullable(),
});

const MANIFEST = z.object({
  version: z.literal(1),
  made: z.string(),
  reason: z.string(),
  /** True until the run that made it has succeeded. */
  open: z.boolean(),
  files: z.array(SAVED_FILE),
});

type Manifest = z.infer<typeof MANIFEST>;

interface ListedBackup {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** All of ours, the oldest first. What has no good manifest is none. */
function listBackups({ host, dataFolder }: StepContext): readonly ListedBackup[] {
  const parent = join(dataFolder, BACKUP_FOLDER);
  let names: readonly string[];
  try {
    names = readdirSync(host.path(parent));
  } catch {
    return [];
  }
  return names
    .filter((name) => /^\d+-/.test(name))
    .toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .flatMap((name) => {
      const folder = join(parent, name);
      const manifest = readManifest(host, folder);
      return manifest === undefined ? [] : [{ folder, manifest }];
    });
}

/** Where the text is that `path` had before the first of the runs that were killed; `undefined`: there was none. */
function findSource(host: Host, path: string, left: ListedBackup | undefined): string | undefined {
  const now = fingerprint(host, path);
  const saved = left?.manifest.files.find((file) => file.path === path);
  if (left !== undefined && saved !== undefined && saved.written === now) {
    return saved.copy === null ? undefined : join(left.folder, saved.copy);
  }
  return now === null ? undefined : path;
}

function readManifest(host: Host, folder: string): Manifest | undefined {
  try {
    const text = readTextIfThere(host.path(join(folder, MANIFEST_FILE)));
    return text === undefined ? undefined : MANIFEST.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function writeManifest(host: Host, folder: string, manifest: Manifest): void {
  writeWholeFile(host.path(join(folder, MANIFEST_FILE)), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

function readText(host: Host, path: string): string | undefined {
  try {
    return readFileSync(host.path(path), 'utf8');
  } catch {
    return undefined;
  }
}

/** Digest of a file, or of where a link leads; `null`: there is neither. */
function fingerprint(host: Host, path: string): string | null {
  const target = readLink(host, path);
  return digest(target === undefined ? readText(host, path) : `link to ${target}`);
}

/** The text that a copy would have in its place, where a relative link leads elsewhere. */
function textAt(host: Host, copy: string, path: string): string | undefined {
  const target = readLink(host, copy);
  return readText(host, target === undefined ? copy : resolve(dirname(path), target));
}

function readLink(host: Host, path: string): string | undefined {
  try {
    return readlinkSync(host.path(path));
  } catch {
    return undefined;
  }
}

function digest(text: string | undefined): string | null {
  return text === undefined ? null : createHash('sha256').update(text).digest('hex');
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
