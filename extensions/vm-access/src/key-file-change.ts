/**
 * Changes one file of keys: makes the folders that are missing, mends what sshd would object to, and writes the file
 * whole. Says before each change how it is taken back.
 */
import type { BigIntStats } from 'node:fs';
import { posix } from 'node:path';
import type { UserAccount } from '@handlerkit/sdk';
import { HandlerError } from '@handlerkit/sdk';
import { addKeys, countKeys, formatLines, holdsOnlyKeys } from './authorized-keys-text.ts';
import { accessError } from './errors.ts';
import { copyAttributes, setDefaultLabel } from './file-attributes.ts';
import type { HeldFile } from './held-file.ts';
import { holdFile, removeFile, removeLeftovers, replaceFile, statEntry } from './held-file.ts';
import type { HeldFolder } from './held-folder.ts';
import { holdFolder, isSameFile, makeChild, modeOf, removeChild } from './held-folder.ts';
import type { Mend, OpenKeyFile } from './key-file.ts';
import { findFileMend, findFolderMend, MOST_KEY_FILE_BYTES, openKeyFile } from './key-file.ts';
import type { KeyFile, KeyLoginRules } from './key-login-rules.ts';
import type { SshKey } from './ssh-key.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/** What a file is to hold. */
export interface KeyFileContent {
  readonly file: KeyFile;
  readonly keys: readonly SshKey[];
  /** False: these keys and no others. */
  readonly keepsOthers: boolean;
}

/** For whom, and how. */
export interface KeyFileChange {
  readonly account: UserAccount;
  readonly rules: KeyLoginRules;
  readonly undo: Undo;
}

/** What was done to a file. */
export interface KeyFileOutcome {
  readonly isChanged: boolean;
  readonly added: readonly SshKey[];
  readonly restricted: readonly SshKey[];
  /** Keys that were in it and are no more. */
  readonly removedCount: number;
  /** What else was changed; for people. */
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
}

/** Checks that {@link writeKeyFile} can do its work; changes nothing, and throws what it would throw. */
export async function planKeyFile(
  { host }: StepContext,
  account: UserAccount,
  rules: KeyLoginRules,
  content: KeyFileContent,
): Promise<void> {
  const place = await openKeyFile(host, content.file, account, rules);
  try {
    await decide(place, account, rules, content);
  } finally {
    await place.close();
  }
}

/**
 * Gives a file its content. Throws `FILE_BUSY` when somebody else kept changing it, `PATH_UNSAFE`, `PATH_UNUSABLE`; what
 * was changed until then is in `undo`.
 */
export async function writeKeyFile(
  context: StepContext,
  change: KeyFileChange,
  content: KeyFileContent,
): Promise<KeyFileOutcome> {
  for (let attempt = 1; ; attempt += 1) {
    context.signal.throwIfAborted();
    try {
      return await writeOnce(context, change, content);
    } catch (thrown) {
      if (attempt === MOST_ATTEMPTS || !(thrown instanceof HandlerError) || thrown.code !== 'FILE_BUSY') {
        throw asAccessError(thrown, content.file.path);
      }
      await context.host.sleep(PAUSE_MS, context.signal);
    }
  }
}

const MOST_ATTEMPTS = 5;
const PAUSE_MS = 100;
const SSH_LABEL = 'ssh_home_t';

interface Decision {
  readonly content: Buffer;
  readonly added: readonly SshKey[];
  readonly restricted: readonly SshKey[];
  readonly isContentNew: boolean;
  readonly fileMend: ReturnType<typeof findFileMend>;
  readonly folderMends: readonly { readonly folder: HeldFolder; readonly mend: Mend }[];
}

