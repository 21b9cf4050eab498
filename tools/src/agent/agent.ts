/**
 * The embedded agent: does with the handlers of a VM what the Azure Linux Agent does, one goal state at a time.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py`; agent-contract 7.
 */
import type { GoalState } from './goal-state.ts';
import type { HandlerReport } from './handler-report.ts';

export type { AgentEvent } from './agent-event.ts';
export type { GoalState, GoalStateExtension, GoalStateSettings, RequestedState } from './goal-state.ts';
export type { ExtensionReport, HandlerReport } from './handler-report.ts';

export interface Agent {
  /**
   * Brings the VM to a goal state: runs the operations of every handler, one after the other. A handler that fails is no
   * error of this call; its failure is in the report. Rejects with the reason of `signal` when that is aborted.
   */
  processGoalState(goalState: GoalState, signal?: AbortSignal): Promise<void>;
  /** What the agent reports of the handlers of a goal state, from the disk as it is now. Runs no command. */
  report(goalState: GoalState): Promise<readonly HandlerReport[]>;
}
