/**
 * The environment variables that the agent gives a handler's command.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` ExtCommandEnvVariable, launch_command, update, install; agent-contract 6.3.
 * The agent lays its own environment over these, so a variable of the same name there wins.
 */
import { ContractError } from './json.ts';
import { formatPythonJson } from './python-values.ts';

/** Names of the environment variables that the agent gives to an operation. */
export const AGENT_VARIABLES = {
  extensionPath: 'AZURE_GUEST_AGENT_EXTENSION_PATH',
  extensionVersion: 'AZURE_GUEST_AGENT_EXTENSION_VERSION',
  wireProtocolAddress: 'AZURE_GUEST_AGENT_WIRE_PROTOCOL_ADDRESS',
  sequenceNumber: 'ConfigSequenceNumber',
  extensionName: 'ConfigExtensionName',
  supportedFeatures: 'AZURE_GUEST_AGENT_EXTENSION_SUPPORTED_FEATURES',
  uninstallExitCode: 'AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE',
  updatingFromVersion: 'AZURE_GUEST_AGENT_UPDATING_FROM_VERSION',
  targetVersion: 'VERSION',
  disableExitCode: 'AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODE',
  disableExitCodes: 'AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODES_MULTIPLE_EXTENSIONS',
} as const;

/**
 * A variable of the agent's own environment, which its commands inherit: the version of the program that started the
 * agent. Source: `common/version.py` set_daemon_version; agent-contract 6.3.
 */
export const DAEMON_VERSION_VARIABLE = '_AZURE_GUEST_AGENT_DAEMON_VERSION_';

/** The agent whose behaviour this contract describes. */
export const AGENT_VERSION = '2.15.0.1';

/** The WireServer's address in Azure. Source: agent-contract 12.1. */
export const WIRE_SERVER_ADDRESS = '168.63.129.16';

/** Value of an exit-code variable when the old version's command belongs to no update. */
export const NOT_RUN = 'NOT_RUN';

/** Value of the disable exit code when the old version was not enabled: the agent's literal `None`. */
export const DISABLE_NOT_RUN = 'None';

/** The one feature that agents announce today. Source: `common/agent_supported_feature.py` _ETPFeature. */
export const TELEMETRY_FEATURE = { key: 'ExtensionTelemetryPipeline', value: '1.0' } as const;

/** How a command of the old version ended: its exit code (1011 after a time-out), or that it was not run. */
export type OldExitCode = number | 'not-run';

/** What the agent says to a handler through the environment, typed. Absent variables are `undefined`. */
export interface AgentVariables {
  /** Absolute path of the handler's folder, the one of the version that is being run. */
  readonly extensionPath: string | undefined;
  readonly extensionVersion: string | undefined;
  readonly wireProtocolAddress: string | undefined;
  readonly sequenceNumber: number | undefined;
  /** Name of the configuration, for a handler with several (`supportsMultipleExtensions`) only. */
  readonly extensionName: string | undefined;
  readonly supportedFeatures: readonly { readonly key: string; readonly value: string }[];
  readonly uninstallExitCode: OldExitCode;
  /** Only in `update`; on a downgrade the agent puts the new, lower version here. */
  readonly updatingFromVersion: string | undefined;
  /** Only in `update`: the name `VERSION` is a common one, so elsewhere it can be anybody's. */
  readonly targetVersion: string | undefined;
  readonly disableExitCode: OldExitCode;
  /** The same for each of several configurations, by name. */
  readonly disableExitCodes: Readonly<Record<string, OldExitCode>>;
}

/** Environment variables, as a process has them. */
type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the agent's variables. Throws {@link ContractError} for a sequence number that is not a whole number ≥ 0, or a name with a slash. */
export function parseAgentVariables(env: Environment): AgentVariables {
  const text = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  return {
    extensionPath: text(AGENT_VARIABLES.extensionPath),
    extensionVersion: text(AGENT_VARIABLES.extensionVersion),
    wireProtocolAddress: text(AGENT_VARIABLES.wireProtocolAddress),
    sequenceNumber: parseSequenceVariable(text(AGENT_VARIABLES.sequenceNumber)),
    extensionName: parseExtensionName(text(AGENT_VARIABLES.extensionName)),
    supportedFeatures: parseFeatures(text(AGENT_VARIABLES.supportedFeatures)),
    uninstallExitCode: parseExitCode(text(AGENT_VARIABLES.uninstallExitCode)),
    updatingFromVersion: text(AGENT_VARIABLES.updatingFromVersion),
    targetVersion: text(AGENT_VARIABLES.targetVersion),
    disableExitCode: parseExitCode(text(AGENT_VARIABLES.disableExitCode)),
    disableExitCodes: parseExitCodes(text(AGENT_VARIABLES.disableExitCodes)),
  };
}

