/**
 * One change of sshd's configuration from end to end: backup, files, the proof that sshd accepts them, the service, and
 * the way back. Reset and restore differ only in what they put there.
 */
import { checkSshdConfig } from './effective-sshd.ts';
import type { SshdBackup } from './sshd-backup.ts';
import { closeBackup, makeBackup, putBack, removeBackup } from './sshd-backup.ts';
import { removeSshdFile, writeSshdFile } from './sshd-files.ts';
import { ensureHostKeys } from './sshd-host-keys.ts';
import type { AppliedSshd } from './sshd-service.ts';
import { applySshdConfig, isSshdRunning } from './sshd-service.ts';
import type { FileChanges } from './sshd-tree.ts';
import { hostFiles, listFiles, readSshdTree } from './sshd-tree.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/** What is to be done. */
export interface SshdChange {
  /** One word; it becomes part of the name of the backup. */
  readonly reason: string;
  readonly changes: FileChanges;
  /** Where the new files come from with mode, owner and attributes; default: their texts, written anew. */
  readonly from?: SshdBackup;
}

/** What was done. */
export interface MadeChange extends AppliedSshd {
  /** Folder with the configuration as it was; `undefined` when no file had to be changed. */
  readonly backupFolder: string | undefined;
  /** What was done to host keys, for people. */
  readonly hostKeys: readonly string[];
}

/** Makes the change, and starts sshd when it does not run. Throws when sshd refuses or does not listen; `undo` knows the way back. */
export async function changeSshd(context: StepContext, change: SshdChange, undo: Undo): Promise<MadeChange> {
  const { changes, reason, from } = change;
  const paths = [...changes.keys()];
  const backup =
    paths.length === 0 ? undefined : await makeBackup(context, reason, allFiles(context), changes);
  const wasRunning = await isSshdRunning(context);
  undo.add("sshd's configuration", () => takeBack(context, backup, paths, wasRunning));
  if (from !== undefined) await putBack(context, from, paths);
  else {
    for (const [path, text] of changes) {
      if (text === undefined) removeSshdFile(context.host, path);
      else await writeSshdFile(context, path, text);
    }
  }
  const hostKeys = await ensureHostKeys(context, undo);
  const applied = await applySshdConfig(context, { start: true });
  if (backup !== undefined) {
    undo.afterSuccess("the backup of sshd's configuration", async () => closeBackup(context, backup));
  }
  return { ...applied, backupFolder: backup?.folder, hostKeys };
}

/**
 * Makes sshd read files again that were put back. A configuration that sshd refused before this run is put back too, but
 * an sshd that runs is not told of it: it would end. `start`: sshd ran before this run, and is started if it has ended.
 */
export async function applyFormerConfig(context: StepContext, start: boolean): Promise<void> {
  const problem = await checkSshdConfig(context);
  if (problem === undefined) await applySshdConfig(context, { start });
  else context.log.warn('sshd was not told of its former configuration', { problem: problem.text });
}

async function takeBack(
  context: StepContext,
  backup: SshdBackup | undefined,
  paths: readonly string[],
  wasRunning: boolean,
): Promise<void> {
  if (backup !== undefined) await putBack(context, backup, paths);
  await applyFormerConfig(context, wasRunning);
  if (backup !== undefined) removeBackup(context, backup);
}

/** What is read now and can be changed: the backup has it too, for people. */
function allFiles(context: StepContext): readonly string[] {
  return listFiles(readSshdTree(hostFiles(context.host)))
    .map(({ path }) => path)
    .filter((path) => path.startsWith('/etc/'));
}
