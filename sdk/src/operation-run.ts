/**
 * One operation from its start: what the agent said, where the handler's folders are, the log, and what every author's
 * function gets.
 */
import { randomUUID } from 'node:crypto';
import type { AgentVariables } from './contract/agent-variables.ts';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import type { Operation } from './contract/operations.ts';
import type { DataFolder } from './data-folder.ts';
import { openDataFolder } from './data-folder.ts';
import type { HandlerError } from './errors.ts';
import type { ExtensionDescription } from './extension-description.ts';
import type { Logger, OperationContext } from './handler.ts';
import type { HandlerFolder } from './handler-files.ts';
import { findHandlerFolder, findSequence, readHandlerEnvironment } from './handler-files.ts';
import type { Host } from './host.ts';
import { withLock } from './lock.ts';
import { openLog } from './log.ts';
import type { Redactor } from './redaction.ts';

/** Seconds before the agent's own limit at which an operation ends by itself, to be able to say so. */
export const AGENT_MARGIN_SECONDS = 20;

export interface OperationRun {
  readonly operation: Operation;
  readonly host: Host;
  readonly description: ExtensionDescription;
  readonly variables: AgentVariables;
  readonly own: HandlerFolder;
  readonly environment: HandlerEnvironment;
  readonly sequence: number | undefined;
  readonly data: DataFolder;
  readonly redactor: Redactor;
  readonly log: Logger;
  /** Aborted from outside: SIGTERM, SIGINT, or a crash of stray code. */
  readonly signal: AbortSignal;
  /** Takes an error for people; the agent shows it when the exit code is not 0. */
  readonly sayError: (error: HandlerError) => void;
}

export interface OperationInput {
  readonly operation: Operation;
  readonly host: Host;
  readonly description: ExtensionDescription;
  readonly variables: AgentVariables;
  /** Real path of the running program, from which the handler's folder is found when the agent names none. */
  readonly programPath: string;
  readonly redactor: Redactor;
  readonly signal: AbortSignal;
  readonly sayError: (error: HandlerError) => void;
}

/** Finds everything that an operation needs. Throws `ENVIRONMENT_INVALID`. Writes nothing. */
export async function startOperation(input: OperationInput): Promise<OperationRun> {
  const { operation, host, description, variables, programPath, redactor, signal, sayError } = input;
  const own = findHandlerFolder(host, variables, programPath);
  const environment = await readHandlerEnvironment(host, own);
  const sequence = findSequence(host, variables, environment);
  const log = openLog(host, environment, redactor, {
    version: own.version,
    operation,
    sequence,
    extensionName: variables.extensionName,
    operationId: randomUUID(),
  });
  const data = openDataFolder(host, own, description.dataFolder);
  const said = { operation, host, description, variables, redactor, signal, sayError };
  return { ...said, own, environment, sequence, data, log };
}

/** A result is worth more than the lock: a data folder that was removed or cannot be written must not lose it. */
export async function withLockIfPossible({ host, data }: OperationRun, work: () => void): Promise<void> {
  try {
    data.create();
    await withLock(host, data.path, work);
  } catch {
    work();
  }
}

/** What every author's function gets; `signal` is replaced where the operation has limits. */
export function operationContext(run: OperationRun): OperationContext {
  return {
    operation: run.operation,
    host: run.host,
    log: run.log,
    signal: run.signal,
    dataFolder: run.data.path,
    handlerFolder: run.own.folder,
    environment: run.environment,
    version: run.own.version,
    sequence: run.sequence,
    extensionName: run.variables.extensionName,
  };
}
