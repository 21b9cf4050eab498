/**
 * Finds what the agent laid out for a handler: its folder, its environment, the number and the text of its settings.
 */
import { readdirSync, realpathSync, statSync, truncateSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { AgentVariables } from './contract/agent-variables.ts';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import { parseHandlerEnvironment } from './contract/handler-environment.ts';
import { ContractError } from './contract/json.ts';
import {
  formatSettingsFile,
  HANDLER_ENVIRONMENT_FILE,
  parseHandlerFolder,
  parseSettingsFile,
} from './contract/package-layout.ts';
import type { Settings } from './contract/settings.ts';
import { parseSettings } from './contract/settings.ts';
import { HandlerError } from './errors.ts';
import type { Host } from './host.ts';
import { readTextIfThere } from './whole-file.ts';

/** One version of a handler, as the agent unpacked it. */
export interface HandlerFolder {
  /** Absolute path, as the agent says it. */
  readonly folder: string;
  /** `Publisher.Type`. */
  readonly handlerName: string;
  readonly version: string;
  /** The folder that holds the versions, the certificates and the extensions' data. */
  readonly libFolder: string;
}

/** How often, and after how many milliseconds, a file is read again that the agent may just be writing. */
const READ_ATTEMPTS = 5;
const READ_PAUSE_MS = 200;

/**
 * The handler's folder: the agent's variable, else the folder above the program's. Throws `ENVIRONMENT_INVALID` when
 * neither holds a handler environment.
 */
export function findHandlerFolder(host: Host, variables: AgentVariables, programPath: string): HandlerFolder {
  const candidates = [variables.extensionPath, dirname(programPath), dirname(dirname(programPath))];
  for (const candidate of candidates) {
    if (candidate === undefined || !isFile(host.path(join(candidate, HANDLER_ENVIRONMENT_FILE)))) continue;
    return describeFolder(candidate, variables);
  }
  // The agent's word counts even when its file is late: reading it is tried again.
  if (variables.extensionPath !== undefined) return describeFolder(variables.extensionPath, variables);
  throw new HandlerError(
    'ENVIRONMENT_INVALID',
    `${HANDLER_ENVIRONMENT_FILE} was found neither beside ${programPath} nor above it; run this program the way the agent does, from the handler's folder`,
  );
}

/** The folder of another version of the same handler. */
export function siblingFolder(own: HandlerFolder, version: string): HandlerFolder {
  return { ...own, folder: join(own.libFolder, `${own.handlerName}-${version}`), version };
}

/** Reads the handler environment; again while the agent is rewriting it. Throws `ENVIRONMENT_INVALID`. */
export async function readHandlerEnvironment(host: Host, folder: HandlerFolder): Promise<HandlerEnvironment> {
  const file = join(folder.folder, HANDLER_ENVIRONMENT_FILE);
  const read = (): HandlerEnvironment => {
    const text = readTextIfThere(host.path(file));
    if (text === undefined) throw new ContractError(file, '', 'is missing');
    return parseHandlerEnvironment(text, file);
  };
  return retryRead(host, read, (problem, cause) => {
    throw new HandlerError('ENVIRONMENT_INVALID', `${problem}; the agent writes this file when it starts`, {
      cause,
    });
  });
}

/**
 * The number of the settings to work on: the agent's variable, else the settings file that was written last (two of one
 * moment: the higher number). `undefined` when there is neither.
 */
export function findSequence(
  host: Host,
  variables: AgentVariables,
  environment: Pick<HandlerEnvironment, 'configFolder'>,
): number | undefined {
  if (variables.sequenceNumber !== undefined) return variables.sequenceNumber;
  let newest: { sequence: number; timeMs: number } | undefined;
  for (const name of listFolder(host.path(environment.configFolder))) {
    const parsed = parseSettingsFile(name);
    if (parsed === undefined || parsed.extensionName !== variables.extensionName) continue;
    const timeMs = statSync(host.path(join(environment.configFolder, name)), {
      throwIfNoEntry: false,
    })?.mtimeMs;
    if (timeMs === undefined) continue;
    const isNewer =
      newest === undefined ||
      timeMs > newest.timeMs ||
      (timeMs === newest.timeMs && parsed.sequence > newest.sequence);
    if (isNewer) newest = { sequence: parsed.sequence, timeMs };
  }
  return newest?.sequence;
}

/** Reads the settings of `sequence`; again while the agent is rewriting them. Throws `SETTINGS_UNREADABLE`. */
export async function readSettings(
  host: Host,
  environment: HandlerEnvironment,
  sequence: number,
  extensionName: string | undefined,
): Promise<Settings> {
  const file = join(environment.configFolder, formatSettingsFile(sequence, extensionName));
  const read = (): Settings => {
    const text = readTextIfThere(host.path(file));
    if (text === undefined) throw new ContractError(file, '', 'is missing');
    return parseSettings(text, file);
  };
  return retryRead(host, read, (problem, cause) => {
    throw new HandlerError('SETTINGS_UNREADABLE', `${problem}; apply the settings again`, { cause });
  });
}

/** Empties the settings files of older sequences: their secrets are not needed any more. Files that resist are left. */
export function emptyOlderSettings(
  host: Host,
  environment: HandlerEnvironment,
  sequence: number,
  extensionName: string | undefined,
): void {
  for (const name of listFolder(host.path(environment.configFolder))) {
    const parsed = parseSettingsFile(name);
    if (parsed === undefined || parsed.extensionName !== extensionName || parsed.sequence >= sequence)
      continue;
    const path = host.path(join(environment.configFolder, name));
    try {
      // All but the last are empty already, and a write each time would add up over hundreds of settings.
      if (statSync(path).size > 0) truncateSync(path);
    } catch {
      // Read-only, or removed meanwhile: nothing depends on it.
    }
  }
}

/** The names in a folder; none when there is no such folder. */
export function listFolder(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

async function retryRead<T>(
  host: Host,
  read: () => T,
  fail: (problem: string, cause: unknown) => never,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return read();
    } catch (thrown) {
      if (attempt < READ_ATTEMPTS) await host.sleep(READ_PAUSE_MS);
      else if (thrown instanceof ContractError) fail(thrown.message, thrown);
      else if (thrown instanceof Error) fail(thrown.message, thrown);
      else throw thrown;
    }
  }
}

function describeFolder(folder: string, variables: AgentVariables): HandlerFolder {
  const absolute = folder.replace(/\/+$/, '');
  const parsed = parseHandlerFolder(basename(absolute));
  const version = variables.extensionVersion ?? parsed?.version ?? '0.0.0';
  return {
    folder: absolute,
    handlerName: parsed?.handlerName ?? basename(absolute),
    version: parsed?.version ?? version,
    libFolder: dirname(absolute),
  };
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The real path of a program, links resolved; the path itself when it cannot be resolved. */
export function realProgramPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
