/**
 * The file in which sshd looks for a user's keys, with the folders that lead to it, all of them held: what is there, what
 * is missing, and what sshd would object to. Reads only.
 *
 * Source: sshd(8), FILES, ~/.ssh/authorized_keys; sshd_config(5), StrictModes.
 */
import { posix } from 'node:path';
import type { Host, UserAccount } from '@handlerkit/sdk';
import { holdsOnlyKeys } from './authorized-keys-text.ts';
import { accessError } from './errors.ts';
import type { HeldFile } from './held-file.ts';
import { holdFile } from './held-file.ts';
import type { FolderOwner, HeldFolder } from './held-folder.ts';
import { holdChild, holdFolder, listFolder, modeOf, WRITABLE_BY_OTHERS } from './held-folder.ts';
import type { KeyFile, KeyLoginRules } from './key-login-rules.ts';

/** The file and its folders, held open until {@link OpenKeyFile.close}. */
export interface OpenKeyFile {
  readonly path: string;
  /** Last component of the path. */
  readonly name: string;
  readonly isInHome: boolean;
  /** What is there, from the home on, or the folder of the file outside of it; the first one always is. */
  readonly folders: readonly HeldFolder[];
  /** Of these, the home and those in it: the ones to mend. */
  readonly usersFolders: readonly HeldFolder[];
  /** Folders to make in the last of them. */
  readonly missing: readonly string[];
  readonly file: HeldFile | undefined;
  close(): Promise<void>;
}

/** Owner and mode that a file or folder needs, and what is wrong with those that it has. */
export interface Mend extends FolderOwner {
  readonly mode: number;
  readonly reason: string;
}

/** Bytes that a file of keys may have: thousands of keys. */
export const MOST_KEY_FILE_BYTES = 1024 * 1024;

