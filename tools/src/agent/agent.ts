/**
 * The embedded agent: does with the handlers of a VM what the Azure Linux Agent does, one goal state at a time. All it
 * knows is on the VM's disk, so every call may come from another process.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py`, `ga/update.py` run; agent-contract 3, 5.2, 7.
 */
import type { Operation } from '@handlerkit/sdk/contract';
import { OPERATION_TIMEOUT_SECONDS, WIRE_SERVER_ADDRESS } from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import type { AgentEvent } from './agent-event.ts';
import { protectCertificates } from './certificate-modes.ts';
import { findOnDisk } from './disk-report.ts';
import type { GoalState } from './goal-state.ts';
import type { GoalStateOutcome } from './goal-state-pass.ts';
import { passGoalState, unsupportedFeatures } from './goal-state-pass.ts';
import type { AgentContext } from './handler-context.ts';
import type { HandlerReport } from './handler-report.ts';
import { listHandlers } from './handler-store.ts';
import { writeHandlerEnvironment } from './package-install.ts';
import { reportHandler } from './report.ts';
import { readSettingsNodes } from './settings-node.ts';

export type { AgentEvent } from './agent-event.ts';
export type {
  GoalState,
  GoalStateExtension,
  GoalStatePackage,
  GoalStateSettings,
  RequestedState,
} from './goal-state.ts';
export type { GoalStateOutcome } from './goal-state-pass.ts';
export type { ExtensionReport, HandlerReport } from './handler-report.ts';

export interface Agent {
  /**
   * What the agent does when it starts, for instance after a reboot: writes the handler environment of every handler on
   * the VM anew, and makes certificates and keys readable for their owner only. Runs no command; a started agent then
   * processes the goal state again, which is for the caller to do.
   */
  start(): Promise<void>;
  /**
   * Brings the VM to a goal state: runs the operations of every handler, one after the other, and deletes the handlers
   * that the goal state does not name. A handler that fails is no error of this call; its failure is in the report.
   * Rejects with the reason of `signal` when that is aborted; the command that runs then is killed. A goal state that the
   * agent does not process, or gives up on, is no error either: that is its outcome.
   */
  processGoalState(goalState: GoalState, signal?: AbortSignal): Promise<void>;
  /**
   * What the agent reports of the handlers of a goal state, from the disk as it is now. Runs no command. Waits some
   * seconds for a status file that is missing, as the agent does.
   */
  report(goalState: GoalState): Promise<readonly HandlerReport[]>;
  /** What became of the last goal state as a whole, as this object remembers it; `undefined` before the first one. */
  outcome?(): GoalStateOutcome | undefined;
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
  let outcome: GoalStateOutcome | undefined;
  return {
    async start() {
      for (const handler of await listHandlers(options.machine)) await writeHandlerEnvironment(handler);
      await protectCertificates(options.machine);
    },
    async processGoalState(goalState, signal) {
      // A goal state on hold leaves the outcome of the one before.
      outcome = (await passGoalState(contextOf(signal), goalState)) ?? outcome;
    },
    outcome: () => outcome,
    async report(goalState) {
      const agent = contextOf(undefined);
      const reports: HandlerReport[] = [];
      const isUnsupported = unsupportedFeatures(goalState).length > 0;
      const extensions = isUnsupported
        ? await findOnDisk(options.machine)
        : readSettingsNodes(goalState).extensions;
      for (const extension of extensions) {
        const report = await reportHandler(agent, extension);
        if (report !== undefined) reports.push(report);
      }
      return reports;
    },
  };
}
