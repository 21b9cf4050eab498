/**
 * The five operations that the agent asks of a handler, with the agent's own time limits and error codes.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` install/update/enable/disable/uninstall; agent-contract 6.4, 6.8.
 */

export const OPERATIONS = ['install', 'enable', 'disable', 'update', 'uninstall'] as const;
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
  install: 1007,
  update: 1008,
  enable: 1009,
  disable: 1010,
  timedOut: 1011,
  statusInvalid: 1012,
} as const;

/** The code that the agent reports when an operation exits non-zero or cannot be started. */
export const OPERATION_ERROR_CODES: Readonly<Record<Operation, number>> = {
  install: AGENT_ERROR_CODES.install,
  update: AGENT_ERROR_CODES.update,
  enable: AGENT_ERROR_CODES.enable,
  disable: AGENT_ERROR_CODES.disable,
  uninstall: AGENT_ERROR_CODES.processing,
};

/** Bytes of each stream that the agent reads after a command: the first ones. Source: EPU:read_output. */
export const AGENT_OUTPUT_READ_BYTES = 3200;

/** Characters that the agent keeps of each stream once both together reach {@link AGENT_OUTPUT_READ_BYTES}. */
export const AGENT_OUTPUT_SHARE_CHARACTERS = 1590;

/**
 * Formats captured output as the agent puts it into messages: `[stdout]`, both parts cut to their tails when they are
 * too long together; what one stream does not use goes to the other. Source: EPU:format_stdout_stderr.
 */
export function formatAgentOutput(stdout: string, stderr: string): string {
  const limit = AGENT_OUTPUT_READ_BYTES - FRAME_CHARACTERS;
  let [out, err] = [stdout, stderr];
  if (out.length + err.length >= limit) {
    const outSpare = Math.max(0, AGENT_OUTPUT_SHARE_CHARACTERS - out.length);
    const errSpare = Math.max(0, AGENT_OUTPUT_SHARE_CHARACTERS - err.length);
    out = tail(out, AGENT_OUTPUT_SHARE_CHARACTERS + errSpare);
    err = tail(err, AGENT_OUTPUT_SHARE_CHARACTERS + outSpare);
  }
  return `[stdout]\n${out}\n\n[stderr]\n${err}`;
}

const FRAME_CHARACTERS = '[stdout]\n\n\n[stderr]\n'.length;

function tail(text: string, characters: number): string {
  return text.length <= characters ? text : text.slice(text.length - characters);
}
