/**
 * One operation of a handler from beginning to end: this is what the agent runs. Gives the exit code; never throws.
 */
import { dirname, join } from 'node:path';
import { parseAgentVariables } from './contract/agent-variables.ts';
import { EXIT_CODES } from './contract/exit-codes.ts';
import { ContractError } from './contract/json.ts';
import type { Operation } from './contract/operations.ts';
import { isOperation, OPERATION_TITLES, OPERATIONS } from './contract/operations.ts';
import { CONFIG_FOLDER, formatStatusFile, STATUS_FOLDER } from './contract/package-layout.ts';
import { cutText, formatStatus, isFinal } from './contract/status.ts';
import { enable } from './enable.ts';
import { HandlerError, toHandlerError } from './errors.ts';
import { EXTENSION_FILE, parseExtensionDescription } from './extension-description.ts';
import type { HandlerDefinition } from './handler.ts';
import { findSequence } from './handler-files.ts';
import type { Host } from './host.ts';
import type { OperationRun } from './operation-run.ts';
import { startOperation } from './operation-run.ts';
import { createRedactor } from './redaction.ts';
import { readStatusFile } from './run-store.ts';
import { errorStatus } from './status-messages.ts';
import { disable, install, uninstall, update } from './version-operations.ts';
import { writeWholeFile } from './whole-file.ts';

/** What one operation needs from the program that runs it. */
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
  const sayError = (error: HandlerError): void => {
    const text = redactor.redact(`${title} failed: ${error.code}: ${error.message}`);
    deps.stderr(`${cutText(text, STDERR_CHARACTERS)}\n`);
  };
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
      sayError,
    });
    return await perform(definition, run);
  } catch (thrown) {
    const error = fromContract(thrown);
    run?.log.error(error.message, { code: error.code });
    if (title === OPERATION_TITLES.enable && error.code !== 'LOCKED')
      reportEarlyFailure(deps, run, error, redactor.redact);
    sayError(error);
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

/**
 * Enable failed before its own reporting began (no environment, no data folder, no lock). Without a status the agent
 * would show a launcher's `transitioning` for ever, so an error is left where the agent looks, by the launcher's own rule:
 * the agent's variables, else the folder above the program's and the settings file that was written last.
 * A finished status stays. Whoever holds the lock may be working on this sequence, and then reports it.
 */
function reportEarlyFailure(
  { host, programPath }: LifecycleDeps,
  run: OperationRun | undefined,
  error: HandlerError,
  redact: (text: string) => string,
): void {
  try {
    const variables = parseAgentVariables(host.env);
    const base = variables.extensionPath ?? dirname(dirname(programPath));
    const configFolder = run?.environment.configFolder ?? join(base, CONFIG_FOLDER);
    const sequence = run?.sequence ?? findSequence(host, variables, { configFolder });
    if (sequence === undefined) return;
    const folder = run?.environment.statusFolder ?? join(base, STATUS_FOLDER);
    const path = host.path(join(folder, formatStatusFile(sequence, variables.extensionName)));
    const present = readStatusFile(path);
    if (present !== undefined && isFinal(present.status)) return;
    const status = errorStatus('enable', error, host.now());
    writeWholeFile(path, formatStatus({ ...status, message: redact(status.message) }), { durable: false });
  } catch {
    // The message on stderr is what is left: the disk may be full, or the variables no text that can be read.
  }
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
