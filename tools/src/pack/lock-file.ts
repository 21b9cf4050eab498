/**
 * The integrity hashes that npm's lock files have of the bundled packages.
 * Source: npm "package-lock.json" (`packages`, `integrity`, the hidden lock file); Subresource Integrity 3.5.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import * as z from 'zod';
import type { BundledPackage } from './licenses.ts';

/**
 * The integrity of each package that a lock file knows in this place and version, by the package's folder. A package that
 * is linked from a workspace has none.
 */
export async function findIntegrities(
  packages: readonly Pick<BundledPackage, 'folder' | 'version'>[],
): Promise<ReadonlyMap<string, string>> {
  const locks = new Map<string, Promise<Lock | undefined>>();
  const found = new Map<string, string>();
  for (const { folder, version } of packages) {
    for (const root of rootsOf(folder)) {
      const lock = locks.get(root) ?? readLock(root);
      locks.set(root, lock);
      const entry = (await lock)?.packages[relative(root, folder)];
      if (entry?.integrity === undefined || entry.version !== version) continue;
      found.set(folder, entry.integrity);
      break;
    }
  }
  return found;
}

const Lock = z.looseObject({
  packages: z.record(
    z.string(),
    z.looseObject({ version: z.string().optional(), integrity: z.string().optional() }),
  ),
});
type Lock = z.infer<typeof Lock>;

/** What an author commits first; the hidden one is npm's own note of what it installed. */
const LOCK_FILES = ['npm-shrinkwrap.json', 'package-lock.json', 'node_modules/.package-lock.json'];

/** The folders whose `node_modules` hold the package, the nearest first. */
function rootsOf(folder: string): readonly string[] {
  const roots: string[] = [];
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    if (at.endsWith('/node_modules')) roots.push(dirname(at));
  }
  return roots;
}

async function readLock(root: string): Promise<Lock | undefined> {
  for (const name of LOCK_FILES) {
    const text = await readFile(join(root, name), 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const lock = Lock.safeParse(parseOrNothing(text));
    if (lock.success) return lock.data;
  }
  return undefined;
}

function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
