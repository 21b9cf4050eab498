/**
 * What has been changed in an overlay VM, found by comparing it with what lies below: only folders that its own layer holds are
 * looked into. White-outs, opaque and renamed folders show by themselves in the comparison; their marks are not read.
 * Source: overlayfs in the kernel's documentation (`Documentation/filesystems/overlayfs.rst`).
 */
import type { BigIntStats } from 'node:fs';
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { join, posix } from 'node:path';
import { isBelow } from './mount-table.ts';

/** One overlay of the VM. */
export interface Layer {
  readonly mountPoint: string;
  /** Folders on this machine: what lies below, and the VM's own changes. */
  readonly lower: string;
  readonly upper: string;
}

export type FileType = 'file' | 'folder' | 'link' | 'other';

export interface ChangedFile {
  /** Added, modified (content, mode or owner), deleted, or of another type than before. */
  readonly change: 'A' | 'M' | 'D' | 'T';
  readonly type: FileType;
  /** Four octal digits. */
  readonly mode: string;
  readonly bytes: number;
  /** As a handler sees it. A folder that was deleted stands for all that was in it. */
  readonly path: string;
}

/** The changes in all layers, by path. `root` is the VM's root as a path of this machine; nothing below `except` is looked at. */
export function findChangedFiles(
  root: string,
  layers: readonly Layer[],
  except: readonly string[],
): readonly ChangedFile[] {
  const mountPoints = layers.map((layer) => layer.mountPoint);
  return layers
    .flatMap((layer) => {
      const skip = [
        ...except,
        ...mountPoints.filter((one) => one !== layer.mountPoint && isBelow(one, layer.mountPoint)),
      ];
      return [...compareFolder({ root, layer, skip }, layer.mountPoint)];
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** All that is in a folder of the VM, as additions. */
export function listAdded(root: string, folder: string): readonly ChangedFile[] {
  return [...addedBelow(root, folder)];
}

interface Walk {
  readonly root: string;
  readonly layer: Layer;
  readonly skip: readonly string[];
}

function* compareFolder(walk: Walk, folder: string): Generator<ChangedFile> {
  const { root, layer, skip } = walk;
  const inLayer = folder.slice(layer.mountPoint === '/' ? 0 : layer.mountPoint.length);
  const [merged, lower] = [join(root, folder), join(layer.lower, inLayer)];
  // None for a folder that was renamed: then every name has to be looked at.
  const upperNames = new Set(namesIn(join(layer.upper, inLayer)));
  for (const name of new Set([...namesIn(merged), ...namesIn(lower)])) {
    const path = posix.join(folder, name);
    if (skip.includes(path)) continue;
    const [now, before] = [statOf(join(merged, name)), statOf(join(lower, name))];
    if (now === undefined) {
      if (before !== undefined) yield describe('D', path, before);
    } else if (before === undefined) {
      yield describe('A', path, now);
      if (now.isDirectory()) yield* addedBelow(root, path);
    } else if (typeOf(now) !== typeOf(before)) {
      yield describe('T', path, now);
      if (now.isDirectory()) yield* addedBelow(root, path);
    } else if (upperNames.has(name) || !isUntouched(now, before)) {
      if (isModified(join(merged, name), now, join(lower, name), before)) yield describe('M', path, now);
      if (now.isDirectory()) yield* compareFolder(walk, path);
    }
  }
}

function* addedBelow(root: string, folder: string): Generator<ChangedFile> {
  for (const name of namesIn(join(root, folder))) {
    const path = posix.join(folder, name);
    const stat = statOf(join(root, path));
    if (stat === undefined) continue;
    yield describe('A', path, stat);
    if (stat.isDirectory()) yield* addedBelow(root, path);
  }
}

function isUntouched(now: BigIntStats, before: BigIntStats): boolean {
  return now.mtimeNs === before.mtimeNs && now.size === before.size && isSameOwner(now, before);
}

function isModified(file: string, now: BigIntStats, formerFile: string, before: BigIntStats): boolean {
  if (!isSameOwner(now, before)) return true;
  if (now.isDirectory()) return false;
  if (now.isSymbolicLink()) return readlinkSync(file) !== readlinkSync(formerFile);
  if (!now.isFile()) return now.rdev !== before.rdev;
  return now.size !== before.size || !haveSameBytes(file, formerFile);
}

function isSameOwner(now: BigIntStats, before: BigIntStats): boolean {
  return now.mode === before.mode && now.uid === before.uid && now.gid === before.gid;
}

function haveSameBytes(one: string, other: string): boolean {
  const [left, right] = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)];
  const files = [openSync(one, 'r'), openSync(other, 'r')] as const;
  try {
    for (;;) {
      const [a, b] = [readSync(files[0], left), readSync(files[1], right)];
      if (a !== b || !left.subarray(0, a).equals(right.subarray(0, b))) return false;
      if (a === 0) return true;
    }
  } finally {
    for (const file of files) closeSync(file);
  }
}

const CHUNK_BYTES = 256 * 1024;

function describe(change: ChangedFile['change'], path: string, stat: BigIntStats): ChangedFile {
  const mode = (Number(stat.mode) & 0o7777).toString(8).padStart(4, '0');
  return { change, type: typeOf(stat), mode, bytes: Number(stat.size), path };
}

function typeOf(stat: BigIntStats): FileType {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'folder';
  return stat.isSymbolicLink() ? 'link' : 'other';
}

/** None when it is no folder. A file may go while it is looked at. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function statOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch {
    // Not there, or a file stands where a folder would have to be.
    return undefined;
  }
}
