/**
 * From the state that a handler has to the one that the goal state wants.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` handle_ext_handler, handle_enable, handle_disable, handle_uninstall,
 * decide_version; agent-contract 7.2, 7.3.
 */
import type { AgentActivity, HandlerState } from '@handlerkit/sdk/contract';
import {
  AGENT_ACTIVITIES,
  AGENT_ERROR_CODES,
  compareVersions,
  EXTENSION_STATES,
} from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import { AgentError, isExtensionError, toAgentError } from './agent-error.ts';
import { enabledEntries, readExtensionState, writeErrorStatus } from './configuration-store.ts';
import type { GoalState, GoalStateExtension, RequestedState } from './goal-state.ts';
import { entriesOf, fullNameOf, isToBeDisabled } from './goal-state.ts';
import type { AgentContext, HandlerContext } from './handler-context.ts';
import { contextFor, openHandlerContext } from './handler-context.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { handlerInstance, loadManifest } from './handler-instance.ts';
import { disable, disableRemoved, enable, install, uninstall } from './handler-operations.ts';
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
import { choosePackage } from './version-choice.ts';

/**
 * The version that an entry of the goal state is about: the newest that fits the one that it names, but to disable or to
 * uninstall a handler the one that is installed, whatever the goal state says.
 */
export async function decideHandler(
  machine: Machine,
  extension: GoalStateExtension,
): Promise<HandlerInstance> {
  const { handlerName, version, configurationFault } = extension;
  const chosen = configurationFault === undefined ? choosePackage(extension)?.version : undefined;
  if (extension.requestedState === 'enabled') {
    return handlerInstance(machine, handlerName, chosen ?? version);
  }
  const installed = configurationFault === undefined ? await findInstalled(machine, handlerName) : undefined;
  return installed ?? handlerInstance(machine, handlerName, version);
}

/**
 * Works on one entry of the goal state. False when it failed; the failure is then the handler's status. Rejects only
 * with the reason of the agent's signal, and with what keeps the status from being written.
 */
export async function processExtension(
  agent: AgentContext,
  extension: GoalStateExtension,
  state: RequestedState,
  goalState: GoalState,
): Promise<boolean> {
  const decided = await decideHandler(agent.machine, extension);
  const context = await openHandlerContext(agent, decided, extension, entriesOf(goalState, extension));
  const { handler } = context;
  try {
    await requireVersion(context);
    await context.log.info(`Target handler state: ${state} [${goalState.id}]`);
    await TRANSITIONS[state](context);
    return true;
  } catch (thrown) {
    agent.signal?.throwIfAborted();
    const error = toAgentError(thrown);
    const message = describeFailure(error, extension);
    // One of several configurations that cannot be enabled is no failure of the handler.
    const isOfHandler = error.kind !== 'MultiConfigExtensionEnableError';
    if (isOfHandler) await noteFailure(handler, error.code, message);
    if (extension.extensionName !== undefined) {
      const failure = { activity: activityOf(error, context), code: error.code, message, now: agent.now() };
      await writeErrorStatus(handler, extension, failure, 'if-missing');
    }
    await context.log.error(message);
    return false;
  }
}

/** What is wrong with the entry itself, or that its version cannot be had. */
async function requireVersion({ handler, extension, log }: HandlerContext): Promise<void> {
  const { handlerName, version, configurationFault, packages, requestedState } = extension;
  const code = AGENT_ERROR_CODES.unknownFailure;
  if (configurationFault !== undefined) {
    throw new AgentError('ExtensionsGoalStateError', configurationFault, code);
  }
  if (requestedState !== 'enabled') {
    if (packages?.every((one) => compareVersions(one.version, handler.version) !== 0) !== true) return;
    await log.warn(
      `Failed to find installed version: ${handler.version} of Handler: ${handlerName}  in handler manifest to uninstall.`,
    );
  } else if (choosePackage(extension) === undefined) {
    const problem = `Unable to find version ${version} in manifest for extension ${handlerName}`;
    throw new AgentError('ExtensionError', problem, code);
  }
}

function activityOf(error: AgentError, { progress }: HandlerContext): AgentActivity | null {
  switch (error.kind) {
    case 'ExtensionsGoalStateError':
      return AGENT_ACTIVITIES.invalidConfiguration;
    case 'ExtensionDownloadError':
      return AGENT_ACTIVITIES.download;
    default:
      return progress.activity;
  }
}

