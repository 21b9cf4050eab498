/**
 * The book of a secrets campaign: every file and every output that is shown to it is searched for all canaries. A find counts as a leak
 * unless the place is declared to hold it; files of a handler are also judged by mode and owner.
 */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Canaries } from './canaries.ts';
import type { Leak } from './leak-search.ts';
import { createLeakSearch } from './leak-search.ts';

/** A place that may hold canaries, with the reason. */
export interface DeclaredHolder {
  /** Of the place's name. */
  readonly place: RegExp;
  /** Which fields' canaries; default: all. */
  readonly fields?: RegExp;
  readonly why: string;
  /** Modes that such a file may have; none for what is no file. */
  readonly modes?: readonly number[];
}

/** How files of a tree have to be. The first rule whose pattern fits the path below the root counts. */
export interface ModeRule {
  readonly path: RegExp;
  /** `undefined`: not the handler's, or nothing that matters. */
  readonly modes?: readonly number[];
  /** Who may own it; default: root alone. */
  readonly owners?: readonly number[];
}

export interface Ledger {
  /** Searches what a program has said, or a request. */
  text(place: string, text: string | Buffer): void;
  /** Searches names, links and contents of all files below a folder that are new or changed since the last time. */
  tree(place: string, root: string): void;
  /** A large file that the campaign itself has made: its content is not searched. */
  know(path: string): void;
  /** Notes something that was found by other means. */
  note(place: string, leak: Leak): void;
  /** Judges modes and owners below a folder. */
  modes(place: string, root: string, rules: readonly ModeRule[]): void;
  /** One line each. */
  readonly leaks: readonly string[];
  readonly wrongModes: readonly string[];
  /** Declared finds by the reason of their place. */
  readonly declared: ReadonlyMap<string, number>;
  readonly counts: {
    readonly files: number;
    readonly bytes: number;
    readonly outputs: number;
    readonly judged: number;
  };
}

export function createLedger(canaries: Canaries, holders: readonly DeclaredHolder[]): Ledger {
  const leaks: string[] = [];
  const wrongModes: string[] = [];
  const declared = new Map<string, number>(holders.map(({ why }) => [why, 0]));
  const counts = { files: 0, bytes: 0, outputs: 0, judged: 0 };
  /** Files that were searched, by path, and large contents that held nothing, by digest. */
  const known = new Map<string, string>();
  const clean = new Set<string>();
  let search = createLeakSearch(canaries);
  let planted = canaries.all.length;

  const find = (bytes: Buffer): readonly Leak[] => {
    if (planted !== canaries.all.length) {
      planted = canaries.all.length;
      search = createLeakSearch(canaries);
    }
    return search(bytes);
  };
  const note = (place: string, leak: Leak, mode?: number): void => {
    const field = leak.canary?.field ?? '?';
    const holder = holders.find((one) => one.place.test(place) && (one.fields?.test(field) ?? true));
    if (holder === undefined) {
      leaks.push(`${place}: ${field} (${leak.form}): ${JSON.stringify(leak.context)}`);
      return;
    }
    declared.set(holder.why, (declared.get(holder.why) ?? 0) + 1);
    if (mode !== undefined && holder.modes?.includes(mode & 0o7777) === false) {
      wrongModes.push(`${place} has mode ${(mode & 0o7777).toString(8)} and holds ${field}`);
    }
  };
  const searchFile = (place: string, path: string, mode: number): void => {
    const bytes = readIfThere(path);
    if (bytes === undefined) return;
    counts.files++;
    counts.bytes += bytes.length;
    const digest = bytes.length > LARGE ? digestOf(bytes) : '';
    if (clean.has(digest)) return;
    const found = find(bytes);
    for (const leak of found) note(place, leak, mode);
    if (digest !== '' && found.length === 0) clean.add(digest);
  };
  return {
    leaks,
    wrongModes,
    declared,
    counts,
    text: (place, text) => {
      counts.outputs++;
      for (const leak of find(Buffer.from(text))) note(place, leak);
    },
    note,
    know: (path) => {
      clean.add(digestOf(readFileSync(path)));
    },
    tree: (label, root) => {
      for (const path of walk(root)) {
        const place = `${label}:${relative(root, path)}`;
        const stat = lstatIfThere(path);
        if (stat === undefined) continue;
        const state = `${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.mode}`;
        if (known.get(path) === state) continue;
        known.set(path, state);
        for (const leak of find(Buffer.from(relative(root, path)))) note(`name of ${place}`, leak);
        if (stat.isSymbolicLink()) {
          for (const leak of find(Buffer.from(readlinkSync(path)))) note(`link ${place}`, leak);
        }
        if (stat.isFile()) searchFile(place, path, stat.mode);
      }
    },
    modes: (label, root, rules) => {
      for (const path of walk(root)) {
        const stat = lstatIfThere(path);
        if (stat === undefined || stat.isSymbolicLink() || stat.isCharacterDevice()) continue;
        const rule = rules.find((one) => one.path.test(`/${relative(root, path)}`));
        const wanted = rule === undefined ? (stat.isDirectory() ? [0o700] : [0o600]) : rule.modes;
        if (wanted === undefined) continue;
        counts.judged++;
        const mode = stat.mode & 0o7777;
        const shown = `${label}:${relative(root, path)}`;
        if (!wanted.includes(mode)) wrongModes.push(`${shown} has mode ${mode.toString(8)}`);
        if (!(rule?.owners ?? [0]).includes(stat.uid)) wrongModes.push(`${shown} belongs to ${stat.uid}`);
      }
    },
  };
}

/** Larger contents are searched once, however often they are there. */
const LARGE = 256 * 1024;

/** All below a folder, and itself. What vanishes meanwhile is left out. */
function* walk(root: string): Generator<string> {
  const stat = lstatIfThere(root);
  if (stat === undefined) return;
  yield root;
  if (!stat.isDirectory()) return;
  for (const name of namesIn(root)) yield* walk(join(root, name));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function lstatIfThere(path: string) {
  return lstatSync(path, { throwIfNoEntry: false });
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
