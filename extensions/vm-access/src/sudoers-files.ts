/**
 * The files of sudo's rules: where they are, and writing one whole after `visudo` has read it. A file is in its place with
 * its owner and mode (root's, 0440) or not at all. Source: sudoers(5), visudo(8).
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { posix } from 'node:path';
import { HandlerError, readTextIfThere } from '@handlerkit/sdk';
import { accessError } from './errors.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/** Where sudo's rules are. */
export interface SudoersPlace {
  /** The main file that is read. */
  readonly main: string;
  /** Where the main file is written: a vendor's in `/usr` is replaced by one in `/etc`. */
  readonly mainTarget: string;
  /** Folder of the files of rules. */
  readonly folder: string;
  /** False: the main file does not read that folder yet. */
  readonly isIncluded: boolean;
}

/** Asks sudo for its main file, and the main file for its folder. Throws `SUDO_UNUSABLE` when there is none. */
export async function findSudoers(context: StepContext): Promise<SudoersPlace> {
  const { host } = context;
  const stdout = await askVersion(context);
  const said = /^Sudoers path: (\/.*)$/m.exec(stdout)?.[1]?.split(':') ?? [];
  const own = /^sudo-rs /m.test(stdout) ? ['/etc/sudoers-rs'] : [];
  const paths = [...own, ...said, '/etc/sudoers', '/usr/etc/sudoers'];
  const main = paths.find((path) => lstatSync(host.path(path), { throwIfNoEntry: false }) !== undefined);
  if (main === undefined) {
    throw accessError('SUDO_UNUSABLE', 'sudo has no /etc/sudoers; install the package sudo again');
  }
  const folders = readIncludedFolders(readFileSync(host.path(main), 'utf8'));
  const folder = folders.includes(DEFAULT_FOLDER) ? DEFAULT_FOLDER : folders.at(-1);
  return {
    main,
    mainTarget: main.startsWith('/usr/') ? '/etc/sudoers' : main,
    folder: folder ?? DEFAULT_FOLDER,
    isIncluded: folder !== undefined,
  };
}

/** What `visudo` says against the rules as they are; `undefined`: nothing. */
export async function findSudoersFault(context: StepContext): Promise<string | undefined> {
  return askVisudo(context, ['-c']);
}

/**
 * Replaces a file of rules, or makes it, after `visudo` has read the text alone. Says to `undo` how the former one comes
 * back. Throws `SUDO_UNUSABLE` for a text that `visudo` refuses; then nothing is changed.
 */
export async function writeSudoersFile(
  context: StepContext,
  path: string,
  text: string,
  undo: Undo,
): Promise<void> {
  const { host } = context;
  const before = readSudoersFile(context, path);
  const temporary = temporaryName(path);
  undo.add(`the rules of sudo in ${path}`, async () => {
    removeIfThere(host.path(temporary));
    if (before === undefined) removeIfThere(host.path(path));
    else putFile(context, path, before);
  });
  try {
    putFile(context, temporary, { text: Buffer.from(text), mode: MODE, uid: 0, gid: 0 });
  } catch (thrown) {
    if (!(thrown instanceof Error) || !('code' in thrown)) throw thrown;
    const why = `${path} cannot be written (${String(thrown.code)})`;
    const advice = 'its disk may be full or read-only; mend that and try again';
    throw accessError('SUDO_UNUSABLE', `${why}; ${advice}`, { cause: thrown });
  }
  const fault = await askVisudo(context, ['-c', '-f', temporary]);
  if (fault !== undefined) {
    rmSync(host.path(temporary), { force: true });
    throw accessError('SUDO_UNUSABLE', `visudo does not take the rules for ${path}: ${fault}`);
  }
  renameSync(host.path(temporary), host.path(path));
}

/** Removes a file of rules; says to `undo` how it comes back. */
export function removeSudoersFile(context: StepContext, path: string, undo: Undo): void {
  const before = readSudoersFile(context, path);
  if (before === undefined) return;
  undo.add(`the rules of sudo in ${path}`, async () => putFile(context, path, before));
  rmSync(context.host.path(path), { force: true });
}

/** Makes the folder of rules and lets the main file read it, where it does not. */
export async function includeFolder(context: StepContext, place: SudoersPlace, undo: Undo): Promise<void> {
  const { host } = context;
  const { folder, main, mainTarget, isIncluded } = place;
  if (lstatSync(host.path(folder), { throwIfNoEntry: false }) === undefined) {
    undo.add(`the folder ${folder}`, async () => rmdirSync(host.path(folder)));
    mkdirSync(host.path(folder), { mode: 0o750 });
  }
  if (isIncluded) return;
  const text = readTextIfThere(host.path(main)) ?? '';
  const end = text === '' || text.endsWith('\n') ? '' : '\n';
  // The old form, which every version reads.
  await writeSudoersFile(context, mainTarget, `${text}${end}#includedir ${folder}\n`, undo);
}

/** Folders that a main file reads, in its order. Source: sudoers(5), "Including other files from within sudoers". */
export function readIncludedFolders(text: string): readonly string[] {
  return [...text.matchAll(/^\s*[#@]includedir\s+"?((?:\\.|[^\s"\\])+)/gm)].map(([, path = '']) =>
    posix.normalize(path.replace(/\\(.)/g, '$1')).replace(/(?<=.)\/$/, ''),
  );
}

/** What it says of itself; nothing where it does not even do that, because of the mode of a file. */
async function askVersion(context: StepContext): Promise<string> {
  try {
    return (await context.run(['sudo', '-V'], { timeoutMs: LIMIT_MS })).stdout;
  } catch (thrown) {
    context.signal.throwIfAborted();
    if (thrown instanceof HandlerError && thrown.code === 'COMMAND_FAILED') return '';
    throw thrown;
  }
}

const DEFAULT_FOLDER = '/etc/sudoers.d';
const MODE = 0o440;
/** sudo looks up the name of the host first, which takes half a minute when the name server does not answer. */
const LIMIT_MS = 120_000;

interface KeptFile {
  readonly text: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

function readSudoersFile({ host }: StepContext, path: string): KeptFile | undefined {
  const stats = lstatSync(host.path(path), { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  if (!stats.isFile()) throw accessError('SUDO_UNUSABLE', `${path} is no file; remove it and try again`);
  const { uid, gid, mode } = stats;
  return { text: readFileSync(host.path(path)), mode: mode & 0o7777, uid, gid };
}

/** A name with a dot, which sudo never reads; always the same, so that one of a killed run is written over. */
function temporaryName(path: string): string {
  return posix.join(posix.dirname(path), `.${posix.basename(path)}.handlerkit-new`);
}

/** On a disk that is read-only even the removal of what is not there fails. */
function removeIfThere(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) rmSync(path, { force: true });
}

function putFile({ host }: StepContext, path: string, { text, mode, uid, gid }: KeptFile): void {
  const target = host.path(path);
  const temporary = host.path(temporaryName(path));
  removeIfThere(temporary);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = openSync(temporary, flags, 0o400);
  try {
    writeFileSync(file, text);
    fchownSync(file, uid, gid);
    fchmodSync(file, mode);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, target);
}

/** What it says against the rules, in one line; also about owners and modes that sudo refuses. */
async function askVisudo(context: StepContext, options: readonly string[]): Promise<string | undefined> {
  try {
    await context.run(['visudo', ...options], { timeoutMs: 30_000 });
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof HandlerError) || thrown.code !== 'COMMAND_FAILED') throw thrown;
    return thrown.message.replace(/^visudo failed with exit code \d+: /, '').replace(/\s*\n\s*/g, ' ');
  }
}