/** What there is to do. Reads only. */
async function decide(
  place: OpenKeyFile,
  account: UserAccount,
  { isStrict }: KeyLoginRules,
  { keys, keepsOthers }: KeyFileContent,
): Promise<Decision> {
  const before = place.file?.content ?? Buffer.alloc(0);
  const edit = addKeys(before, keys);
  const content = keepsOthers ? edit.content : Buffer.from(formatLines(keys));
  if (content.length > MOST_KEY_FILE_BYTES) {
    throw accessError('PATH_UNUSABLE', `${place.path} would have more than ${MOST_KEY_FILE_BYTES} bytes`);
  }
  const folderMends: { folder: HeldFolder; mend: Mend }[] = [];
  for (const folder of place.usersFolders) {
    const mend = await findFolderMend(folder, place.name, account, isStrict);
    if (mend === undefined) continue;
    // A folder that becomes the user's lets the user read what is in it.
    if (mend.uid !== Number(folder.stats.uid) && !holdsOnlyKeys(before)) {
      throw accessError(
        'PATH_UNUSABLE',
        `${folder.path} belongs to root, ${account.name} cannot enter it, and ${place.name} in it holds more than keys; correct it or remove it`,
      );
    }
    folderMends.push({ folder, mend });
  }
  const isEmptied = keys.length === 0 && place.file === undefined;
  return {
    content,
    added: edit.added,
    restricted: keepsOthers ? edit.restricted : [],
    isContentNew: !isEmptied && (place.file === undefined || !content.equals(before)),
    fileMend: findFileMend(place, account, isStrict),
    folderMends,
  };
}

async function writeOnce(
  context: StepContext,
  { account, rules, undo }: KeyFileChange,
  content: KeyFileContent,
): Promise<KeyFileOutcome> {
  const place = await openKeyFile(context.host, content.file, account, rules);
  const made: HeldFolder[] = [];
  try {
    const decision = await decide(place, account, rules, content);
    const { fileMend, folderMends, isContentNew } = decision;
    const notes: string[] = [];
    const warnings: string[] = [];
    const last = place.folders.at(-1);
    if (last === undefined) throw accessError('PATH_UNUSABLE', `${place.path} has no folder`);
    for (const { folder, mend } of folderMends) {
      undo.add(`owner and mode of ${folder.path}`, () => restoreFolder(context, account, folder));
      await folder.handle.chown(mend.uid, mend.gid);
      await folder.handle.chmod(mend.mode);
      notes.push(`mended ${folder.path}: ${mend.reason}`);
    }
    const isRewritten = isContentNew || (place.file !== undefined && fileMend.reason !== undefined);
    if (isRewritten) {
      const folder = await makeMissing(context, place, account, undo, made, warnings);
      await removeLeftovers(folder, place.name);
      const memory: Memory = { written: undefined };
      undo.add(`the keys in ${place.path}`, () => restoreFile(context, account, content.file, memory));
      memory.before = place.file;
      memory.written = await replaceFile(folder, place.name, decision.content, {
        ...fileMend,
        before: place.file,
        dress: async (programPath) => {
          const warning =
            place.file === undefined
              ? await setDefaultLabel(context, {
                  programPath,
                  path: place.path,
                  kind: 'file',
                  fallbackType: place.isInHome ? SSH_LABEL : undefined,
                })
              : await copyAttributes(context, place.file.programPath, programPath);
          if (warning !== undefined) warnings.push(warning);
        },
      });
      if (fileMend.reason !== undefined) notes.push(`mended ${place.path}: ${fileMend.reason}`);
      notes.push(...made.map(({ path }) => `made ${path}`));
    }
    const before = countKeys(place.file?.content ?? Buffer.alloc(0));
    const kept = content.keys.length - decision.added.length;
    return {
      isChanged: isRewritten || folderMends.length > 0,
      added: decision.added,
      restricted: decision.restricted,
      removedCount: content.keepsOthers ? 0 : Math.max(0, before - kept),
      notes,
      warnings,
    };
  } finally {
    for (const folder of made) await folder.close();
    await place.close();
  }
}

/** What is needed to take a write back. */
interface Memory {
  written: BigIntStats | undefined;
  before?: OpenKeyFile['file'];
}

