/**
 * The errors of Custom Script: each name once, with the clarification code that the status carries. A code of zero or
 * below blames the platform, above zero the user. Source: Custom Script 2.1.19 section 12.
 */
import { HandlerError } from '@handlerkit/sdk';
import { EXIT_CODES } from '@handlerkit/sdk/contract';

/** Name of an error; it is the code of the {@link HandlerError} and stands in the substatus. */
export type ScriptErrorName = keyof typeof CLARIFICATION_CODES;

export const CLARIFICATION_CODES = {
  /** The server answered 500. */
  STORAGE_FAILED: -1,
  /** A downloaded file or the script could not be read or rewritten on the VM. */
  FILE_NOT_PREPARED: 0,
  /** The policy does not allow what should run. The original's code is 0, too. */
  POLICY_BLOCKED: 0,
  /** A setting has the wrong type or form, or is unknown; or the script cannot be decoded. */
  CONFIGURATION_INVALID: -21,
  /** The service that gives tokens of managed identities answered 5xx. */
  IDENTITY_SERVICE_FAILED: -30,
  /** The connection failed, or a downloaded file could not be written. */
  DOWNLOAD_FAILED: -40,
  /** The server answered 400. */
  DOWNLOAD_BAD_REQUEST: -41,
  STDOUT_NOT_OPENED: -51,
  STDERR_NOT_OPENED: -52,
  /** The command could not be started, or it is not known how it ended. */
  COMMAND_UNKNOWN: 1,
  /** The command ended with an exit code other than 0, or by a signal. */
  COMMAND_FAILED: 2,
  /** A setting of the original that this version does not carry out. */
  SETTING_NOT_SUPPORTED: 10,
  /** The user of `runAsUser` does not exist, or no command can be run as that user. */
  USER_UNUSABLE: 11,
  COMMAND_TWICE: 20,
  FILES_TWICE: 22,
  NOTHING_TO_RUN: 23,
  FILE_NULL: 24,
  FILE_INVALID: 25,
  CREDENTIALS_AND_IDENTITY: 26,
  IDENTITY_TWICE: 27,
  SCRIPT_TWICE: 28,
  COMMAND_AND_SCRIPT: 29,
  CREDENTIALS_INCOMPLETE: 30,
  /** The folder of the run could not be made. */
  FOLDER_NOT_CREATED: 50,
  /** The shared access signature of a URL has expired. */
  SAS_EXPIRED: 51,
  DOWNLOAD_DENIED: 52,
  DOWNLOAD_NOT_FOUND: 53,
  /** The server answered something else than 200. */
  DOWNLOAD_REFUSED: 54,
  /** The body of an answer broke off or has the wrong length. */
  DOWNLOAD_CUT: 55,
  DOWNLOAD_TIMED_OUT: 56,
  /** A file is not the one that was asked for, or that the server announced. */
  DOWNLOAD_CHECKSUM: 57,
  /** The storage service does not know the blob, or hides it from the identity. */
  IDENTITY_NOT_FOUND: 70,
  /** The identity may not read the blob. */
  IDENTITY_DENIED: 71,
  /** There is no token of a managed identity, or it was not accepted. */
  IDENTITY_UNUSABLE: 72,
  /** The policy asks for something that this version cannot do. */
  POLICY_NOT_SUPPORTED: 80,
  /** The policy for what may run cannot be read. */
  POLICY_INVALID: 81,
} as const;

/** Makes the error `name`; `message` holds no secret and no URL query. */
export function scriptError(name: ScriptErrorName, message: string, cause?: unknown): HandlerError {
  return new HandlerError(name, message, {
    statusCode: CLARIFICATION_CODES[name],
    exitCode: CONFIGURATION_ERRORS.has(name) ? EXIT_CODES.configurationError : EXIT_CODES.handlerError,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The system's code of a failed file operation, such as `ENOSPC`, for error texts. */
export function systemCode(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown reason';
}

const CONFIGURATION_ERRORS: ReadonlySet<ScriptErrorName> = new Set([
  'CONFIGURATION_INVALID',
  'SETTING_NOT_SUPPORTED',
  'USER_UNUSABLE',
  'COMMAND_TWICE',
  'FILES_TWICE',
  'NOTHING_TO_RUN',
  'FILE_NULL',
  'FILE_INVALID',
  'CREDENTIALS_AND_IDENTITY',
  'IDENTITY_TWICE',
  'SCRIPT_TWICE',
  'COMMAND_AND_SCRIPT',
  'CREDENTIALS_INCOMPLETE',
]);
