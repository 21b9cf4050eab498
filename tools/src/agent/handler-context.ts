/** What the processing of one entry of a goal state carries along. */
import type { AgentActivity, Operation } from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import type { AgentEvent } from './agent-event.ts';
import type { HandlerLog } from './agent-log.ts';
import { openHandlerLog } from './agent-log.ts';
import type { GoalStateExtension } from './goal-state.ts';
import type { HandlerInstance } from './handler-instance.ts';

export interface AgentContext {
  readonly machine: Machine;
  readonly wireProtocolAddress: string;
  readonly onEvent: (event: AgentEvent) => void;
  now(): Date;
  sleep(ms: number): Promise<void>;
  /** Time limit of an operation in milliseconds. */
  operationTimeoutMs(operation: Operation): number;
  readonly signal: AbortSignal | undefined;
}

export interface HandlerContext {
  readonly agent: AgentContext;
  /** The version whose commands run. */
  readonly handler: HandlerInstance;
  /** What the goal state wants; its sequence number goes to old versions too. */
  readonly extension: GoalStateExtension;
  /** Every entry that the goal state has of this handler, `extension` among them. */
  readonly entries: readonly GoalStateExtension[];
  readonly log: HandlerLog;
  /** What the agent is doing with this version; it stands in the statuses that the agent writes itself. */
  readonly progress: { activity: AgentActivity | null };
}

/** The context of one version of a handler for one entry of the goal state. */
export async function openHandlerContext(
  agent: AgentContext,
  handler: HandlerInstance,
  extension: GoalStateExtension,
  entries: readonly GoalStateExtension[],
): Promise<HandlerContext> {
  const log = await openHandlerLog(handler, agent, extension.extensionName);
  const hasSeveral = extension.extensionName !== undefined;
  return {
    agent,
    handler: { ...handler, hasSeveral },
    extension,
    entries,
    log,
    progress: { activity: null },
  };
}

/** The same version's context for another entry of its handler. */
export async function contextFor(
  context: HandlerContext,
  extension: GoalStateExtension,
): Promise<HandlerContext> {
  const { agent, handler, entries, progress } = context;
  return { ...(await openHandlerContext(agent, handler, extension, entries)), progress };
}
