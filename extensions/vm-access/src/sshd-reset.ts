/**
 * Resets sshd's configuration to the distribution's default, and brings a saved one back. Both keep a dated backup of what
 * was there, so that each can be undone by a restore.
 */
import { posix } from 'node:path';
import { sshdProblemError } from './effective-sshd.ts';
import { accessError } from './errors.ts';
import { backupChanges, findNewestBackup, savedMainFiles } from './sshd-backup.ts';
import type { MadeChange } from './sshd-change.ts';
import { changeSshd } from './sshd-change.ts';
import { findDefaultSshd, isPackaged } from './sshd-default.ts';
import { DROP_IN_NAME } from './sshd-password.ts';
import { requireSshd } from './sshd-service.ts';
import { checkStaged } from './sshd-staging.ts';
import type { FileChanges, SshdFile } from './sshd-tree.ts';
import { changedFiles, hostFiles, listFiles, MAIN_FILE, readSshdTree } from './sshd-tree.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';

/**
 * Plans the reset: the main file becomes the distribution's, and files which it includes and which no package brought move
 * into the backup. Those of the platform that only say whether passwords are allowed stay, and so does our own.
 */
export async function planSshdReset(context: StepContext): Promise<PlannedStep> {
  requireSshd(context);
  const found = await findDefaultSshd(context, savedMainFiles(context));
  const isNew = hostFiles(context.host).read(MAIN_FILE) !== found.main;
  const main: FileChanges = isNew ? new Map([[MAIN_FILE, found.main]]) : new Map();
  const changes = await withDropIns(context, main);
  return {
    name: 'sshd',
    act: async (undo) => {
      const made = await changeSshd(context, { reason: 'reset', changes }, undo);
      const moved = [...changes.keys()].filter((path) => path !== MAIN_FILE);
      return report(made, [
        isNew
          ? `sshd's configuration is now ${found.source}`
          : `sshd's configuration was ${found.source} already`,
        ...(moved.length > 0 ? [`moved away: ${moved.join(', ')}`] : []),
      ]);
    },
  };
}

/**
 * Plans bringing back the configuration of the newest backup. Throws `SSHD_BACKUP_UNUSABLE` when there is none, when it is
 * damaged, or when sshd refuses it.
 */
export async function planSshdRestore(context: StepContext): Promise<PlannedStep> {
  requireSshd(context);
  const backup = findNewestBackup(context);
  if (backup === undefined) {
    const text =
      'no configuration of sshd was saved on this VM, so none can be restored; set reset_ssh for the default';
    throw accessError('SSHD_BACKUP_UNUSABLE', text);
  }
  const name = backup.made === undefined ? `in ${backup.folder}` : `of ${backup.made}`;
  const unusable = (problem: string): Error =>
    accessError(
      'SSHD_BACKUP_UNUSABLE',
      `the backup ${name} of sshd's configuration cannot be used: ${problem}`,
    );
  const changes = backupChanges(context.host, backup, unusable);
  const problem = await checkStaged(context, changes);
  if (problem !== undefined && problem.kind !== 'no host keys') throw unusable(problem.text);
  return {
    name: 'sshd',
    act: async (undo) => {
      const made = await changeSshd(context, { reason: 'restore', changes, from: backup }, undo);
      const what = changes.size === 0 ? 'was already that' : 'is again that';
      return report(made, [`sshd's configuration ${what} of the backup ${name}`]);
    },
  };
}

/** Files of Ubuntu's images and of cloud-init that say how the platform made the VM: with a password or without. */
const PROVISIONED = ['50-cloud-init.conf', '60-cloudimg-settings.conf'];

/** Adds the included files that go. What is left must be something that sshd accepts. */
async function withDropIns(context: StepContext, main: FileChanges): Promise<FileChanges> {
  const files = changedFiles(hostFiles(context.host), main);
  const [, ...included] = listFiles(readSshdTree(files));
  const changes = new Map(main);
  for (const file of included.filter(({ path }) => path.startsWith('/etc/'))) {
    if (!(await mayStay(context, file))) changes.set(file.path, undefined);
  }
  const problem = await checkStaged(context, changes);
  if (problem === undefined || problem.kind === 'no host keys') return changes;
  // A file of the distribution was changed to something that sshd refuses.
  for (const { path } of included)
    if (path.startsWith('/etc/') && problem.text.includes(path)) changes.set(path, undefined);
  const second = await checkStaged(context, changes);
  if (second === undefined || second.kind === 'no host keys') return changes;
  throw sshdProblemError(second);
}

async function mayStay(context: StepContext, { path, directives }: SshdFile): Promise<boolean> {
  const name = posix.basename(path);
  if (name === DROP_IN_NAME) return true;
  const saysOnlyThat = directives.every(({ keyword }) => keyword === 'passwordauthentication');
  if (PROVISIONED.includes(name) && saysOnlyThat) return true;
  return isPackaged(context, path);
}

function report(made: MadeChange, said: readonly string[]): StepReport {
  const kept = made.backupFolder === undefined ? [] : [`what was there is kept in ${made.backupFolder}`];
  const message = [...said, ...made.hostKeys, made.message, ...kept].join('; ');
  return { changed: true, message, ...(made.warning === undefined ? {} : { warning: made.warning }) };
}
