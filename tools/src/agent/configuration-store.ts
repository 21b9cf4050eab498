/**
 * The agent's memory of one of several configurations of a handler: its state in `config/`, and the status file that the
 * agent writes in the place of a handler that could not.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` get_extension_state, enabled_extensions, disable, create_status_file;
 * agent-contract 7.7, 8.4.
 */
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import type { AgentActivity, ExtensionState } from '@handlerkit/sdk/contract';
import {
  CONFIG_FOLDER,
  EXTENSION_STATES,
  formatAgentStatus,
  formatHandlerStateFile,
  formatStatusFile,
  formatTime,
  parseSettingsFile,
  parseStatusFile,
  STATUS_FOLDER,
} from '@handlerkit/sdk/contract';
import { isMissing, makeFolder, readIfThere, writeWhole } from './agent-files.ts';
import type { GoalStateExtension } from './goal-state.ts';
import { fullNameOf, sequenceOf } from './goal-state.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { pathIn } from './handler-instance.ts';
import { makeConfigFolder } from './handler-store.ts';

/** The state of a configuration; without a file, or with an unknown text in it, `disabled`. */
export async function readExtensionState(
  handler: HandlerInstance,
  extensionName: string,
): Promise<ExtensionState> {
  const text = await readIfThere(pathIn(handler, CONFIG_FOLDER, formatHandlerStateFile(extensionName)));
  return EXTENSION_STATES.find((state) => state === text) ?? 'disabled';
}

export async function writeExtensionState(
  handler: HandlerInstance,
  extensionName: string,
  state: ExtensionState,
): Promise<void> {
  await makeConfigFolder(handler);
  await writeWhole(pathIn(handler, CONFIG_FOLDER, formatHandlerStateFile(extensionName)), state);
}

/** Those of the goal state's entries that are enabled on the VM. A handler with one configuration has no state of it. */
export async function enabledEntries(
  handler: HandlerInstance,
  entries: readonly GoalStateExtension[],
): Promise<readonly GoalStateExtension[]> {
  const enabled: GoalStateExtension[] = [];
  for (const entry of entries) {
    const { extensionName } = entry;
    const isEnabled =
      extensionName === undefined || (await readExtensionState(handler, extensionName)) === 'enabled';
    if (isEnabled) enabled.push(entry);
  }
  return enabled;
}

/** Deletes the settings, the statuses and the state of a configuration that was removed. */
export async function removeConfiguration(handler: HandlerInstance, extensionName: string): Promise<void> {
  const isOwn = (parsed: { extensionName: string | undefined } | undefined): boolean =>
    parsed?.extensionName === extensionName;
  await removeFiles(handler, CONFIG_FOLDER, (name) => isOwn(parseSettingsFile(name)));
  await removeFiles(handler, STATUS_FOLDER, (name) => isOwn(parseStatusFile(name)));
  await rm(pathIn(handler, CONFIG_FOLDER, formatHandlerStateFile(extensionName)), { force: true });
}

/** A failure that the agent writes into a status file itself. */
export interface ErrorStatus {
  readonly activity: AgentActivity | null;
  readonly code: number;
  readonly message: string;
  readonly now: Date;
}

/** Writes an error in the place of the handler; `if-missing`: unless a status of this sequence number is there. */
export async function writeErrorStatus(
  handler: HandlerInstance,
  extension: GoalStateExtension,
  failure: ErrorStatus,
  when: 'if-missing' | 'overwrite',
): Promise<void> {
  const path = pathIn(
    handler,
    STATUS_FOLDER,
    formatStatusFile(sequenceOf(extension), extension.extensionName),
  );
  if (when === 'if-missing' && existsSync(path)) return;
  await makeFolder(pathIn(handler), 0o755);
  await makeFolder(pathIn(handler, STATUS_FOLDER), 0o700);
  const { activity, code, message, now } = failure;
  const text = formatAgentStatus({
    name: fullNameOf(extension),
    activity,
    code,
    message,
    time: formatTime(now),
  });
  await writeWhole(path, text);
}

async function removeFiles(
  handler: HandlerInstance,
  folder: string,
  isToGo: (name: string) => boolean,
): Promise<void> {
  let names: readonly string[] = [];
  try {
    names = await readdir(pathIn(handler, folder));
  } catch (thrown) {
    if (!isMissing(thrown)) throw thrown;
  }
  for (const name of names.filter(isToGo)) await rm(pathIn(handler, folder, name), { force: true });
}
