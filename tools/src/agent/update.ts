/**
 * The way from one version of a handler to another: disable(old), mrseq and statuses, update, uninstall(old), delete
 * old, install(new). The caller goes on with enable(new).
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` _update_extension_handler_and_return_if_failed, copy_status_files,
 * update_with_install; agent-contract 7.4, 7.5.
 */
import { chmod, copyFile, readdir, stat, utimes } from 'node:fs/promises';
import {
  AGENT_ERROR_CODES,
  compareVersions,
  formatSequenceFile,
  STATUS_FOLDER,
  UPDATE_WITH_INSTALL,
} from '@handlerkit/sdk/contract';
import { AgentError, isExtensionError } from './agent-error.ts';
import { isMissing } from './agent-files.ts';
import { enabledEntries } from './configuration-store.ts';
import type { HandlerContext } from './handler-context.ts';
import { contextFor } from './handler-context.ts';
import { loadManifest, pathIn } from './handler-instance.ts';
import { disable, install, uninstall, update } from './handler-operations.ts';
import { readHandlerState, removeHandler, writeHandlerState } from './handler-store.ts';

/**
 * Updates (or downgrades) from `old` to `context`'s version, whose folder is ready and holds the new settings. Returns
 * the exit code of the old version's uninstall, which the new version's install has got and its enable is to get.
 * Throws {@link AgentError}; what is on disk then is what the agent leaves there.
 */
export async function updateHandler(context: HandlerContext, old: HandlerContext): Promise<number> {
  const disableExitCodes = new Map<string | undefined, number>();
  if ((await readHandlerState(old.handler)) === 'Enabled') {
    for (const entry of await enabledEntries(old.handler, old.entries)) {
      const part = await contextFor(old, entry);
      disableExitCodes.set(entry.extensionName, await runOld(context, () => disable(part)));
    }
  }
  await carryOver(context, old);
  const [target, from] = [context.handler.version, old.handler.version];
  if (compareVersions(target, from) > 0) {
    await update(context, { targetVersion: target, updatingFromVersion: from, disableExitCodes });
  } else {
    // A downgrade is run by the old, higher version, and the agent names the target as both versions.
    await update(old, { targetVersion: target, updatingFromVersion: target, disableExitCodes });
  }
  const uninstallExitCode = await runOld(context, () => uninstall(old));
  await old.log.info(`Remove extension handler directory: ${old.handler.folder}`);
  await removeHandler(old.handler);
  await old.log.info(`Remove the extension slice: ${old.handler.folderName}`);
  const { installOnUpdate, updateModeFault } = await loadManifest(context.handler);
  if (updateModeFault !== undefined) {
    throw new AgentError('Unexpected', updateModeFault, AGENT_ERROR_CODES.unknownFailure);
  }
  if (installOnUpdate) await install(context, uninstallExitCode);
  else await context.log.note(`${UPDATE_WITH_INSTALL} not set. Skip install during upgrade.`);
  await writeHandlerState(context.handler, 'Installed');
  return uninstallExitCode;
}

/**
 * Runs a command of the old version. Its failure ends the update, unless the new version's manifest says to continue:
 * then the result is its exit code, or the agent's own code where there is none.
 */
async function runOld(context: HandlerContext, run: () => Promise<void>): Promise<number> {
  const { continueOnUpdateFailure } = await loadManifest(context.handler);
  try {
    await run();
    return 0;
  } catch (thrown) {
    if (!isExtensionError(thrown)) throw thrown;
    const text = `${thrown.message}; ContinueOnUpdate: ${continueOnUpdateFailure ? 'True' : 'False'}`;
    if (!continueOnUpdateFailure) {
      throw new AgentError('ExtensionUpdateError', text, AGENT_ERROR_CODES.update);
    }
    await context.log.warn(text);
    await context.log.note('Continue on Update failure flag is set, proceeding with update');
    return thrown.exitCode ?? thrown.code;
  }
}

/** Copies what the agent copies to a new version: `mrseq`, and the files in `status/`; with modes and times. */
async function carryOver(context: HandlerContext, old: HandlerContext): Promise<void> {
  const { handler, log } = context;
  await log.info('Copy status files from old plugin to new');
  const sequenceFile = formatSequenceFile();
  const copied = await copyWithTimes(pathIn(old.handler, sequenceFile), pathIn(handler, sequenceFile));
  const oldPath = `${old.handler.folder}/${sequenceFile}`;
  await log.info(
    copied
      ? `Migrating ${oldPath} to ${handler.folder}.`
      : `${oldPath} does not exist, no migration is needed.`,
  );
  for (const name of await namesIn(pathIn(old.handler, STATUS_FOLDER))) {
    await copyWithTimes(pathIn(old.handler, STATUS_FOLDER, name), pathIn(handler, STATUS_FOLDER, name));
  }
}

/** Copies a regular file; false when there is none. A running handler may rename its files meanwhile. */
async function copyWithTimes(from: string, to: string): Promise<boolean> {
  try {
    const source = await stat(from);
    if (!source.isFile()) return false;
    await copyFile(from, to);
    await chmod(to, source.mode & 0o7777);
    await utimes(to, source.atime, source.mtime);
    return true;
  } catch (thrown) {
    if (isMissing(thrown)) return false;
    throw thrown;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (thrown) {
    if (isMissing(thrown)) return [];
    throw thrown;
  }
}
