/**
 * One pass over a goal state: whether it is processed at all, in which order, what waits for what, and what is cleaned up.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` run, __process_and_handle_extensions, handle_ext_handlers,
 * _cleanup_outdated_handlers; agent-contract 7.1, 7.6, 7.8, 7.9.
 */
import {
  AGENT_ACTIVITIES,
  AGENT_ERROR_CODES,
  DEPENDENCY_LIMIT_MINUTES,
  GOAL_STATE_CODES,
} from '@handlerkit/sdk/contract';
import { toAgentError } from './agent-error.ts';
import { openHandlerLog, writeAgentLog } from './agent-log.ts';
import { writeErrorStatus } from './configuration-store.ts';
import { awaitDependency } from './dependency-wait.ts';
import type { Permissions, Refusal } from './disallowed.ts';
import { readPermissions, refusalCode } from './disallowed.ts';
import type { GoalState, GoalStateExtension, RequestedState } from './goal-state.ts';
import { fullNameOf, orderExtensions, orderKey, REQUESTED_STATES } from './goal-state.ts';
import type { AgentContext } from './handler-context.ts';
import { openHandlerContext } from './handler-context.ts';
import { handlerInstance } from './handler-instance.ts';
import { listHandlers, noteFailure, readHandlerStatus, removeHandler } from './handler-store.ts';
import { decideHandler, processExtension } from './handler-transition.ts';
import { readSettingsNodes } from './settings-node.ts';

/** What the agent reports of a goal state as a whole. It is a success even when extensions in it failed. */
export interface GoalStateOutcome {
  readonly status: 'Success' | 'Failed';
  readonly code: number;
  readonly message: string;
}

/** The features that a goal state may ask of this agent. */
const FEATURES: readonly string[] = ['MultipleExtensionsPerHandler', 'VersioningGovernance'];

/** Those that it asks for and this agent does not have. The agent then reports what it finds on the disk. */
export function unsupportedFeatures(goalState: GoalState): readonly string[] {
  return (goalState.requiredFeatures ?? []).filter((feature) => !FEATURES.includes(feature));
}

/**
 * Processes a goal state; `undefined` when it is on hold, and then nothing is done. Rejects with the reason of the
 * agent's signal only: any other failure is the outcome.
 */
export async function passGoalState(
  agent: AgentContext,
  goalState: GoalState,
): Promise<GoalStateOutcome | undefined> {
  const permissions = await readPermissions(agent.machine);
  if (goalState.onHold === true && permissions.configuration.overProvisioning) {
    await say(agent, 'Extension handling is on hold');
    return undefined;
  }
  const started = agent.now();
  await writeAgentLog(agent.machine, `ProcessExtensionsGoalState started [${goalState.id}]`, agent);
  const outcome = await processAll(agent, goalState, permissions);
  if (outcome.code !== GOAL_STATE_CODES.unsupportedFeatures) await removeVanished(agent, goalState);
  const duration = agent.now().getTime() - started.getTime();
  await writeAgentLog(
    agent.machine,
    `ProcessExtensionsGoalState completed [${goalState.id} ${duration} ms]`,
    agent,
  );
  return outcome;
}

async function processAll(
  agent: AgentContext,
  goalState: GoalState,
  permissions: Permissions,
): Promise<GoalStateOutcome> {
  const unsupported = unsupportedFeatures(goalState);
  if (unsupported.length > 0) {
    const message = `Failing GS ${goalState.id} as Unsupported features found: ${unsupported.join(', ')}`;
    await say(agent, message);
    return { status: 'Failed', code: GOAL_STATE_CODES.unsupportedFeatures, message };
  }
  try {
    await processExtensions(agent, readSettingsNodes(goalState), permissions);
    return { status: 'Success', code: GOAL_STATE_CODES.success, message: 'GoalState executed successfully' };
  } catch (thrown) {
    agent.signal?.throwIfAborted();
    const message = `Unexpected error when processing goal state:${toAgentError(thrown).message}`;
    await say(agent, message);
    return { status: 'Failed', code: GOAL_STATE_CODES.unknownFailure, message };
  }
}

