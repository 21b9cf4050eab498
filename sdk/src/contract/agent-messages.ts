/**
 * Why the agent says of a handler what it says, in words for the author: what happened, what is allowed, what to do.
 * Source: agent-contract 2, 6.4 to 6.8, 7.3 to 7.9, 9; the causes and cures of the codes are the contract's own table.
 */
import { AGENT_CONFIGURATION_FILE, AGENT_CONFIGURATION_KEYS } from './agent-configuration.ts';
import { findAgentError } from './agent-errors.ts';
import { AGENT_VARIABLES, DISABLE_NOT_RUN } from './agent-variables.ts';
import {
  CONTINUE_KEY,
  REPORT_HEARTBEAT_KEY,
  SUPPORTS_MULTIPLE_KEY,
  UPDATE_WITH_INSTALL,
  UPDATE_WITHOUT_INSTALL,
} from './handler-manifest.ts';
import { HANDLER_NOT_READY, HANDLER_READY } from './handler-status.ts';
import { HEARTBEAT_STALE_SECONDS, UNRESPONSIVE } from './heartbeat.ts';
import { AGENT_ERROR_CODES } from './operations.ts';
import { HANDLER_MANIFEST_FILE, HEARTBEAT_FILE } from './package-layout.ts';

/** What the agent reports of a handler as a whole. */
export interface ReportedHandler {
  /** `Ready`, `NotReady`, or what a heartbeat says. */
  readonly status: string | null;
  readonly code: number;
  readonly message: string | null;
}

/** A sentence about a handler that failed or was refused; `undefined` for one that did not. */
export function explainFailure(report: ReportedHandler): string | undefined {
  const { code } = report;
  if (code === AGENT_ERROR_CODES.success) return undefined;
  const message = report.message ?? '';
  const special = SPECIAL.find((one) => one.pattern.test(message) && (one.code ?? code) === code);
  const row = findAgentError(code);
  const cause = special?.cause ?? row?.cause ?? 'of something that this tool does not know';
  const cure = special?.cure ?? row?.cure ?? 'Read the message.';
  return [`the agent reports ${code} because ${cause}. ${cure}`, ...explainExit(message)].join(' ');
}

/** A sentence about a heartbeat that changes the handler's status; `undefined` when it does not. */
export function explainHeartbeat({ status }: ReportedHandler): string | undefined {
  if (status === HANDLER_READY || status === HANDLER_NOT_READY) return undefined;
  if (status === UNRESPONSIVE) {
    return `the heartbeat makes the handler ${UNRESPONSIVE}: ${HEARTBEAT_FILE} was not written for more than ${HEARTBEAT_STALE_SECONDS} s. Write it at least once a minute.`;
  }
  const allowed = `allowed: ${HANDLER_READY}, ${HANDLER_NOT_READY}`;
  const value = status === null ? 'it has no status' : `its status is \`${status}\``;
  return `the heartbeat makes the handler ${status ?? 'null'}: in ${HEARTBEAT_FILE} ${value}, and the agent passes on what it finds; ${allowed}.`;
}

interface Special {
  /** The code, where the message alone does not tell. */
  readonly code?: number;
  /** What the message looks like. */
  readonly pattern: RegExp;
  readonly cause: string;
  readonly cure: string;
}

