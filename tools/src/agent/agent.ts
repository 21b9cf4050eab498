/**
 * The embedded agent: does with the handlers of a VM what the Azure Linux Agent does, one goal state at a time. All it
 * knows is on the VM's disk, so every call may come from another process.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` run, handle_ext_handlers, _cleanup_outdated_handlers; agent-contract 7.
 */
import type { Operation } from '@handlerkit/sdk/contract';
import {
  AGENT_ERROR_CODES,
  DEPENDENCY_LIMIT_MINUTES,
  OPERATION_TIMEOUT_SECONDS,
  WIRE_SERVER_ADDRESS,
} from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import { toAgentError } from './agent-error.ts';
import type { AgentEvent } from './agent-event.ts';
import { openHandlerLog, writeAgentLog } from './agent-log.ts';
import { writeMissingStatus } from './configuration-store.ts';
import { awaitDependency } from './dependency-wait.ts';
import type { GoalState, GoalStateExtension } from './goal-state.ts';
import { fullNameOf, orderExtensions, orderKey } from './goal-state.ts';
import type { AgentContext } from './handler-context.ts';
import type { HandlerReport } from './handler-report.ts';
import { listHandlers, noteFailure, readHandlerStatus, removeHandler } from './handler-store.ts';
import { decideHandler, processExtension } from './handler-transition.ts';
import { writeHandlerEnvironment } from './package-install.ts';
import { reportHandler } from './report.ts';

export type { AgentEvent } from './agent-event.ts';
export type { GoalState, GoalStateExtension, GoalStateSettings, RequestedState } from './goal-state.ts';
export type { ExtensionReport, HandlerReport } from './handler-report.ts';

export interface Agent {
  /**
   * What the agent does when it starts, for instance after a reboot: writes the handler environment of every handler on
   * the VM anew. Runs no command; a started agent then processes the goal state again, which is for the caller to do.
   */
  start(): Promise<void>;
  /**
   * Brings the VM to a goal state: runs the operations of every handler, one after the other, and deletes the handlers
   * that the goal state does not name. A handler that fails is no error of this call; its failure is in the report.
   * Rejects with the reason of `signal` when that is aborted; the command that runs then is killed.
   */
  processGoalState(goalState: GoalState, signal?: AbortSignal): Promise<void>;
  /**
   * What the agent reports of the handlers of a goal state, from the disk as it is now. Runs no command. Waits some
   * seconds for a status file that is missing, as the agent does.
   */
  report(goalState: GoalState): Promise<readonly HandlerReport[]>;
}

export interface AgentOptions {
  readonly machine: Machine;
  /** Bare host name or address; default: the one in Azure. */
  readonly wireProtocolAddress?: string;
  readonly onEvent?: (event: AgentEvent) => void;
}

export interface AgentDeps {
  now(): Date;
  sleep(ms: number): Promise<void>;
  /** Time limit of an operation in milliseconds; default: the agent's own. */
  operationTimeoutMs?(operation: Operation): number;
}

export function createAgent(options: AgentOptions, deps: AgentDeps): Agent {
  const contextOf = (signal: AbortSignal | undefined): AgentContext => ({
    machine: options.machine,
    wireProtocolAddress: options.wireProtocolAddress ?? WIRE_SERVER_ADDRESS,
    onEvent: options.onEvent ?? (() => {}),
    now: () => deps.now(),
    sleep: (ms) => deps.sleep(ms),
    operationTimeoutMs: (operation) =>
      deps.operationTimeoutMs?.(operation) ?? OPERATION_TIMEOUT_SECONDS[operation] * 1000,
    signal,
  });
  return {
    async start() {
      for (const handler of await listHandlers(options.machine)) await writeHandlerEnvironment(handler);
    },
    processGoalState: (goalState, signal) => processGoalState(contextOf(signal), goalState),
    async report(goalState) {
      const agent = contextOf(undefined);
      const reports: HandlerReport[] = [];
      for (const extension of goalState.extensions) {
        const report = await reportHandler(agent, extension);
        if (report !== undefined) reports.push(report);
      }
      return reports;
    },
  };
}

async function processGoalState(agent: AgentContext, goalState: GoalState): Promise<void> {
  const started = agent.now();
  await writeAgentLog(agent.machine, `ProcessExtensionsGoalState started [${goalState.id}]`, agent);
  const extensions = orderExtensions(goalState);
  const last = extensions.at(-1);
  const highestLevel = last === undefined ? 0 : orderKey(last);
  const deadline = new Date(started.getTime() + DEPENDENCY_LIMIT_MINUTES * 60_000);
  let obstacle: string | undefined;
  for (const extension of extensions) {
    agent.signal?.throwIfAborted();
    if (obstacle !== undefined) {
      await skip(agent, extension, obstacle);
      continue;
    }
    const hasSucceeded = await processExtension(agent, extension, goalState);
    const level = orderKey(extension);
    if (level < 0 || level >= highestLevel) continue;
    obstacle = hasSucceeded
      ? await awaitDependency(agent, await decideHandler(agent.machine, extension), extension, deadline)
      : `Skipping processing of extensions since execution of dependent extension ${fullNameOf(extension)} failed`;
  }
  await removeVanished(agent, goalState);
  const duration = agent.now().getTime() - started.getTime();
  await writeAgentLog(
    agent.machine,
    `ProcessExtensionsGoalState completed [${goalState.id} ${duration} ms]`,
    agent,
  );
}

/** An extension that has to wait for one that did not succeed gets no command, only a status that says so. */
async function skip(agent: AgentContext, extension: GoalStateExtension, obstacle: string): Promise<void> {
  const handler = await decideHandler(agent.machine, extension);
  const code = AGENT_ERROR_CODES.unknownFailure;
  if (extension.extensionName === undefined) {
    await noteFailure(handler, code, obstacle);
  } else {
    // The other configurations' handler keeps the status that it has.
    if ((await readHandlerStatus(handler)) === undefined) await noteFailure(handler, code, obstacle);
    const failure = { operation: 'enable', code, message: obstacle, now: agent.now() } as const;
    await writeMissingStatus(handler, extension, failure);
  }
  await (await openHandlerLog(handler, agent, extension.extensionName)).warn(obstacle);
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