function describeFailure(error: AgentError, extension: GoalStateExtension): string {
  switch (error.kind) {
    case 'ExtensionDownloadError':
      return `Failed to download artifacts: ${error.message}`;
    case 'ExtensionsGoalStateError':
      return `Ran into config errors: ${error.message}. \nPlease retry again as another operation with updated settings`;
    case 'MultiConfigExtensionEnableError':
      return `Error processing MultiConfig extension ${fullNameOf(extension)}: ${error.message}`;
    default:
      return error.message;
  }
}

const TRANSITIONS: Readonly<Record<RequestedState, (context: HandlerContext) => Promise<void>>> = {
  enabled: handleEnable,
  disabled: handleDisable,
  uninstall: handleUninstall,
};

/** Enables, also when the handler is enabled already and the sequence number is the same: the handler has to tell. */
async function handleEnable(context: HandlerContext): Promise<void> {
  const { agent, handler, extension, entries, log } = context;
  const old = await findInstalled(agent.machine, handler.handlerName);
  const state = await currentState(context, 'Enable');
  let oldUninstall: number | undefined;
  if (state === 'NotInstalled' || state === 'FailedUpgrade') {
    await writeHandlerState(handler, 'NotInstalled');
    context.progress.activity = AGENT_ACTIVITIES.download;
    await downloadPackage(handler, choosePackage(extension)?.packageFile ?? extension.packageFile, log);
    await initializeHandler(context, requireSupport);
    await writeSettings(handler, extension, log);
    if (old === undefined) await install(context);
    // Two spellings of one version, such as 1.0 and 1.0.0, are neither an installation nor an update to the agent.
    else if (compareVersions(handler.version, old.version) !== 0)
      oldUninstall = await updateHandler(context, await openHandlerContext(agent, old, extension, entries));
  } else {
    await requireSupport(context);
    await writeSettings(handler, extension, log);
  }
  // To the agent a handler without settings has no extension: it gets no such line, and its enable is told of no update.
  if (extension.settings === undefined && extension.extensionName === undefined) await enable(context);
  else await settleExtension(context, oldUninstall);
}

/** Enables the entry, or disables it when it is a configuration that is to go. */
async function settleExtension(context: HandlerContext, oldUninstall: number | undefined): Promise<void> {
  const { handler, extension, log } = context;
  const { extensionName, extensionState = 'enabled' } = extension;
  await log.info(`Requested extension state: ${extensionState}`);
  if (!EXTENSION_STATES.some((one) => one === extensionState)) {
    const problem = `Unknown requested state for Extension ${extensionName}: ${extensionState}`;
    throw new AgentError('ExtensionsGoalStateError', problem, AGENT_ERROR_CODES.unknownFailure);
  }
  if (extensionName === undefined || !isToBeDisabled(extension)) {
    await enable(context, oldUninstall);
  } else if ((await readExtensionState(handler, extensionName)) === 'disabled') {
    await log.info('Extension already disabled, not doing anything');
  } else {
    await disableRemoved(context);
  }
}

/** A goal state with several configurations needs a manifest that says so. */
async function requireSupport({ handler, extension }: HandlerContext): Promise<void> {
  if (extension.extensionName === undefined) return;
  if ((await loadManifest(handler)).supportsMultipleExtensions) return;
  throw new AgentError(
    'ExtensionsGoalStateError',
    `Handler ${handler.handlerName} does not support MultiConfig but CRP expects it, failing due to inconsistent data`,
    AGENT_ERROR_CODES.unknownFailure,
  );
}

async function handleDisable(context: HandlerContext): Promise<void> {
  if ((await currentState(context, 'Disable')) === 'Enabled') await disable(context);
}

/** A disable that fails keeps everything as it is; an uninstall that fails does not keep the folder. */
async function handleUninstall(context: HandlerContext): Promise<void> {
  const { handler, log } = context;
  const state = await currentState(context, 'Uninstall');
  if (state === 'Enabled') {
    for (const entry of await enabledEntries(handler, context.entries)) {
      await disable(await contextFor(context, entry));
    }
  }
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
  await log.info(`Remove the extension slice: ${handler.folderName}`);
}

async function currentState(context: HandlerContext, word: string): Promise<HandlerState> {
  const state = await readHandlerState(context.handler);
  await context.log.info(`[${word}] current handler state is: ${state.toLowerCase()}`);
  return state;
}
