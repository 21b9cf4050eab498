/**
 * The configuration of sshd as a tree of files: the main one and what it includes, in the order in which sshd reads them,
 * each directive with the `Match` conditions that it stands under. It can be built over changes that are not made yet.
 * Source: sshd_config(5).
 */
import { readdirSync } from 'node:fs';
import type { Host } from '@handlerkit/sdk';
import { readTextIfThere } from '@handlerkit/sdk';
import type { SshdDirective } from './sshd-config.ts';
import { parseSshdConfig } from './sshd-config.ts';
import { expandInclude } from './sshd-pattern.ts';

/** Files as they are, or as they are to be. */
export interface SshdFiles {
  /** Text of a file, `undefined` when there is none. */
  read(path: string): string | undefined;
  /** Names in a folder; none when there is no such folder. */
  list(folder: string): readonly string[];
}

/** Texts by path; `undefined` for a file that is to go. */
export type FileChanges = ReadonlyMap<string, string | undefined>;

/** One file with what it includes. */
export interface SshdFile {
  readonly path: string;
  readonly text: string;
  readonly directives: readonly SshdDirective[];
  /** Files that the `Include` of a line reads, by the number of the line. */
  readonly includes: ReadonlyMap<number, readonly SshdFile[]>;
}

/** A directive with its place. */
export interface LocatedDirective extends SshdDirective {
  readonly file: string;
  /** Conditions of every `Match` around it, the outermost first; none: it holds for everybody. */
  readonly conditions: readonly string[];
}

/** The main file, and the one that stands in for it on systems that keep their own below `/usr`. */
export const MAIN_FILE = '/etc/ssh/sshd_config';
export const VENDOR_MAIN_FILE = '/usr/etc/ssh/sshd_config';

/** The files of the VM. */
export function hostFiles(host: Host): SshdFiles {
  return {
    read: (path) => {
      try {
        return readTextIfThere(host.path(path));
      } catch {
        // A folder, or a path through a file: sshd reads nothing there either.
        return undefined;
      }
    },
    list: (folder) => {
      try {
        return readdirSync(host.path(folder));
      } catch {
        return [];
      }
    },
  };
}

/** The files as they would be after `changes`. */
export function changedFiles(files: SshdFiles, changes: FileChanges): SshdFiles {
  return {
    read: (path) => (changes.has(path) ? changes.get(path) : files.read(path)),
    list: (folder) => {
      const names = new Set(files.list(folder));
      for (const [path, text] of changes) {
        const at = path.lastIndexOf('/');
        if (path.slice(0, at) !== folder) continue;
        if (text === undefined) names.delete(path.slice(at + 1));
        else names.add(path.slice(at + 1));
      }
      return [...names];
    },
  };
}

/** The file that sshd reads first. */
export function findMainFile(files: SshdFiles): string {
  const isVendors = files.read(MAIN_FILE) === undefined && files.read(VENDOR_MAIN_FILE) !== undefined;
  return isVendors ? VENDOR_MAIN_FILE : MAIN_FILE;
}

/** Reads the main file and all that it includes. A file that is missing is an empty one. */
export function readSshdTree(files: SshdFiles, path: string = findMainFile(files), depth = 0): SshdFile {
  const text = files.read(path) ?? '';
  const directives = parseSshdConfig(text);
  const includes = new Map<number, readonly SshdFile[]>();
  for (const { keyword, args, line } of directives) {
    if (keyword !== 'include' || depth >= DEEPEST) continue;
    const paths = args.flatMap((arg) => expandInclude(arg, files.list));
    const present = paths.filter((included) => files.read(included) !== undefined);
    includes.set(
      line,
      present.map((included) => readSshdTree(files, included, depth + 1)),
    );
  }
  return { path, text, directives, includes };
}

/** All directives in the order in which sshd reads them. A `Match` ends with its file, or at the next one. */
export function listDirectives(file: SshdFile, outer: readonly string[] = []): readonly LocatedDirective[] {
  let conditions = outer;
  return file.directives.flatMap((directive) => {
    if (directive.keyword === 'match') conditions = [...outer, directive.args.join(' ')];
    const included = file.includes.get(directive.line) ?? [];
    return [
      { ...directive, file: file.path, conditions },
      ...included.flatMap((child) => listDirectives(child, conditions)),
    ];
  });
}

/** Every file of the tree once, in the order in which they are read first. */
export function listFiles(file: SshdFile): readonly SshdFile[] {
  const found = new Map<string, SshdFile>();
  const visit = (visited: SshdFile): void => {
    if (!found.has(visited.path)) found.set(visited.path, visited);
    for (const children of visited.includes.values()) children.forEach(visit);
  };
  visit(file);
  return [...found.values()];
}

/** sshd goes no deeper. */
const DEEPEST = 16;
