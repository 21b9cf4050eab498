/**
 * Runs one command of a handler as the agent does, and makes of its end what the agent makes of it.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` launch_command, `ga/extensionprocessutil.py`; agent-contract 6, 11.
 * The agent sleeps a second after every command before it looks at the result; that is left out, because nothing that a
 * handler can notice depends on it.
 */
import type { AgentVariablesInput, Operation } from '@handlerkit/sdk/contract';
import {
  AGENT_ACTIVITIES,
  AGENT_ERROR_CODES,
  AGENT_VERSION,
  DAEMON_VERSION_VARIABLE,
  EXIT_CODE_NOT_EXECUTABLE,
  formatAgentVariables,
  formatPythonJson,
  OPERATION_ERROR_CODES,
  OPERATION_TITLES,
} from '@handlerkit/sdk/contract';
import type { CommandResult } from '../vm/machine.ts';
import { AgentError } from './agent-error.ts';
import { sequenceOf } from './goal-state.ts';
import type { HandlerContext } from './handler-context.ts';
import { loadManifest } from './handler-instance.ts';
import { findNoexecMount } from './noexec-mount.ts';
import { captureCommand } from './operation-output.ts';

/** The variables that only some operations have. */
export type OperationVariables = Pick<
  AgentVariablesInput,
  'uninstallExitCode' | 'updatingFromVersion' | 'targetVersion' | 'disableExitCode' | 'disableExitCodes'
>;

/**
 * Runs the operation's command and waits for its end. Throws {@link AgentError} when the manifest has no such command,
 * when it cannot be started, exits with another code than 0, or does not end in time; and the reason of the signal
 * when that is aborted.
 */
export async function runOperation(
  context: HandlerContext,
  operation: Operation,
  variables: OperationVariables = {},
): Promise<void> {
  const { agent, handler, log } = context;
  const manifest = await loadManifest(handler);
  const command = manifest.commands[operation];
  await log.info(describeStart(operation, command));
  // The agent notes an install only when there is a command, and the others before they look for one.
  if (operation !== 'install' || command !== undefined) {
    context.progress.activity = AGENT_ACTIVITIES[operation];
  }
  if (command === undefined) {
    const fault = manifest.commandFaults[operation] ?? operation;
    throw new AgentError('Unexpected', fault, AGENT_ERROR_CODES.unknownFailure);
  }
  // One text for the shell; a slash at the beginning does not make the command absolute.
  const commandLine = `${quoteFolder(handler.folder)}/${command.replace(/^\/+/, '')}`;
  const contract = formatAgentVariables({
    extensionPath: handler.folder,
    extensionVersion: handler.version,
    wireProtocolAddress: agent.wireProtocolAddress,
    sequenceNumber: sequenceOf(context.extension),
    extensionName: context.extension.extensionName,
    ...variables,
  });
  await log.info(
    `Executing command: ${commandLine} with environment variables: ${formatPythonJson(contract)}`,
  );
  const { extensionName } = context.extension;
  const event = {
    handlerName: handler.handlerName,
    extensionName,
    version: handler.version,
    operation,
    commandLine,
  };
  agent.signal?.throwIfAborted();
  agent.onEvent({ kind: 'operation-started', ...event });
  // The agent's own environment lies over the contract's variables; this agent's has none of their names.
  const env = { ...contract, ...AGENT_ENVIRONMENT };
  const timeoutMs = agent.operationTimeoutMs(operation);
  const { result, output } = await captureCommand(context, commandLine, env, timeoutMs);
  const { exitCode, timedOut, durationMs } = result;
  agent.onEvent({ kind: 'operation-ended', ...event, exitCode, timedOut, durationMs, output });
  agent.signal?.throwIfAborted();
  const failure = await judgeEnd(context, operation, commandLine, timeoutMs, result, output);
  if (failure !== undefined) throw failure;
  // The manifest's words, unlike the line above, and no blank line, also not at the end.
  const lines = output.split('\n').filter((line) => line !== '');
  await log.info(`Command: ${[command, ...lines].join('\n')}`);
}

/**
 * The environment of the agent's service: what systemd gives a service of root. It has no HOME, no USER and nothing of
 * the tool's own, so a handler that needs them fails here as it does in Azure.
 */
const AGENT_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  [DAEMON_VERSION_VARIABLE]: AGENT_VERSION,
  // Source: UP:run_latest, which starts the process that handles extensions.
  PYTHONDONTWRITEBYTECODE: '1',
};

/**
 * The agent does not quote the folder, and in Azure it never has to. Where the VM's folder is the user's choice, one with
 * a blank in it must not make every command fail.
 */
function quoteFolder(folder: string): string {
  return /^[\w./@%+,:=-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", "'\\''")}'`;
}

function describeStart(operation: Operation, command: string | undefined): string {
  const colon = operation === 'enable' || operation === 'disable' ? ':' : '';
  return `${OPERATION_TITLES[operation]} extension${colon} [${command ?? 'None'}]`;
}

async function judgeEnd(
  context: HandlerContext,
  operation: Operation,
  commandLine: string,
  timeoutMs: number,
  result: CommandResult,
  output: string,
): Promise<AgentError | undefined> {
  const code = OPERATION_ERROR_CODES[operation];
  if (result.launchError !== undefined) {
    return new AgentError('ExtensionError', `Failed to launch '${commandLine}': ${result.launchError}`, code);
  }
  if (result.timedOut) {
    const text = `Timeout(${timeoutMs / 1000}): ${commandLine}\n${output}`;
    return new AgentError('ExtensionError', text, AGENT_ERROR_CODES.timedOut);
  }
  if (result.exitCode === 0) return undefined;
  const hint = result.exitCode === EXIT_CODE_NOT_EXECUTABLE ? await noexecHint(context) : '';
  const text = `Non-zero exit code: ${result.exitCode}, ${commandLine}${hint}\n${output}`;
  return new AgentError('ExtensionOperationError', text, code, result.exitCode ?? undefined);
}

/** Asks the VM itself for its mounts, because this process sees others. */
async function noexecHint(context: HandlerContext): Promise<string> {
  const read = await captureCommand(context, 'cat /proc/self/mounts', AGENT_ENVIRONMENT, MOUNTS_TIMEOUT_MS);
  const mount = findNoexecMount(read.stdout, context.agent.machine.libFolder);
  return mount === undefined
    ? ''
    : `\nWARNING: ${mount} is mounted with the noexec flag, which can prevent execution of VM Extensions.`;
}

const MOUNTS_TIMEOUT_MS = 10_000;
