/**
 * The five operations with what each leaves in the handler's state and status. A failure changes neither here (but for
 * `update`): the caller notes it.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` install, enable, disable, update, uninstall; agent-contract 6.3, 7.2, 7.4.
 */
import {
  DISABLE_NOT_RUN,
  HANDLER_MESSAGES,
  HANDLER_NOT_READY,
  HANDLER_READY,
  NOT_RUN,
} from '@handlerkit/sdk/contract';
import { isExtensionError } from './agent-error.ts';
import type { HandlerContext } from './handler-context.ts';
import { writeHandlerState, writeHandlerStatus } from './handler-store.ts';
import { runOperation } from './operation.ts';

/** Exit code of the old version's uninstall; `undefined` when the operation belongs to no update. */
type OldUninstall = number | undefined;

export async function install(context: HandlerContext, oldUninstall?: OldUninstall): Promise<void> {
  await runOperation(context, 'install', { uninstallExitCode: formatUninstall(oldUninstall) });
  await writeHandlerState(context.handler, 'Installed');
  await writeHandlerStatus(context.handler, HANDLER_NOT_READY, 0, HANDLER_MESSAGES.installed);
}

export async function enable(context: HandlerContext, oldUninstall?: OldUninstall): Promise<void> {
  await runOperation(context, 'enable', { uninstallExitCode: formatUninstall(oldUninstall) });
  await writeHandlerState(context.handler, 'Enabled');
  await writeHandlerStatus(context.handler, HANDLER_READY, 0, HANDLER_MESSAGES.enabled);
}

export async function disable(context: HandlerContext): Promise<void> {
  await runOperation(context, 'disable');
  await writeHandlerState(context.handler, 'Installed');
  await writeHandlerStatus(context.handler, HANDLER_NOT_READY, 0, HANDLER_MESSAGES.disabled);
}

export interface UpdateVersions {
  readonly targetVersion: string;
  readonly updatingFromVersion: string;
  /** Exit code of the old version's disable; `undefined` when it was not run. */
  readonly disableExitCode: number | undefined;
}

/** Runs `update`. A command that fails makes the version that ran it a failed upgrade. */
export async function update(context: HandlerContext, versions: UpdateVersions): Promise<void> {
  const { targetVersion, updatingFromVersion, disableExitCode } = versions;
  try {
    await runOperation(context, 'update', {
      targetVersion,
      updatingFromVersion,
      // The agent looks the code up in a way that misses its own default, so the text is not NOT_RUN.
      disableExitCode: disableExitCode === undefined ? DISABLE_NOT_RUN : String(disableExitCode),
    });
  } catch (thrown) {
    if (isExtensionError(thrown)) await writeHandlerState(context.handler, 'FailedUpgrade');
    throw thrown;
  }
}

export async function uninstall(context: HandlerContext): Promise<void> {
  await runOperation(context, 'uninstall');
}

function formatUninstall(oldUninstall: OldUninstall): string {
  return oldUninstall === undefined ? NOT_RUN : String(oldUninstall);
}
