/**
 * One version of one handler on the VM: its folder, its log folder and its manifest.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` get_base_dir, get_log_dir, load_manifest; agent-contract 1.1, 2.
 */
import { readFile } from 'node:fs/promises';
import type { HandlerManifest } from '@handlerkit/sdk/contract';
import {
  AGENT_ERROR_CODES,
  findManifestFault,
  formatHandlerFolder,
  HANDLER_MANIFEST_FILE,
  parseHandlerManifest,
  parseJson,
} from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import { AgentError } from './agent-error.ts';
import { systemReason } from './python-os-error.ts';

export interface HandlerInstance {
  readonly machine: Machine;
  readonly handlerName: string;
  readonly version: string;
  /** `Publisher.Type-1.2.3`. */
  readonly folderName: string;
  /** The handler's folder as the handler sees it. */
  readonly folder: string;
  /** Shared by all versions; as the handler sees it. */
  readonly logFolder: string;
  /** True when the goal state has configurations with names of it. */
  readonly hasSeveral?: boolean;
}

export function handlerInstance(machine: Machine, handlerName: string, version: string): HandlerInstance {
  const folderName = formatHandlerFolder(handlerName, version);
  return {
    machine,
    handlerName,
    version,
    folderName,
    folder: `${machine.libFolder}/${folderName}`,
    logFolder: `${machine.logFolder}/${handlerName}`,
  };
}

/** The path on this machine of something in the handler's folder, found anew each time: the handler may place links. */
export function pathIn(handler: HandlerInstance, ...names: readonly string[]): string {
  return handler.machine.hostPath([handler.folder, ...names].join('/'));
}

/** Reads the manifest from the disk, as the agent does before every command. Throws {@link AgentError}. */
export async function loadManifest(handler: HandlerInstance): Promise<HandlerManifest> {
  const file = `${handler.folder}/${HANDLER_MANIFEST_FILE}`;
  let text: string;
  try {
    text = await readFile(pathIn(handler, HANDLER_MANIFEST_FILE), 'utf8');
  } catch (thrown) {
    const problem = `Failed to load manifest file (${file}): ${systemReason(thrown)}`;
    throw new AgentError('ExtensionError', problem, AGENT_ERROR_CODES.handlerManifestNotFound);
  }
  let root: unknown;
  try {
    root = parseJson(text, file).value;
  } catch {
    const problem = `Malformed manifest file (${file}).`;
    throw new AgentError('ExtensionError', problem, AGENT_ERROR_CODES.handlerManifestInvalid);
  }
  const fault = findManifestFault(root);
  if (fault !== undefined) {
    const kind = fault.isExtensionError ? 'ExtensionError' : 'Unexpected';
    throw new AgentError(kind, fault.text, AGENT_ERROR_CODES.unknownFailure);
  }
  return parseHandlerManifest(text, file);
}
