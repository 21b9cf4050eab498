/**
 * The five operations with what each leaves in the handler's state and status. A failure changes neither here (but for
 * `update`): the caller notes it.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` install, enable, disable, update, uninstall; agent-contract 6.3, 7.2, 7.4.
 */
import {
  AGENT_ERROR_CODES,
  DISABLE_NOT_RUN,
  HANDLER_MESSAGES,
  HANDLER_NOT_READY,
  HANDLER_READY,
  NOT_RUN,
} from '@handlerkit/sdk/contract';
import { AgentError, isExtensionError } from './agent-error.ts';
import { enabledEntries, removeConfiguration, writeExtensionState } from './configuration-store.ts';
import { isToBeDisabled } from './goal-state.ts';
import type { HandlerContext } from './handler-context.ts';
import { writeHandlerState, writeHandlerStatus } from './handler-store.ts';
import type { OperationVariables } from './operation.ts';
import { runOperation } from './operation.ts';

/** Exit code of the old version's uninstall; `undefined` when the operation belongs to no update. */
type OldUninstall = number | undefined;

export async function install(context: HandlerContext, oldUninstall?: OldUninstall): Promise<void> {
  await runOperation(context, 'install', { uninstallExitCode: formatUninstall(oldUninstall) });
  await writeHandlerState(context.handler, 'Installed');
  await writeHandlerStatus(context.handler, HANDLER_NOT_READY, 0, HANDLER_MESSAGES.installed);
}

/**
 * Throws a `MultiConfigExtensionEnableError` for one of several configurations that fails: the handler as a whole then
 * has not failed.
 */
export async function enable(context: HandlerContext, oldUninstall?: OldUninstall): Promise<void> {
  const { extensionName } = context.extension;
  try {
    await runOperation(context, 'enable', { uninstallExitCode: formatUninstall(oldUninstall) });
  } catch (thrown) {
    if (extensionName === undefined || !isExtensionError(thrown)) throw thrown;
    const code = AGENT_ERROR_CODES.unknownFailure;
    throw new AgentError('MultiConfigExtensionEnableError', thrown.message, code);
  }
  if (extensionName !== undefined) await writeExtensionState(context.handler, extensionName, 'enabled');
  await writeHandlerState(context.handler, 'Enabled');
  await writeHandlerStatus(context.handler, HANDLER_READY, 0, HANDLER_MESSAGES.enabled);
}

/**
 * Disables a handler, or one of its configurations: then the handler stays enabled as long as another one is. A
 * configuration that the goal state wants gone loses its files.
 */
export async function disable(context: HandlerContext): Promise<void> {
  await runOperation(context, 'disable');
  await noteDisabled(context);
}

/** Disables a configuration that is to go while its handler stays: it goes, whether or not its command succeeds. */
export async function disableRemoved(context: HandlerContext): Promise<void> {
  try {
    await runOperation(context, 'disable');
  } catch (thrown) {
    if (!isExtensionError(thrown)) throw thrown;
    await context.log.info(`[Ignored Error] Ran into error disabling extension:${thrown.message}`);
  }
  await noteDisabled(context);
}

export interface UpdateVersions {
  readonly targetVersion: string;
  readonly updatingFromVersion: string;
  /** Exit codes of the old version's disable, by configuration; the name is `undefined` for the only one. */
  readonly disableExitCodes: ReadonlyMap<string | undefined, number>;
}

/** Runs `update`. A command that fails makes the version that ran it a failed upgrade. */
export async function update(context: HandlerContext, versions: UpdateVersions): Promise<void> {
  const { targetVersion, updatingFromVersion, disableExitCodes } = versions;
  try {
    await runOperation(context, 'update', {
      targetVersion,
      updatingFromVersion,
      ...formatDisabled(context, disableExitCodes),
    });
  } catch (thrown) {
    if (isExtensionError(thrown)) await writeHandlerState(context.handler, 'FailedUpgrade');
    throw thrown;
  }
}

export async function uninstall(context: HandlerContext): Promise<void> {
  await runOperation(context, 'uninstall');
}

async function noteDisabled(context: HandlerContext): Promise<void> {
  const { handler, extension, entries } = context;
  await forgetEnabled(context);
  if (extension.extensionName !== undefined && (await enabledEntries(handler, entries)).length > 0) return;
  await writeHandlerState(context.handler, 'Installed');
  await writeHandlerStatus(context.handler, HANDLER_NOT_READY, 0, HANDLER_MESSAGES.disabled);
}

/** Leaves behind what `disable` leaves of a configuration's state. Does nothing for a handler that has only one. */
async function forgetEnabled({ handler, extension, log }: HandlerContext): Promise<void> {
  const { extensionName } = extension;
  if (extensionName === undefined) return;
  if (!isToBeDisabled(extension)) {
    await writeExtensionState(handler, extensionName, 'disabled');
    return;
  }
  await log.info(`Removing states files for disabled extension: ${extensionName}`);
  await removeConfiguration(handler, extensionName);
}

/** The agent looks a code up in a way that misses its own default, so the text is not NOT_RUN. */
function formatDisabled(
  { entries }: HandlerContext,
  codes: UpdateVersions['disableExitCodes'],
): Pick<OperationVariables, 'disableExitCode' | 'disableExitCodes'> {
  const codeOf = (name: string | undefined): string => String(codes.get(name) ?? DISABLE_NOT_RUN);
  const named = entries.flatMap(({ extensionName }) =>
    extensionName === undefined ? [] : [{ extensionName, exitCode: codeOf(extensionName) }],
  );
  return named.length > 0 ? { disableExitCodes: named } : { disableExitCode: codeOf(undefined) };
}

function formatUninstall(oldUninstall: OldUninstall): string {
  return oldUninstall === undefined ? NOT_RUN : String(oldUninstall);
}