/** What an agent puts into the environment of one command; `undefined` members are left out, as the agent does. */
export interface AgentVariablesInput {
  readonly extensionPath: string;
  readonly extensionVersion: string;
  readonly wireProtocolAddress: string;
  readonly sequenceNumber: number;
  readonly extensionName?: string | undefined;
  readonly uninstallExitCode?: string | undefined;
  readonly updatingFromVersion?: string | undefined;
  readonly targetVersion?: string | undefined;
  readonly disableExitCode?: string | undefined;
  /** For a handler with several configurations, instead of `disableExitCode`. */
  readonly disableExitCodes?: readonly DisabledExtension[] | undefined;
}

/** How `disable` of one of several configurations ended: an exit code as text, or {@link DISABLE_NOT_RUN}. */
export interface DisabledExtension {
  readonly extensionName: string;
  readonly exitCode: string;
}

/** Formats the variables as the agent sets them: `uninstallExitCode` and the like are already text (`NOT_RUN`, `0`). */
export function formatAgentVariables(input: AgentVariablesInput): Record<string, string> {
  const env: Record<string, string> = {};
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) env[name] = value;
  };
  // The operation's own come first in the agent's log.
  add(AGENT_VARIABLES.uninstallExitCode, input.uninstallExitCode);
  add(AGENT_VARIABLES.targetVersion, input.targetVersion);
  add(AGENT_VARIABLES.updatingFromVersion, input.updatingFromVersion);
  add(AGENT_VARIABLES.disableExitCode, input.disableExitCode);
  const disabled = input.disableExitCodes?.map(({ extensionName, exitCode }) => ({
    extensionName,
    exitCode,
  }));
  add(AGENT_VARIABLES.disableExitCodes, disabled === undefined ? undefined : formatPythonJson(disabled));
  add(AGENT_VARIABLES.extensionPath, input.extensionPath);
  add(AGENT_VARIABLES.extensionVersion, input.extensionVersion);
  add(AGENT_VARIABLES.wireProtocolAddress, input.wireProtocolAddress);
  add(AGENT_VARIABLES.sequenceNumber, String(input.sequenceNumber));
  add(AGENT_VARIABLES.extensionName, input.extensionName);
  add(
    AGENT_VARIABLES.supportedFeatures,
    formatPythonJson([{ Key: TELEMETRY_FEATURE.key, Value: TELEMETRY_FEATURE.value }]),
  );
  return env;
}

function parseSequenceVariable(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!/^\d{1,15}$/.test(text) || !Number.isSafeInteger(number)) {
    throw new ContractError(
      'environment',
      AGENT_VARIABLES.sequenceNumber,
      'must be a whole number from 0 up',
    );
  }
  return number;
}

/** The name becomes the beginning of file names. */
function parseExtensionName(text: string | undefined): string | undefined {
  if (text?.includes('/')) {
    throw new ContractError('environment', AGENT_VARIABLES.extensionName, 'must not contain "/"');
  }
  return text;
}

function parseExitCode(text: string | undefined): OldExitCode {
  return text !== undefined && /^-?\d{1,9}$/.test(text) ? Number(text) : 'not-run';
}

function parseFeatures(text: string | undefined): { key: string; value: string }[] {
  return parseRows(text).flatMap((row) =>
    typeof row.Key === 'string' && typeof row.Value === 'string' ? [{ key: row.Key, value: row.Value }] : [],
  );
}

function parseExitCodes(text: string | undefined): Record<string, OldExitCode> {
  const rows = parseRows(text).flatMap((row) =>
    typeof row.extensionName === 'string'
      ? [[row.extensionName, parseExitCode(exitCodeText(row.exitCode))] as const]
      : [],
  );
  return Object.fromEntries(rows);
}

function exitCodeText(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

/** The agent's own text, so a malformed one is ignored: it carries nothing that a handler cannot do without. */
function parseRows(text: string | undefined): Record<string, unknown>[] {
  if (text === undefined) return [];
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter((row) => typeof row === 'object' && row !== null) : [];
  } catch {
    return [];
  }
}