/** Opens what is there of a file of keys. Throws `PATH_UNSAFE` and `PATH_UNUSABLE`. The caller closes it. */
export async function openKeyFile(
  host: Host,
  { path }: KeyFile,
  account: UserAccount,
  rules: Pick<KeyLoginRules, 'isStrict'>,
): Promise<OpenKeyFile> {
  const home = posix.normalize(account.home).replace(/\/$/, '');
  const isInHome = path.startsWith(`${home}/`);
  if (isInHome && NO_HOMES.has(home)) {
    throw accessError(
      'PATH_UNUSABLE',
      `${account.name} has no home of its own (${account.home}), where sshd looks for keys`,
    );
  }
  const folders: HeldFolder[] = [];
  const close = async (): Promise<void> => {
    for (const folder of folders.splice(0)) await folder.close();
  };
  try {
    const begin = isInHome
      ? await holdHome(host, home, account)
      : await holdOutside(host, posix.dirname(path), account, rules);
    folders.push(begin.folder);
    const missing = [...begin.missing];
    const inside = isInHome ? posix.dirname(path).slice(home.length).split('/').filter(Boolean) : [];
    for (const name of inside) {
      const last = folders.at(-1);
      const next =
        missing.length > 0 || last === undefined ? undefined : await holdChild(last, name, account);
      if (next === undefined) missing.push(name);
      else folders.push(next);
    }
    const name = posix.basename(path);
    const last = folders.at(-1);
    const file =
      missing.length > 0 || last === undefined
        ? undefined
        : await holdFile(last, name, { owner: account, limitBytes: MOST_KEY_FILE_BYTES });
    const closeAll = async (): Promise<void> => {
      await file?.close();
      await close();
    };
    const isHomeThere = isInHome && begin.missing.length === 0;
    const usersFolders = isHomeThere ? [...folders] : [];
    return { path, name, isInHome, folders: [...folders], usersFolders, missing, file, close: closeAll };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/**
 * What sshd or the user needs of a folder; `undefined` when it is fine. Throws `PATH_UNUSABLE` when it is not the
 * user's, and therefore not to be changed.
 */
export async function findFolderMend(
  folder: HeldFolder,
  fileName: string,
  account: UserAccount,
  isStrict: boolean,
): Promise<Mend | undefined> {
  const { uid, gid } = account;
  const { path } = folder;
  const stats = await folder.handle.stat({ bigint: true });
  const mode = modeOf(stats);
  if (stats.uid === BigInt(uid)) {
    const needed = (isStrict ? mode & ~WRITABLE_BY_OTHERS : mode) | ENTER;
    if (needed === mode) return undefined;
    const reason =
      needed & ~mode ? 'its owner could not enter it' : 'others than its owner could write to it';
    return { uid, gid: Number(stats.gid), mode: needed, reason };
  }
  if (isStrict && (mode & WRITABLE_BY_OTHERS) !== 0) {
    throw accessError(
      'PATH_UNUSABLE',
      `${path} belongs to root and others may write to it, so sshd takes no keys from it; correct its mode`,
    );
  }
  if (isOpenTo(mode, Number(stats.gid), account, 0o1)) return undefined;
  // Only such a folder can be given away: nothing in it is anybody's secret.
  const names = await listFolder(folder);
  if (names.every((name) => name === fileName)) {
    return { uid, gid, mode: 0o700, reason: `it belonged to root, and ${account.name} could not enter it` };
  }
  throw accessError(
    'PATH_UNUSABLE',
    `${path} belongs to root, and ${account.name} cannot enter it; give it to the user (chown) or open it`,
  );
}

/** Owner and mode that the file must have, whether it is there or not. Throws `PATH_UNUSABLE`. */
export function findFileMend(
  place: OpenKeyFile,
  account: UserAccount,
  isStrict: boolean,
): FolderOwner & { readonly mode: number; readonly reason: string | undefined } {
  const { uid, gid } = account;
  const { file } = place;
  if (file === undefined) {
    const owner = place.folders.at(-1)?.stats.uid;
    // Where root keeps the keys of all users, they are not the user's to change.
    if (!place.isInHome && owner === 0n) return { uid: 0, gid: 0, mode: 0o644, reason: undefined };
    return { uid, gid, mode: 0o600, reason: undefined };
  }
  const { stats } = file;
  const mode = modeOf(stats) & 0o777;
  const safe = isStrict ? mode & ~WRITABLE_BY_OTHERS : mode;
  const keptGid = Number(stats.gid);
  if (stats.uid === BigInt(uid)) {
    const needed = safe | 0o400;
    const reason = needed === mode ? undefined : `its mode was ${mode.toString(8)}`;
    return { uid, gid: keptGid, mode: needed, reason };
  }
  if (isOpenTo(mode, keptGid, account, 0o4)) {
    return {
      uid: 0,
      gid: keptGid,
      mode: safe,
      reason: safe === mode ? undefined : `its mode was ${mode.toString(8)}`,
    };
  }
  if (!holdsOnlyKeys(file.content)) {
    throw accessError(
      'PATH_UNUSABLE',
      `${file.path} belongs to root, ${account.name} cannot read it, and it holds more than keys; correct it or remove it`,
    );
  }
  return { uid, gid, mode: 0o600, reason: `it belonged to root, and ${account.name} could not read it` };
}

/** Read, write and enter, for the owner. */
const ENTER = 0o700;
/** Homes of accounts that have none. */
const NO_HOMES: ReadonlySet<string> = new Set(['', '/nonexistent', '/dev/null', '/dev', '/proc']);

interface Begin {
  readonly folder: HeldFolder;
  readonly missing: readonly string[];
}

/** The home, or the folder in which it has to be made. */
async function holdHome(host: Host, home: string, account: UserAccount): Promise<Begin> {
  const folder = await holdFolder(host, home, account);
  if (folder !== undefined) return { folder, missing: [] };
  const parent = await holdFolder(host, posix.dirname(home), account);
  if (parent !== undefined) return { folder: parent, missing: [posix.basename(home)] };
  throw accessError(
    'PATH_UNUSABLE',
    `the home of ${account.name} (${home}) and its folder are not there; is a disk not mounted?`,
  );
}

async function holdOutside(
  host: Host,
  path: string,
  account: UserAccount,
  { isStrict }: Pick<KeyLoginRules, 'isStrict'>,
): Promise<Begin> {
  const missing: string[] = [];
  for (let at = path; ; at = posix.dirname(at)) {
    const open: string[] = [];
    const folder = await holdFolder(host, at, account, ({ path: passed, stats }) => {
      if ((modeOf(stats) & WRITABLE_BY_OTHERS) !== 0) open.push(passed);
    });
    if (folder === undefined) {
      missing.unshift(posix.basename(at));
      continue;
    }
    if (!isStrict || open.length === 0) return { folder, missing };
    await folder.close();
    throw accessError(
      'PATH_UNUSABLE',
      `others may write to ${open.join(', ')}, so sshd takes no keys from ${path}; correct its mode`,
    );
  }
}

/** Whether the user may do something in or with what is root's, as far as modes say; groups beside the own one do not count. */
function isOpenTo(mode: number, gid: number, account: UserAccount, bit: number): boolean {
  return ((gid === account.gid ? mode >> 3 : mode) & bit) !== 0;
}