/** Makes the folders that are missing, each the user's own in a home, and like its parent elsewhere. Gives the last one. */
async function makeMissing(
  context: StepContext,
  place: OpenKeyFile,
  account: UserAccount,
  undo: Undo,
  made: HeldFolder[],
  warnings: string[],
): Promise<HeldFolder> {
  let folder = place.folders.at(-1);
  if (folder === undefined) throw accessError('PATH_UNUSABLE', `${place.path} has no folder`);
  for (const name of place.missing) {
    const parent: HeldFolder = folder;
    const isUsers = place.isInHome || parent.stats.uid === BigInt(account.uid);
    const owner = isUsers ? account : { uid: 0, gid: 0 };
    const path = posix.join(parent.path, name);
    const memory: Memory = { written: undefined };
    undo.add(`the new folder ${path}`, () => removeMade(context, account, path, memory));
    folder = await makeChild(parent, name, owner, isUsers ? 0o700 : 0o755);
    made.push(folder);
    memory.written = folder.stats;
    const warning = await setDefaultLabel(context, {
      programPath: folder.programPath,
      path,
      kind: 'dir',
      fallbackType: place.isInHome && name.startsWith('.') ? SSH_LABEL : undefined,
    });
    if (warning !== undefined) warnings.push(warning);
  }
  return folder;
}

/** Gives a folder back the owner and mode that it had, if it is still there. */
async function restoreFolder(context: StepContext, account: UserAccount, before: HeldFolder): Promise<void> {
  const folder = await holdFolder(context.host, before.path, account);
  try {
    if (folder === undefined || !isSameFile(folder.stats, before.stats)) {
      throw accessError('FILE_BUSY', `${before.path} is another folder now`);
    }
    await folder.handle.chown(Number(before.stats.uid), Number(before.stats.gid));
    await folder.handle.chmod(modeOf(before.stats));
  } finally {
    await folder?.close();
  }
}

async function removeMade(
  context: StepContext,
  account: UserAccount,
  path: string,
  { written }: Memory,
): Promise<void> {
  if (written === undefined) return;
  const parent = await holdFolder(context.host, posix.dirname(path), account);
  try {
    const name = posix.basename(path);
    const found = parent && (await statEntry(parent, name));
    if (parent === undefined || found === undefined) return;
    if (!isSameFile(found, written)) throw accessError('FILE_BUSY', `${path} is another folder now`);
    await removeChild(parent, name);
  } finally {
    await parent?.close();
  }
}

/** Puts the old file back, unless somebody else has changed it since. */
async function restoreFile(
  context: StepContext,
  account: UserAccount,
  { path }: KeyFile,
  { written, before }: Memory,
): Promise<void> {
  if (written === undefined) return;
  const folder = await holdFolder(context.host, posix.dirname(path), account);
  if (folder === undefined) return;
  const name = posix.basename(path);
  let file: HeldFile | undefined;
  try {
    file = await holdFile(folder, name, { owner: account, limitBytes: MOST_KEY_FILE_BYTES });
    if (file === undefined) return;
    const current = file;
    if (!isSameFile(file.stats, written) || file.stats.mtimeNs !== written.mtimeNs) {
      throw accessError('FILE_BUSY', `${path} was changed by somebody else since`);
    }
    if (before === undefined) await removeFile(folder, name, file.stats);
    else {
      await replaceFile(folder, name, before.content, {
        uid: Number(before.stats.uid),
        gid: Number(before.stats.gid),
        mode: modeOf(before.stats),
        before: file,
        dress: async (programPath) => {
          await copyAttributes(context, current.programPath, programPath);
        },
      });
    }
  } finally {
    await file?.close();
    await folder.close();
  }
}

/** Says in words what the system says in a code. */
function asAccessError(thrown: unknown, path: string): unknown {
  if (thrown instanceof HandlerError || !(thrown instanceof Error) || !('code' in thrown)) return thrown;
  const advice =
    thrown.code === 'ENOSPC' || thrown.code === 'EDQUOT'
      ? 'make room on its disk'
      : 'look at its disk (read-only?) and its attributes (lsattr)';
  return accessError('PATH_UNUSABLE', `${path} cannot be written (${String(thrown.code)}); ${advice}`, {
    cause: thrown,
  });
}
