/**
 * Writes files of sshd's configuration whole, and keeps what belongs to them besides their text: mode, owner, extended
 * attributes with ACL and SELinux label, and that a link is a link.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { HandlerError } from '@handlerkit/sdk';
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import type { StepContext } from './step.ts';

/**
 * Replaces the text of `path`, or makes the file: then with the mode of `like`, and root's. A link is replaced by a file.
 * Throws `SSHD_FILE_NOT_WRITTEN`; then the former file is untouched.
 */
export async function writeSshdFile(
  context: StepContext,
  path: string,
  text: string,
  like?: string,
): Promise<void> {
  const { host } = context;
  const temporary = temporaryName(path);
  const real = host.path(temporary);
  try {
    rmSync(real, { force: true });
    if (lstatSync(host.path(path), { throwIfNoEntry: false })?.isFile() === true) {
      await context.run(['cp', '-a', '--', path, temporary]);
    }
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    const file = openSync(real, flags, modeLike(host, path) ?? modeLike(host, like) ?? DEFAULT_MODE);
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    await putInPlace(context, temporary, path);
  } catch (thrown) {
    removeQuietly(real);
    throw fileError(path, thrown);
  }
}

/** Copies `from` over `to` with all that belongs to it; `to` is the former file or the whole new one at any moment. */
export async function copySshdFile(context: StepContext, from: string, to: string): Promise<void> {
  const temporary = temporaryName(to);
  try {
    rmSync(context.host.path(temporary), { force: true });
    await context.run(['cp', '-a', '--', from, temporary]);
    await putInPlace(context, temporary, to);
  } catch (thrown) {
    removeQuietly(context.host.path(temporary));
    throw fileError(to, thrown);
  }
}

/** Removes `path`; one that is not there is no error. Throws `SSHD_FILE_NOT_WRITTEN`. */
export function removeSshdFile(host: Host, path: string): void {
  try {
    rmSync(host.path(path), { force: true });
  } catch (thrown) {
    throw fileError(path, thrown);
  }
  syncFolder(host, dirname(path));
}

/** What failed on which file, for an error of the system; other errors say that themselves. */
export function fileError(path: string, thrown: unknown): unknown {
  if (thrown instanceof HandlerError || !(thrown instanceof Error) || !('code' in thrown)) return thrown;
  const text = `cannot write ${path} (${String(thrown.code)}); it may be immutable, or the disk full or read-only`;
  return accessError('SSHD_FILE_NOT_WRITTEN', text, { cause: thrown });
}

const DEFAULT_MODE = 0o600;

/** A fixed name, so that one of a killed run is found; no `Include` of a distribution reads it. */
function temporaryName(path: string): string {
  return join(dirname(path), `.${path.slice(path.lastIndexOf('/') + 1)}.handlerkit-new`);
}

async function putInPlace(context: StepContext, temporary: string, path: string): Promise<void> {
  const { host } = context;
  renameSync(host.path(temporary), host.path(path));
  syncFolder(host, dirname(path));
  const restorecon = findProgram(host, 'restorecon');
  if (restorecon === undefined || lstatSync(host.path(SELINUX), { throwIfNoEntry: false }) === undefined)
    return;
  // A label that cannot be set does not keep sshd, which root starts, from its file on any known policy.
  const result = await host.exec([restorecon, path], { timeoutMs: 30_000 });
  if (result.exitCode !== 0) context.log.warn('the SELinux label could not be set', { path });
}

/** There where SELinux is on. */
const SELINUX = '/sys/fs/selinux/enforce';

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What went wrong before is what matters.
  }
}

function modeLike(host: Host, path: string | undefined): number | undefined {
  if (path === undefined) return undefined;
  const stats = statSync(host.path(path), { throwIfNoEntry: false });
  return stats === undefined ? undefined : stats.mode & 0o644;
}

function syncFolder(host: Host, folder: string): void {
  let file: number;
  try {
    file = openSync(host.path(folder), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return;
  }
  try {
    fsyncSync(file);
  } catch {
    // Not every file system can.
  } finally {
    closeSync(file);
  }
}
