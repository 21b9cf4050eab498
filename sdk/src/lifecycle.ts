/**
 * One operation of a handler from beginning to end: this is what the agent runs. Gives the exit code; never throws.
 */
import { parseAgentVariables } from './contract/agent-variables.ts';
import { EXIT_CODES } from './contract/exit-codes.ts';
import { ContractError } from './contract/json.ts';
import type { Operation } from './contract/operations.ts';
import { isOperation, OPERATION_TITLES, OPERATIONS } from './contract/operations.ts';
import { cutText } from './contract/status.ts';
import { enable } from './enable.ts';
import { HandlerError, toHandlerError } from './errors.ts';
import { EXTENSION_FILE, parseExtensionDescription } from './extension-description.ts';
import type { HandlerDefinition } from './handler.ts';
import type { Host } from './host.ts';
import type { OperationRun } from './operation-run.ts';
import { startOperation } from './operation-run.ts';
import { createRedactor } from './redaction.ts';
import { disable, install, uninstall, update } from './version-operations.ts';

export interface LifecycleDeps {
  readonly host: Host;
  /** Real path of the program. */
  readonly programPath: string;
  /** Aborted when the operation is to end before its time. */
  readonly signal: AbortSignal;
  /** Takes a message for people; the agent shows it when the exit code is not 0. */
  readonly stderr: (text: string) => void;
}

/** Characters of an error message on stderr: the agent keeps 1,590 of each stream. */
const STDERR_CHARACTERS = 1_500;

/** Runs the operation that `words` name (the command line without the program); gives the exit code. Never throws. */
export async function runOperation<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  description: unknown,
  words: readonly string[],
  deps: LifecycleDeps,
): Promise<number> {
  const redactor = createRedactor();
  let run: OperationRun | undefined;
  let title = 'Handler';
  try {
    const operation = parseOperation(words);
    title = OPERATION_TITLES[operation];
    run = await startOperation({
      operation,
      host: deps.host,
      description: parseExtensionDescription(description, EXTENSION_FILE),
      variables: parseAgentVariables(deps.host.env),
      programPath: deps.programPath,
      redactor,
      signal: deps.signal,
    });
    return await perform(definition, run);
  } catch (thrown) {
    const error = fromContract(thrown);
    run?.log.error(error.message, { code: error.code });
    deps.stderr(
      `${cutText(redactor.redact(`${title} failed: ${error.code}: ${error.message}`), STDERR_CHARACTERS)}\n`,
    );
    return error.exitCode === EXIT_CODES.done ? EXIT_CODES.handlerError : error.exitCode;
  }
}

async function perform<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  run: OperationRun,
): Promise<number> {
  if (run.operation === 'enable') return enable(definition, run);
  const operations = { install, disable, update, uninstall };
  await operations[run.operation](definition, run);
  run.log.info(`${run.operation} ended`);
  return EXIT_CODES.done;
}

function parseOperation(words: readonly string[]): Operation {
  const [word = '', ...rest] = words;
  if (rest.length === 0 && isOperation(word)) return word;
  throw new HandlerError('WRONG_USAGE', `say one operation: ${OPERATIONS.join(', ')}`);
}

function fromContract(thrown: unknown): HandlerError {
  if (thrown instanceof ContractError) {
    return new HandlerError('ENVIRONMENT_INVALID', thrown.message, { cause: thrown });
  }
  return toHandlerError(thrown);
}
