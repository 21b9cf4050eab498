/**
 * `HandlerEnvironment.json`: where a handler finds its folders.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` create_handler_env; agent-contract 3.
 */
import { ContractError, decodeArray, decodeText, element, member, optional, parseJson } from './json.ts';
import { CONFIG_FOLDER, EVENTS_FOLDER, HEARTBEAT_FILE, STATUS_FOLDER } from './package-layout.ts';
import { formatPythonJson } from './python-values.ts';

/** Where the agent wants things: absolute paths on the VM. */
export interface HandlerEnvironment {
  /** Shared by all versions of the handler, kept by the agent after uninstall. */
  readonly logFolder: string;
  readonly configFolder: string;
  readonly statusFolder: string;
  readonly heartbeatFile: string | undefined;
  /** Where telemetry events go; `undefined` when the agent does not collect them. */
  readonly eventsFolder: string | undefined;
}

/** The environment that an agent gives: all of it is there. */
export interface AgentHandlerEnvironment extends HandlerEnvironment {
  readonly heartbeatFile: string;
  readonly eventsFolder: string;
}

/** Reads the file: an array of exactly one element. Throws {@link ContractError}. Unknown keys are ignored. */
export function parseHandlerEnvironment(text: string, file: string): HandlerEnvironment {
  const root = parseJson(text, file);
  const count = decodeArray(root).length;
  if (count !== 1)
    throw new ContractError(file, '', `must be an array of exactly one element, but has ${count}`);
  const folders = member(element(root, 0), 'handlerEnvironment');
  const preview = optional(member(folders, 'eventsFolder_preview'), decodeText, undefined);
  return {
    logFolder: decodeText(member(folders, 'logFolder')),
    configFolder: decodeText(member(folders, 'configFolder')),
    statusFolder: decodeText(member(folders, 'statusFolder')),
    heartbeatFile: optional(member(folders, 'heartbeatFile'), decodeText, undefined),
    eventsFolder: optional(member(folders, 'eventsFolder'), decodeText, preview),
  };
}

/** The folders that the agent chooses for a handler in `handlerFolder` with its logs in `logFolder`. */
export function agentHandlerEnvironment(handlerFolder: string, logFolder: string): AgentHandlerEnvironment {
  return {
    logFolder,
    configFolder: `${handlerFolder}/${CONFIG_FOLDER}`,
    statusFolder: `${handlerFolder}/${STATUS_FOLDER}`,
    heartbeatFile: `${handlerFolder}/${HEARTBEAT_FILE}`,
    eventsFolder: `${logFolder}/${EVENTS_FOLDER}`,
  };
}

/**
 * The agent's text, one line with Python's separators. `version` is the version of the schema (1.0), not the handler's.
 * A member that is `undefined` is left out, as the events folder is when the agent collects no events.
 */
export function formatHandlerEnvironment(handlerName: string, environment: HandlerEnvironment): string {
  const { logFolder, configFolder, statusFolder, heartbeatFile, eventsFolder } = environment;
  const folders = {
    logFolder,
    configFolder,
    statusFolder,
    heartbeatFile,
    eventsFolder,
    eventsFolder_preview: eventsFolder,
  };
  // The version is a float in Python, 1.0, which JSON.stringify cannot write.
  const name = formatPythonJson(handlerName);
  return `[{"name": ${name}, "version": 1.0, "handlerEnvironment": ${formatPythonJson(folders)}}]`;
}
