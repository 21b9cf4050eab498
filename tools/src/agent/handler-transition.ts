/**
 * From the state that a handler has to the one that the goal state wants.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` handle_ext_handler, handle_enable, handle_disable, handle_uninstall,
 * decide_version; agent-contract 7.2, 7.3.
 */
import type { HandlerState } from '@handlerkit/sdk/contract';
import { compareVersions } from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import { isExtensionError, toAgentError } from './agent-error.ts';
import type { GoalStateExtension } from './goal-state.ts';
import type { AgentContext, HandlerContext } from './handler-context.ts';
import { openHandlerContext } from './handler-context.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { handlerInstance } from './handler-instance.ts';
import { disable, enable, install, uninstall } from './handler-operations.ts';
import {
  findInstalled,
  noteFailure,
  readHandlerState,
  removeHandler,
  writeHandlerState,
} from './handler-store.ts';
import { downloadPackage, initializeHandler } from './package-install.ts';
import { writeSettings } from './settings-file.ts';
import { updateHandler } from './update.ts';

/**
 * The version that an entry of the goal state is about: the one that it names, but to disable or to uninstall a handler
 * the one that is installed, whatever the goal state says.
 */
export async function decideHandler(
  machine: Machine,
  extension: GoalStateExtension,
): Promise<HandlerInstance> {
  const named = handlerInstance(machine, extension.handlerName, extension.version);
  if (extension.requestedState === 'enabled') return named;
  return (await findInstalled(machine, extension.handlerName)) ?? named;
}

/**
 * Works on one entry of the goal state. False when it failed; the failure is then the handler's status. Rejects only
 * with the reason of the agent's signal, and with what keeps the status from being written.
 */
export async function processExtension(
  agent: AgentContext,
  extension: GoalStateExtension,
  goalStateId: string,
): Promise<boolean> {
  const context = await openHandlerContext(agent, await decideHandler(agent.machine, extension), extension);
  try {
    await context.log.info(`Target handler state: ${extension.requestedState} [${goalStateId}]`);
    await TRANSITIONS[extension.requestedState](context);
    return true;
  } catch (thrown) {
    agent.signal?.throwIfAborted();
    const error = toAgentError(thrown);
    const isDownload = error.kind === 'ExtensionDownloadError';
    const message = isDownload ? `Failed to download artifacts: ${error.message}` : error.message;
    await noteFailure(context.handler, error.code, message);
    await context.log.error(message);
    return false;
  }
}

const TRANSITIONS: Readonly<
  Record<GoalStateExtension['requestedState'], (context: HandlerContext) => Promise<void>>
> = { enabled: handleEnable, disabled: handleDisable, uninstall: handleUninstall };

/** Enables, also when the handler is enabled already and the sequence number is the same: the handler has to tell. */
async function handleEnable(context: HandlerContext): Promise<void> {
  const { agent, handler, extension, log } = context;
  const old = await findInstalled(agent.machine, handler.handlerName);
  const state = await currentState(context, 'Enable');
  let oldUninstall: number | undefined;
  if (state === 'NotInstalled' || state === 'FailedUpgrade') {
    await writeHandlerState(handler, 'NotInstalled');
    await downloadPackage(handler, extension.packageFile, log);
    await initializeHandler(handler, log);
    await writeSettings(handler, extension, log);
    if (old === undefined) await install(context);
    // Two spellings of one version, such as 1.0 and 1.0.0, are neither an installation nor an update to the agent.
    else if (compareVersions(handler.version, old.version) !== 0)
      oldUninstall = await updateHandler(context, await openHandlerContext(agent, old, extension));
  } else {
    await writeSettings(handler, extension, log);
  }
  // The agent says this of a settings block, so a handler without settings has no such line.
  if (extension.settings !== undefined) await log.info('Requested extension state: enabled');
  await enable(context, oldUninstall);
}

async function handleDisable(context: HandlerContext): Promise<void> {
  if ((await currentState(context, 'Disable')) === 'Enabled') await disable(context);
}

/** A disable that fails keeps everything as it is; an uninstall that fails does not keep the folder. */
async function handleUninstall(context: HandlerContext): Promise<void> {
  const { handler, log } = context;
  const state = await currentState(context, 'Uninstall');
  if (state === 'Enabled') await disable(context);
  if (state !== 'NotInstalled') {
    try {
      await uninstall(context);
    } catch (thrown) {
      if (!isExtensionError(thrown)) throw thrown;
      await log.error(thrown.message);
    }
  }
  await log.info(`Remove extension handler directory: ${handler.folder}`);
  await removeHandler(handler);
}

async function currentState(context: HandlerContext, word: string): Promise<HandlerState> {
  const state = await readHandlerState(context.handler);
  await context.log.info(`[${word}] current handler state is: ${state.toLowerCase()}`);
  return state;
}
