/**
 * Collects what the agent reports of one handler: its own status, the heartbeat laid over it, the extension's status.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` report_ext_handler_status, get_extension_handler_statuses; agent-contract 8.6, 9.
 */
import { toAgentError } from './agent-error.ts';
import { readExtensionState } from './configuration-store.ts';
import { isRefusal } from './disallowed.ts';
import type { GoalStateExtension } from './goal-state.ts';
import { isToBeDisabled, sequenceOf } from './goal-state.ts';
import type { AgentContext } from './handler-context.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { handlerInstance } from './handler-instance.ts';
import type { HandlerReport } from './handler-report.ts';
import { noteFailure, readHandlerState, readHandlerStatus } from './handler-store.ts';
import { decideHandler } from './handler-transition.ts';
import { checkHeartbeat } from './heartbeat-check.ts';
import { readStatus } from './status-reading.ts';

/**
 * `undefined` when the agent reports nothing: it has no status of this handler, for instance after its removal, or the
 * configuration is disabled as the goal state wants it.
 */
export async function reportHandler(
  agent: AgentContext,
  extension: GoalStateExtension,
): Promise<HandlerReport | undefined> {
  const handler = await reportedHandler(agent, extension);
  const { extensionName } = extension;
  if (extensionName !== undefined && isToBeDisabled(extension)) {
    if ((await readExtensionState(handler, extensionName)) === 'disabled') return undefined;
  }
  const noted = await readHandlerStatus(handler);
  if (noted === undefined) return undefined;
  const base: HandlerReport = {
    handlerName: handler.handlerName,
    handlerVersion: handler.version,
    extensionName,
    status: noted.status,
    code: noted.code,
    message: noted.message,
    extension: undefined,
    silencesVm: undefined,
  };
  const isInstalled = (await readHandlerState(handler)) !== 'NotInstalled';
  const isRefused = isRefusal(noted.message);
  // Of several configurations each has an error status of its own when the handler could not be installed, and so has an
  // extension that is not allowed.
  if (!isInstalled && extensionName === undefined && !isRefused) return base;
  const heartbeat = isInstalled ? await heartbeatPart(agent, handler) : {};
  const beating = { ...base, ...(isRefused ? refusedHeartbeat(noted.message, heartbeat) : heartbeat) };
  if (extension.settings === undefined) return beating;
  const verdict = await readStatus(handler, extension, agent);
  return {
    ...beating,
    extension: { name: extensionName ?? handler.handlerName, sequence: sequenceOf(extension), verdict },
  };
}

/** The version that was worked on. One that was refused is the version that the goal state names. */
async function reportedHandler(agent: AgentContext, extension: GoalStateExtension): Promise<HandlerInstance> {
  const named = handlerInstance(agent.machine, extension.handlerName, extension.version);
  if (isRefusal((await readHandlerStatus(named))?.message ?? null)) return named;
  return await decideHandler(agent.machine, extension);
}

/** The heartbeat of an extension that is not allowed any more changes nothing; its message is added to the refusal. */
function refusedHeartbeat(refusal: string | null, heartbeat: HeartbeatPart): HeartbeatPart {
  const { silencesVm, message } = heartbeat;
  const silence = silencesVm === undefined ? {} : { silencesVm };
  if (message === undefined) return silence;
  const text = `${refusal} Extension was previously enabled and reported the following heartbeat:\n${message ?? 'None'}`;
  return { ...silence, message: text };
}

type HeartbeatPart = Partial<Pick<HandlerReport, 'status' | 'message' | 'silencesVm'>>;

/** What the heartbeat changes. A faulty one is noted on disk, so that it shows in the next report, as in the agent. */
async function heartbeatPart(agent: AgentContext, handler: HandlerInstance): Promise<HeartbeatPart> {
  try {
    const verdict = await checkHeartbeat(handler, agent.now());
    switch (verdict?.kind) {
      case undefined:
      case 'ignored':
        return {};
      case 'silences':
        return { silencesVm: verdict.reason };
      case 'reported':
        return {
          status: verdict.status,
          ...(verdict.message === undefined ? {} : { message: verdict.message }),
        };
      case 'failed':
        await noteFailure(handler, verdict.code, verdict.message);
        return verdict.status === undefined ? {} : { status: verdict.status };
    }
  } catch (thrown) {
    const error = toAgentError(thrown);
    await noteFailure(handler, error.code, error.message);
    return {};
  }
}