/** What the code alone does not say, by the agent's message; the first that fits counts. */
const SPECIAL: readonly Special[] = [
  {
    pattern: /^Extension '[^']*' will not be processed since/,
    cause: `${AGENT_CONFIGURATION_KEYS.extensionsEnabled} is n in ${AGENT_CONFIGURATION_FILE} of the VM, so no command of any extension runs`,
    cure: 'Set it to y, or take the line out.',
  },
  {
    pattern: /^Extension will not be processed: \[InvalidPolicyError\]/,
    cause: 'the policy file of the VM is invalid, so no extension may run',
    cure: 'Correct the file as the message says.',
  },
  {
    pattern: /^Extension will not be processed: /,
    cause: 'the policy of the VM allows listed extensions only, and this one is not listed',
    cure: 'Add it to extensionPolicies.extensions in the policy file.',
  },
  {
    pattern: /^(?:Dependent Extension|Skipping processing of extensions)/,
    cause:
      'an extension of a lower dependency level did not succeed, so no command of this one ran; the agent waits for every extension below, and counts only success as success',
    cure: 'Look at the extension that the message names.',
  },
  {
    pattern: /^\[ExtensionUpdateError\]/,
    cause: `disable or uninstall of the old version failed during the update, and ${CONTINUE_KEY} in the manifest of the new version is not true`,
    cure: `The old version stays, and the next goal state starts the update again from the package. To go on in spite of such a failure, set "${CONTINUE_KEY}": true in the new version.`,
  },
  {
    code: AGENT_ERROR_CODES.update,
    pattern: /^\[ExtensionOperationError\]/,
    cause: `update exited with another code than 0; ${CONTINUE_KEY} does not cover update itself`,
    cure: `The old version is disabled by now but stays installed. The next goal state unpacks the new one again and runs update again, without disable, so ${AGENT_VARIABLES.disableExitCode} is then ${DISABLE_NOT_RUN}. After a failed downgrade it installs the lower version afresh.`,
  },
  {
    pattern: /^\[ExtensionError\] Timeout\(/,
    cause: findAgentError(AGENT_ERROR_CODES.timedOut)?.cause ?? '',
    cure: findAgentError(AGENT_ERROR_CODES.timedOut)?.cure ?? '',
  },
  {
    pattern: /^Failed to download artifacts: .*HandlerManifest\.json not found/,
    cause: `the package has no ${HANDLER_MANIFEST_FILE}`,
    cure: 'Pack the extension with `handlerkit pack`, which generates it.',
  },
  {
    pattern: /Unable to find version \S+ in manifest/,
    cause:
      'the wanted version is not among those that can be had; it must be one of them or the beginning of one',
    cure: 'Ask for a version that is published.',
  },
  {
    pattern: /^Ran into config errors: .*does not support MultiConfig/s,
    cause: `the goal state has configurations with names, and ${SUPPORTS_MULTIPLE_KEY} in ${HANDLER_MANIFEST_FILE} is not true`,
    cure: 'Set it in extension.json, or set the extension without a name.',
  },
  {
    pattern: /^Ran into config errors: /,
    cause: 'the settings block of the goal state is not as it must be, so no command ran',
    cure: 'That is the platform’s fault: set the extension again.',
  },
  {
    pattern: /^'\w+Command'$/,
    cause: `${HANDLER_MANIFEST_FILE} has no such command at [0].handlerManifest, and the agent came to run it`,
    cure: 'Give all five commands.',
  },
  {
    pattern: /^'\w+' object has no attribute 'lstrip'$/,
    cause: `a command in ${HANDLER_MANIFEST_FILE} is not a text, and the agent came to run it`,
    cure: 'Give all five commands as texts.',
  },
  {
    pattern: /^'\w+' object has no attribute 'lower'$/,
    cause: `updateMode in ${HANDLER_MANIFEST_FILE} is not a text; by then the old version was already deleted`,
    cure: `Allowed: ${UPDATE_WITH_INSTALL}, ${UPDATE_WITHOUT_INSTALL}, or null.`,
  },
  {
    pattern:
      /Malformed manifest file\.$|^(?:0|'handlerManifest'|list ind.*|str.* ind.*|'\w+' object (?:is not subscriptable|has no attribute 'get'))$/,
    cause: `${HANDLER_MANIFEST_FILE} is JSON of another shape`,
    cure: 'Allowed: an array whose first element has an object `handlerManifest`.',
  },
  {
    pattern: /Failed to get heart beat file/,
    cause: `${REPORT_HEARTBEAT_KEY} is true in the manifest, and there is no ${HEARTBEAT_FILE}`,
    cure: 'Write it before enable returns. The code stays until the next enable.',
  },
  {
    pattern: /Malformed heartbeat file|Invalid status format by extension: Missing formattedMessage/,
    cause: `${HEARTBEAT_FILE} is not as the agent wants it`,
    cure: 'Allowed: [{"heartbeat": {"status": "Ready", "formattedMessage": {"lang": "en-US", "message": "…"}}}]. The code stays until the next enable.',
  },
  {
    pattern: /Failed to update settings file/,
    cause: 'the agent could not write the settings file into config/',
    cure: 'No operation may take away that folder or its rights.',
  },
];

/** What an exit code says beyond "not zero". */
function explainExit(message: string): readonly string[] {
  const found = /Non-zero exit code: (\d+)/.exec(message);
  if (found === null) return [];
  const exitCode = Number(found[1]);
  if (exitCode === 126) {
    return ['126 is the shell’s: the command is no program, or must not be executed (a mount with noexec).'];
  }
  if (exitCode === 127) {
    return [
      '127 is the shell’s: there is no such command; its first word is a path from the handler folder.',
    ];
  }
  if (exitCode > 128) return [`${exitCode} means that signal ${exitCode - 128} ended the command.`];
  return [`The exit code ${exitCode} itself means nothing to the agent: only 0 is success.`];
}
