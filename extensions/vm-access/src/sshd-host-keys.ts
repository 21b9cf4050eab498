/**
 * Host keys that sshd can use: without one it does not start. What is there is kept where it can be; an unusable key is
 * moved aside, never deleted. Source: ssh-keygen(1), sshd(8).
 */
import { chmodSync, existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { checkSshdConfig, sshdProblemError } from './effective-sshd.ts';
import { SSH_FOLDER } from './sshd-pattern.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/**
 * Makes sure that sshd finds host keys: closes the modes of those that others can read, and has missing ones made. Gives
 * what was done, for people; nothing when sshd finds some already. Throws `SSHD_NO_HOST_KEYS` when that does not help.
 */
export async function ensureHostKeys(context: StepContext, undo: Undo): Promise<readonly string[]> {
  const { host } = context;
  const isMissing = async (): Promise<boolean> => (await checkSshdConfig(context))?.kind === 'no host keys';
  if (!(await isMissing())) return [];
  const done: string[] = [];
  const open = listFiles(host).filter(
    (path) => /_key$/.test(path) && (statSync(host.path(path)).mode & 0o077) !== 0,
  );
  for (const path of open) {
    const { mode } = statSync(host.path(path));
    undo.add(`mode of ${path}`, async () => chmodSync(host.path(path), mode & 0o7777));
    chmodSync(host.path(path), 0o600);
  }
  if (open.length > 0) done.push('host keys that others could read are closed');
  if (!(await isMissing())) return done;
  // Public halves go with them: ssh-keygen writes both anew.
  const unusable = listFiles(host).filter((path) => KEY.test(path));
  for (const path of unusable) {
    const aside = `${path}.unusable`;
    undo.add(`the host key ${path}`, async () => renameSync(host.path(aside), host.path(path)));
    renameSync(host.path(path), host.path(aside));
  }
  if (unusable.length > 0) done.push('host keys that sshd could not use were moved aside');
  const before = new Set(listFiles(host));
  undo.add('new host keys', async () => {
    for (const path of listFiles(host)) if (!before.has(path)) rmSync(host.path(path), { force: true });
  });
  await context.run(['ssh-keygen', '-A'], { timeoutMs: KEY_LIMIT_MS });
  if (await isMissing()) throw sshdProblemError({ kind: 'no host keys', text: '' });
  return [...done, 'new host keys were made'];
}

/** A small VM takes its time for a key of RSA. */
const KEY_LIMIT_MS = 180_000;
const KEY = /\/ssh_host_\w+_key(\.pub)?$/;

function listFiles(host: Host): readonly string[] {
  const folder = host.path(SSH_FOLDER);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith('ssh_host_'))
    .map((name) => join(SSH_FOLDER, name));
}
