/**
 * The agent's memory of its handlers, all of it on the VM's disk: state and status in `config/`, and the folders
 * themselves. Nothing is kept between two calls.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` get_handler_state, set_handler_state, set_handler_status,
 * get_installed_version, remove_ext_handler; agent-contract 1.1, 7.2.
 */
import { randomUUID } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import type { HandlerState, HandlerStatus } from '@handlerkit/sdk/contract';
import {
  AGENT_FOLDER_PREFIX,
  CONFIG_FOLDER,
  compareVersions,
  formatHandlerStateFile,
  formatHandlerStatus,
  formatPackageFile,
  HANDLER_NOT_READY,
  HANDLER_STATES,
  HANDLER_STATUS_FILE,
  parseHandlerFolder,
  parseHandlerStatus,
} from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import { isMissing, makeFolder, readIfThere, writeWhole } from './agent-files.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { handlerInstance, pathIn } from './handler-instance.ts';

/** The state of a handler's version; without a file, or with an unknown text in it, `NotInstalled`. */
export async function readHandlerState(handler: HandlerInstance): Promise<HandlerState> {
  return (await findHandlerState(handler)) ?? 'NotInstalled';
}

export async function writeHandlerState(handler: HandlerInstance, state: HandlerState): Promise<void> {
  await makeConfigFolder(handler);
  await writeWhole(pathIn(handler, CONFIG_FOLDER, formatHandlerStateFile()), state);
}

/** What the agent last noted about a handler's version; `undefined` when nothing readable is there. */
export async function readHandlerStatus(handler: HandlerInstance): Promise<HandlerStatus | undefined> {
  const text = await readIfThere(pathIn(handler, CONFIG_FOLDER, HANDLER_STATUS_FILE));
  if (text === undefined) return undefined;
  try {
    return parseHandlerStatus(text, HANDLER_STATUS_FILE);
  } catch {
    return undefined;
  }
}

export async function writeHandlerStatus(
  handler: HandlerInstance,
  status: string,
  code: number,
  message: string,
): Promise<void> {
  await makeConfigFolder(handler);
  const { handlerName, version, hasSeveral } = handler;
  const supportsMultiConfig = hasSeveral === true;
  const text = formatHandlerStatus({ handlerName, version, status, code, message, supportsMultiConfig });
  await writeWhole(pathIn(handler, CONFIG_FOLDER, HANDLER_STATUS_FILE), text);
}

/** Notes a failure: the handler is `NotReady` with this code and message. */
export async function noteFailure(handler: HandlerInstance, code: number, message: string): Promise<void> {
  await writeHandlerStatus(handler, HANDLER_NOT_READY, code, message);
}

/**
 * The installed version of a handler: the highest whose state is there and neither `NotInstalled` nor `FailedUpgrade`.
 */
export async function findInstalled(
  machine: Machine,
  handlerName: string,
): Promise<HandlerInstance | undefined> {
  let found: HandlerInstance | undefined;
  for (const handler of await listHandlers(machine)) {
    if (handler.handlerName !== handlerName) continue;
    const state = await findHandlerState(handler);
    if (state === undefined || state === 'NotInstalled' || state === 'FailedUpgrade') continue;
    if (found === undefined || compareVersions(handler.version, found.version) > 0) found = handler;
  }
  return found;
}

/** Every handler's version that has a folder on the VM. */
export async function listHandlers(machine: Machine): Promise<readonly HandlerInstance[]> {
  const entries = await readdir(machine.hostPath(machine.libFolder), { withFileTypes: true });
  return entries.flatMap((entry) => {
    if (!entry.isDirectory() || entry.name.startsWith(AGENT_FOLDER_PREFIX)) return [];
    const name = parseHandlerFolder(entry.name);
    return name === undefined ? [] : [handlerInstance(machine, name.handlerName, name.version)];
  });
}

/**
 * Deletes a version's folder and its cached package; the logs stay. The folder gets another name first, so that a
 * detached handler that goes on writing by path cannot fill it again. Throws the system's error when it cannot go.
 */
export async function removeHandler(handler: HandlerInstance): Promise<void> {
  const lib = handler.machine.hostPath(handler.machine.libFolder);
  const folder = `${lib}/${handler.folderName}`;
  const doomed = `${folder}.${randomUUID()}.removed`;
  try {
    await rename(folder, doomed);
  } catch (thrown) {
    if (!isMissing(thrown)) throw thrown;
  }
  await rm(doomed, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
  await rm(`${lib}/${formatPackageFile(handler.handlerName, handler.version)}`, { force: true });
}

/** Makes `config/`, which nobody but the agent's user may enter. */
export async function makeConfigFolder(handler: HandlerInstance): Promise<void> {
  await makeFolder(pathIn(handler), 0o755);
  await makeFolder(pathIn(handler, CONFIG_FOLDER), 0o700);
}

async function findHandlerState(handler: HandlerInstance): Promise<HandlerState | undefined> {
  const text = await readIfThere(pathIn(handler, CONFIG_FOLDER, formatHandlerStateFile()));
  return HANDLER_STATES.find((state) => state === text);
}
