/**
 * The five operations that the agent asks of a handler, with the agent's own time limits and error codes, and what it
 * keeps of an operation's output.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` install/update/enable/disable/uninstall; `common/exception.py`
 * ExtensionErrorCodes, GoalStateAggregateStatusCodes; `ga/extensionprocessutil.py` read_output, format_stdout_stderr;
 * agent-contract 6.4, 6.6, 6.8.
 */
import { countCharacters, lastCharacters } from './characters.ts';

/** What the agent can ask of a handler. */
export const OPERATIONS = ['install', 'enable', 'disable', 'update', 'uninstall'] as const;
/** One of {@link OPERATIONS}. */
export type Operation = (typeof OPERATIONS)[number];

/** True when `word` is one of the five operations, in lower case as the manifest's commands use them. */
export function isOperation(word: string): word is Operation {
  return (OPERATIONS as readonly string[]).includes(word);
}

/** The name of an operation in status messages: `Enable succeeded`. Source: Custom Script 2.1.19 status names. */
export const OPERATION_TITLES: Readonly<Record<Operation, string>> = {
  install: 'Install',
  enable: 'Enable',
  disable: 'Disable',
  update: 'Update',
  uninstall: 'Uninstall',
};

/** Seconds after which the agent kills the process group of an operation with SIGKILL. Not configurable. */
export const OPERATION_TIMEOUT_SECONDS: Readonly<Record<Operation, number>> = {
  install: 900,
  update: 900,
  enable: 300,
  disable: 900,
  uninstall: 300,
};

/** Error codes that the agent reports in the handler status. Source: `common/exception.py` ExtensionErrorCodes. */
export const AGENT_ERROR_CODES = {
  unknownFailure: -1,
  success: 0,
  processing: 1000,
  manifestDownload: 1001,
  handlerManifestNotFound: 1002,
  handlerManifestInvalid: 1003,
  /** 1004 and 1005 are in the agent's list, but it never reports them. */
  packageDownload: 1004,
  packageExtraction: 1005,
  install: 1007,
  update: 1008,
  enable: 1009,
  disable: 1010,
  timedOut: 1011,
  statusInvalid: 1012,
} as const;

/** Codes of a goal state as a whole. A goal state succeeds even when extensions in it fail. */
export const GOAL_STATE_CODES = { success: 0, unknownFailure: -1, unsupportedFeatures: 2001 } as const;

/** The code that the agent reports when an operation exits non-zero or cannot be started. */
export const OPERATION_ERROR_CODES: Readonly<Record<Operation, number>> = {
  install: AGENT_ERROR_CODES.install,
  update: AGENT_ERROR_CODES.update,
  enable: AGENT_ERROR_CODES.enable,
  disable: AGENT_ERROR_CODES.disable,
  uninstall: AGENT_ERROR_CODES.processing,
};

/** Bytes of each stream that the agent reads after a command: the first ones. */
export const AGENT_OUTPUT_READ_BYTES = 3200;

/** Characters that the agent keeps of each stream once both together reach {@link AGENT_OUTPUT_READ_BYTES}. */
export const AGENT_OUTPUT_SHARE_CHARACTERS = 1590;

/**
 * What the agent reads of one stream: the first {@link AGENT_OUTPUT_READ_BYTES} as UTF-8, in which a byte that is none
 * shows as `\\xNN`. A character that the limit cuts through shows in the same way.
 */
export function decodeAgentOutput(bytes: Uint8Array): string {
  const read = Buffer.from(bytes.subarray(0, AGENT_OUTPUT_READ_BYTES));
  let text = '';
  for (let at = 0; at < read.length; ) {
    const length = utf8Length(read, at);
    text += length === 0 ? backslash(read[at] ?? 0) : read.toString('utf8', at, at + length);
    at += Math.max(1, length);
  }
  return text;
}

/**
 * Formats output as the agent puts it into messages. The input is what {@link decodeAgentOutput} gives. Once both
 * together reach the limit, each is cut to its end; what one does not use of its share goes to the other.
 */
export function formatAgentOutput(stdout: string, stderr: string): string {
  const [outLength, errLength] = [countCharacters(stdout), countCharacters(stderr)];
  if (outLength + errLength < AGENT_OUTPUT_READ_BYTES) return frame(stdout, stderr);
  const outSpare = Math.max(0, AGENT_OUTPUT_SHARE_CHARACTERS - outLength);
  const errSpare = Math.max(0, AGENT_OUTPUT_SHARE_CHARACTERS - errLength);
  return frame(
    lastCharacters(stdout, AGENT_OUTPUT_SHARE_CHARACTERS + errSpare),
    lastCharacters(stderr, AGENT_OUTPUT_SHARE_CHARACTERS + outSpare),
  );
}

function frame(stdout: string, stderr: string): string {
  return `[stdout]\n${stdout}\n\n[stderr]\n${stderr}`;
}

/** Bytes of the valid UTF-8 character at `at`, 0 when there is none. */
function utf8Length(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const one = bytes.subarray(at, at + length);
  // Decoding and encoding again gives the same bytes for valid text only.
  return one.length === length && Buffer.from(one.toString('utf8')).equals(one) ? length : 0;
}

function backslash(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
