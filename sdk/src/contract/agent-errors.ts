/**
 * Every code that the agent reports of a handler, with its cause and its cure in words: one table for the tool's
 * explanations and for the documentation.
 * Source: WALinuxAgent 2.15 `common/exception.py` ExtensionErrorCodes; agent-contract 6.4, 6.8, 7.3 to 7.9, 8.3.
 */
import { AGENT_ERROR_CODES } from './operations.ts';

/** One code of the agent. */
export interface AgentErrorRow {
  readonly code: number;
  /** The agent's own name of the code. */
  readonly name: string;
  /** What happened, as the end of a sentence that begins with "because". */
  readonly cause: string;
  /** What to do, one sentence. */
  readonly cure: string;
}

/** The codes in the order of their numbers. 1006 does not exist; 1004 and 1005 are never reported. */
export const AGENT_ERRORS: readonly AgentErrorRow[] = [
  {
    code: AGENT_ERROR_CODES.unknownFailure,
    name: 'PluginUnknownFailure',
    cause:
      'something failed for which the agent has no code of its own: the handler manifest, the settings, the version, the heartbeat, or an extension that this one waits for',
    cure: 'Read the message: it says which of them it is.',
  },
  {
    code: AGENT_ERROR_CODES.success,
    name: 'PluginSuccess',
    cause: 'the last operation of the handler went well',
    cure: 'Nothing is to be done.',
  },
  {
    code: AGENT_ERROR_CODES.processing,
    name: 'PluginProcessingError',
    cause: 'uninstall exited with another code than 0 or could not be started',
    cure: 'Read its output in the message. The agent deletes the folder all the same, so nothing shows in the report.',
  },
  {
    code: AGENT_ERROR_CODES.manifestDownload,
    name: 'PluginManifestDownloadError',
    cause: 'the package could not be downloaded or unpacked',
    cure: 'Pack the extension again with `handlerkit pack`, and look at it with `handlerkit pack --list`.',
  },
  {
    code: AGENT_ERROR_CODES.handlerManifestNotFound,
    name: 'PluginHandlerManifestNotFound',
    cause: 'HandlerManifest.json is no longer in the handler folder, or cannot be read',
    cure: 'No operation may delete or move it: the agent reads it again before every command.',
  },
  {
    code: AGENT_ERROR_CODES.handlerManifestInvalid,
    name: 'PluginHandlerManifestDeserializationError',
    cause: 'HandlerManifest.json is not valid JSON',
    cure: 'Let `handlerkit pack` generate it, and do not write it at run time.',
  },
  {
    code: AGENT_ERROR_CODES.packageDownload,
    name: 'PluginPackageDownloadFailed',
    cause: 'the package could not be downloaded (no agent reports this code)',
    cure: 'See 1001.',
  },
  {
    code: AGENT_ERROR_CODES.packageExtraction,
    name: 'PluginPackageExtractionFailed',
    cause: 'the package could not be unpacked (no agent reports this code)',
    cure: 'See 1001.',
  },
  {
    code: AGENT_ERROR_CODES.install,
    name: 'PluginInstallProcessingFailed',
    cause: 'install exited with another code than 0 or could not be started',
    cure: 'Read its output in the message. The next goal state unpacks the package again and runs install again.',
  },
  {
    code: AGENT_ERROR_CODES.update,
    name: 'PluginUpdateProcessingFailed',
    cause:
      'an update failed: update itself, or disable or uninstall of the old version while continueOnUpdateFailure is not true',
    cure: 'Read in the message which command failed. The next goal state tries the update again.',
  },
  {
    code: AGENT_ERROR_CODES.enable,
    name: 'PluginEnableProcessingFailed',
    cause: 'enable exited with another code than 0, could not be started, or is not allowed on this VM',
    cure: 'Read its output in the message. The next goal state writes the settings and runs enable again. A failure of the work itself belongs into the status file; enable then exits with 0.',
  },
  {
    code: AGENT_ERROR_CODES.disable,
    name: 'PluginDisableProcessingFailed',
    cause: 'disable exited with another code than 0, could not be started, or is not allowed on this VM',
    cure: 'Read its output in the message. As long as disable fails the extension cannot be deleted.',
  },
  {
    code: AGENT_ERROR_CODES.timedOut,
    name: 'PluginHandlerScriptTimedout',
    cause:
      'the command did not end in time and its process group was killed with SIGKILL (enable and uninstall have 300 s, install, update and disable 900 s; nothing changes that)',
    cure: 'Answer the agent at once and go on in the background: `"detached": true` in extension.json.',
  },
  {
    code: AGENT_ERROR_CODES.statusInvalid,
    name: 'PluginSettingsStatusInvalid',
    cause: 'the status file is not as the agent wants it',
    cure: 'Write the status through the SDK, which writes no other.',
  },
];

/** The row of a code; `undefined` for one that the agent does not have. */
export function findAgentError(code: number): AgentErrorRow | undefined {
  return AGENT_ERRORS.find((row) => row.code === code);
}