async function processExtensions(
  agent: AgentContext,
  goalState: GoalState,
  permissions: Permissions,
): Promise<void> {
  if (goalState.extensions.length === 0) {
    await writeAgentLog(agent.machine, 'No extension handlers found, not processing anything.', agent);
  }
  const deadline = new Date(agent.now().getTime() + DEPENDENCY_LIMIT_MINUTES * 60_000);
  const extensions = orderExtensions(goalState);
  const last = extensions.at(-1);
  const highestLevel = last === undefined ? 0 : orderKey(last);
  let obstacle: string | undefined;
  for (const extension of extensions) {
    agent.signal?.throwIfAborted();
    const state = requireState(extension);
    const refusal = permissions.refusalOf(extension, state);
    if (refusal !== undefined && !refusal.blocksOthers) {
      await refuse(agent, extension, state, refusal);
      continue;
    }
    if (obstacle !== undefined) {
      await skip(agent, extension, obstacle);
      continue;
    }
    if (refusal !== undefined) await refuse(agent, extension, state, refusal);
    const hasSucceeded =
      refusal === undefined && (await processExtension(agent, extension, state, goalState));
    const level = orderKey(extension);
    if (level < 0 || level >= highestLevel) continue;
    obstacle = hasSucceeded
      ? await awaitDependency(agent, await decideHandler(agent.machine, extension), extension, deadline)
      : `Skipping processing of extensions since execution of dependent extension ${fullNameOf(extension)} failed`;
  }
}

/** The agent stumbles over any other state in Python's words. */
function requireState({ handlerName, requestedState }: GoalStateExtension): RequestedState {
  const state = REQUESTED_STATES.find((one) => one === requestedState);
  if (state !== undefined) return state;
  throw new Error(
    `cannot unpack non-iterable NoneType object (${handlerName}: the state "${requestedState}" is none of ${REQUESTED_STATES.join(', ')})`,
  );
}

/** An extension that may not be processed gets no command; a status says so, in the place of any that is there. */
async function refuse(
  agent: AgentContext,
  extension: GoalStateExtension,
  state: RequestedState,
  { message }: Refusal,
): Promise<void> {
  const named = handlerInstance(agent.machine, extension.handlerName, extension.version);
  const { handler, log } = await openHandlerContext(agent, named, extension, [extension]);
  const code = refusalCode(state);
  await noteFailure(handler, code, message);
  if (extension.settings !== undefined && state === 'enabled') {
    const failure = { activity: null, code, message, now: agent.now() };
    await writeErrorStatus(handler, extension, failure, 'overwrite');
  }
  await log.error(message);
}

/** An extension that has to wait for one that did not succeed gets no command, only a status that says so. */
async function skip(agent: AgentContext, extension: GoalStateExtension, obstacle: string): Promise<void> {
  const named = handlerInstance(agent.machine, extension.handlerName, extension.version);
  const { handler, log } = await openHandlerContext(agent, named, extension, [extension]);
  const code = AGENT_ERROR_CODES.unknownFailure;
  if (extension.extensionName === undefined) {
    await noteFailure(handler, code, obstacle);
  } else {
    // The other configurations' handler keeps the status that it has.
    if ((await readHandlerStatus(handler)) === undefined) await noteFailure(handler, code, obstacle);
    const activity = AGENT_ACTIVITIES.processing;
    await writeErrorStatus(
      handler,
      extension,
      { activity, code, message: obstacle, now: agent.now() },
      'if-missing',
    );
  }
  await log.warn(obstacle);
}

/** Deletes the folders of handlers that the goal state does not name any more, without a call of theirs. */
async function removeVanished(agent: AgentContext, goalState: GoalState): Promise<void> {
  const named = new Set(goalState.extensions.map((extension) => extension.handlerName));
  for (const handler of await listHandlers(agent.machine)) {
    if (named.has(handler.handlerName)) continue;
    const log = await openHandlerLog(handler, agent);
    await log.note(`Remove extension handler directory: ${handler.folder}`);
    try {
      await removeHandler(handler);
    } catch (thrown) {
      // The agent reports it and goes on; the folder is tried again with the next goal state.
      await log.warn(`Failed to remove extension handler directory: ${toAgentError(thrown).message}`);
    }
  }
}

/** Writes a line of the agent itself, and tells it to whoever watches. */
async function say(agent: AgentContext, text: string): Promise<void> {
  await writeAgentLog(agent.machine, text, agent);
  agent.onEvent({ kind: 'note', handlerName: undefined, text });
}
