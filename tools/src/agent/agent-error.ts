/**
 * The failures that the agent knows, with the class name that it puts before their texts and the code that it reports.
 * Source: WALinuxAgent 2.15 `common/exception.py`; agent-contract 6.5, 6.6, 6.8, 7.3.
 */
import { AGENT_ERROR_CODES } from '@handlerkit/sdk/contract';

/** The agent's exception classes. `Unexpected` stands for all others: no class name in the text, and always code -1. */
export type AgentErrorKind =
  | 'ExtensionError'
  | 'ExtensionOperationError'
  | 'ExtensionUpdateError'
  | 'ExtensionDownloadError'
  | 'ExtensionsGoalStateError'
  | 'MultiConfigExtensionEnableError'
  | 'Unexpected';

/** A handler's processing failed as it can fail in the agent. `message` is the text that the agent reports. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly kind: AgentErrorKind;
  readonly code: number;
  /** Exit code of the command that failed; `undefined` when there was none, as after a time-out. */
  readonly exitCode: number | undefined;

  constructor(kind: AgentErrorKind, text: string, code: number, exitCode?: number) {
    super(kind === 'Unexpected' ? text : `[${kind}] ${text}`);
    this.kind = kind;
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** Makes an {@link AgentError} of anything thrown; what the agent does not expect keeps its message. */
export function toAgentError(thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new AgentError('Unexpected', message, AGENT_ERROR_CODES.unknownFailure);
}

/** True for the failures that the agent's update and uninstall can carry on after. */
export function isExtensionError(thrown: unknown): thrown is AgentError {
  return thrown instanceof AgentError && thrown.kind !== 'Unexpected';
}
