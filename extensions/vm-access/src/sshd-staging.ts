/**
 * Asks sshd about a configuration before it is put in place: the files are written to a folder of our own, with each
 * `Include` naming just the files that it would read, and `sshd -t` and `-T` read them there. The folder is in
 * `/etc/ssh`, since SELinux lets sshd read little elsewhere; it is there for that moment only, and no `Include` reads it.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HandlerError } from '@handlerkit/sdk';
import type { EffectiveSshd, SshdProblem } from './effective-sshd.ts';
import { checkSshdConfig, readSshd } from './effective-sshd.ts';
import { replaceLine } from './sshd-config.ts';
import { fileError } from './sshd-files.ts';
import { SSH_FOLDER } from './sshd-pattern.ts';
import type { FileChanges, SshdFile } from './sshd-tree.ts';
import { changedFiles, hostFiles, readSshdTree } from './sshd-tree.ts';
import type { StepContext } from './step.ts';

/** Gives what sshd finds wrong with the configuration as it would be after `changes`; `undefined`: nothing. */
export async function checkStaged(
  context: StepContext,
  changes: FileChanges,
): Promise<SshdProblem | undefined> {
  return withStaged(context, changes, async (file, rename) => {
    const problem = await checkSshdConfig(context, { file });
    return problem && { ...problem, text: rename(problem.text) };
  });
}

/** Gives the configuration for `user` as it would be after `changes`; `undefined` when sshd would refuse it. */
export async function readStaged(
  context: StepContext,
  changes: FileChanges,
  user: string,
): Promise<EffectiveSshd | undefined> {
  return withStaged(context, changes, async (file) => {
    try {
      return await readSshd(context, user, { file });
    } catch (thrown) {
      if (thrown instanceof HandlerError && thrown.code.startsWith('SSHD_')) return undefined;
      throw thrown;
    }
  });
}

async function withStaged<T>(
  context: StepContext,
  changes: FileChanges,
  ask: (file: string, rename: (text: string) => string) => Promise<T>,
): Promise<T> {
  const { host } = context;
  const folder = join(SSH_FOLDER, '.handlerkit-check');
  // One of a killed run may lie there.
  try {
    rmSync(host.path(folder), { recursive: true, force: true });
    mkdirSync(host.path(folder), { mode: 0o700 });
  } catch (thrown) {
    throw fileError(folder, thrown);
  }
  const names = new Map<string, string>();
  let count = 0;
  /** Writes a file below another name; gives the path as sshd sees it. */
  const write = (file: SshdFile): string => {
    const name = join(folder, `${++count}.conf`);
    names.set(name, file.path);
    let text = file.text;
    for (const [line, children] of file.includes) {
      const paths = children.map((child) => `"${write(child)}"`);
      // One that finds nothing stays an Include: an sshd too old for it must say so here too.
      if (paths.length === 0) paths.push(`"${join(folder, 'none')}"`);
      text = replaceLine(text, line, [`Include ${paths.join(' ')}`]);
    }
    writeFileSync(host.path(name), text, { flag: 'wx', mode: 0o600 });
    return name;
  };
  const rename = (text: string): string =>
    [...names].toReversed().reduce((said, [name, path]) => said.replaceAll(name, path), text);
  try {
    const main = write(readSshdTree(changedFiles(hostFiles(host), changes)));
    return await ask(main, rename);
  } finally {
    rmSync(host.path(folder), { recursive: true, force: true });
  }
}
