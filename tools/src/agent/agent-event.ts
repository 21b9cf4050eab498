/** What a goal state's processing tells whoever watches it, while it goes on. */
import type { Operation } from '@handlerkit/sdk/contract';

export type AgentEvent = OperationStarted | OperationEnded | AgentNote;

export interface OperationStarted {
  readonly kind: 'operation-started';
  readonly handlerName: string;
  /** Name of the configuration, for a handler with several. */
  readonly extensionName?: string | undefined;
  /** Version of the handler that runs the command: in an update, the old one's disable and uninstall run as the old one. */
  readonly version: string;
  readonly operation: Operation;
  readonly commandLine: string;
}

export interface OperationEnded {
  readonly kind: 'operation-ended';
  readonly handlerName: string;
  /** Name of the configuration, for a handler with several. */
  readonly extensionName?: string | undefined;
  readonly version: string;
  readonly operation: Operation;
  readonly commandLine: string;
  /** `null` after a time-out and when the command could not be started. */
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  readonly durationMs: number;
  /** Both streams as the agent puts them into its messages: `[stdout]` and `[stderr]`, cut. */
  readonly output: string;
}

/** A line of the agent's log that is worth showing. */
export interface AgentNote {
  readonly kind: 'note';
  /** `undefined` when it is about the goal state as a whole. */
  readonly handlerName: string | undefined;
  readonly text: string;
}
