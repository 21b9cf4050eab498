/**
 * The errors of a handler: each code once, with the exit code that the agent sees and the code that the status carries.
 * A status code below zero blames the platform, above zero the user. Source: docs-and-reliability 1.1; Custom Script 2.1.19 section 12.
 */
import { EXIT_CODES } from './contract/exit-codes.ts';
import type { Substatus } from './contract/status.ts';

interface ErrorRow {
  readonly exitCode: number;
  readonly statusCode: number;
}

/** Every code that the SDK itself throws. Extensions add codes of their own; an unknown one counts as `HANDLER_FAILED`. */
export const ERROR_TABLE = {
  /** The command line names no operation. */
  WRONG_USAGE: { exitCode: EXIT_CODES.wrongUsage, statusCode: 1 },
  /** HandlerEnvironment.json is missing or malformed. */
  ENVIRONMENT_INVALID: { exitCode: EXIT_CODES.configurationError, statusCode: -10 },
  /** No sequence number: neither the agent's variable nor a settings file. */
  SEQUENCE_UNKNOWN: { exitCode: EXIT_CODES.configurationError, statusCode: -11 },
  /** The settings file is missing, cut off or malformed. */
  SETTINGS_UNREADABLE: { exitCode: EXIT_CODES.configurationError, statusCode: -21 },
  /** The settings are well-formed but not what this extension asks for. */
  SETTINGS_INVALID: { exitCode: EXIT_CODES.configurationError, statusCode: 10 },
  /** The extension policy of the VM's owner cannot be read. */
  POLICY_INVALID: { exitCode: EXIT_CODES.configurationError, statusCode: 81 },
  /** The certificate of the protected settings is not on the VM. */
  CERTIFICATE_NOT_FOUND: { exitCode: EXIT_CODES.configurationError, statusCode: -20 },
  /** The protected settings cannot be decrypted, or are no object. One code for every cause, that of unreadable settings. */
  PROTECTED_SETTINGS_UNREADABLE: { exitCode: EXIT_CODES.configurationError, statusCode: -21 },
  /** The handler's own state cannot be read or written. */
  STATE_UNUSABLE: { exitCode: EXIT_CODES.handlerError, statusCode: -12 },
  /** Another process of this handler holds the lock and did not let go in time. */
  LOCKED: { exitCode: EXIT_CODES.handlerError, statusCode: -13 },
  /** The run of this sequence ended without a result: killed, rebooted, or the agent stopped it. */
  INTERRUPTED: { exitCode: EXIT_CODES.handlerError, statusCode: 3 },
  /** The time limit of enable was reached. */
  TIMED_OUT: { exitCode: EXIT_CODES.handlerError, statusCode: 4 },
  /** Newer settings arrived while this sequence was running. */
  SUPERSEDED: { exitCode: EXIT_CODES.handlerError, statusCode: 5 },
  /** The author's code failed. */
  HANDLER_FAILED: { exitCode: EXIT_CODES.handlerError, statusCode: 1 },
  /** The operating system or the processor is none that the extension supports. */
  UNSUPPORTED_SYSTEM: { exitCode: EXIT_CODES.unsupportedSystem, statusCode: 51 },
  /** Something that the extension needs is not on the machine. */
  DEPENDENCY_MISSING: { exitCode: EXIT_CODES.dependencyMissing, statusCode: 52 },
  /** Another program held the package manager longer than the limit. */
  PACKAGE_MANAGER_LOCKED: { exitCode: EXIT_CODES.packageManagerLocked, statusCode: 56 },
  /** A file could not be downloaded. The error says why: see `DownloadError`. */
  DOWNLOAD_FAILED: { exitCode: EXIT_CODES.handlerError, statusCode: 7 },
  /** The instance metadata service gave no answer, or one that cannot be read. */
  INSTANCE_METADATA_FAILED: { exitCode: EXIT_CODES.handlerError, statusCode: -14 },
  /** There is no token of a managed identity to be had. */
  MANAGED_IDENTITY_FAILED: { exitCode: EXIT_CODES.handlerError, statusCode: 8 },
  /** A program could not be started. */
  COMMAND_NOT_STARTED: { exitCode: EXIT_CODES.handlerError, statusCode: 1 },
  /** Something that should not happen. */
  INTERNAL: { exitCode: EXIT_CODES.handlerError, statusCode: -1 },
} as const satisfies Record<string, ErrorRow>;

/** What else an error of a handler can carry. */
export interface HandlerErrorOptions {
  /** What was thrown first. For debugging in tests: it goes into no text. */
  readonly cause?: unknown;
  /** Code in the status; default: the row of {@link ERROR_TABLE}. */
  readonly statusCode?: number;
  /** Code in the status's `ErrorClarification` substatus; default: `statusCode`. */
  readonly clarificationCode?: number;
  /** Exit code of the operation; default: the row of {@link ERROR_TABLE}. */
  readonly exitCode?: number;
  /**
   * Parts of the result, each under a name of its own: they stand in the error status behind `ErrorClarification`, and
   * secrets are hidden in them as everywhere. Only enable has a status; default: none.
   */
  readonly substatus?: readonly Substatus[];
}

/**
 * An error with a stable code. The message goes to people (status, stderr, log): it says what failed, on what, and what
 * to do next, and holds no secret and no stack. Throw it from the author's code to choose code and exit code.
 */
export class HandlerError extends Error {
  /** Always `HandlerError`. */
  override readonly name = 'HandlerError';
  /** Stable, upper case with underscores: a key of {@link ERROR_TABLE}, or a code of the extension's own. */
  readonly code: string;
  /** Code in the status: below zero the platform's fault, above zero the user's. */
  readonly statusCode: number;
  /** Code in the substatus `ErrorClarification`; the same, unless the status carries a program's exit code. */
  readonly clarificationCode: number;
  readonly exitCode: number;
  /** Parts of the result, which the status shows behind `ErrorClarification`. */
  readonly substatus: readonly Substatus[];

  /** `message` is shown as it is: put no secret into it. A code that the table lacks counts as `HANDLER_FAILED`. */
  constructor(code: string, message: string, options: HandlerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const row: ErrorRow = Object.hasOwn(ERROR_TABLE, code)
      ? ERROR_TABLE[code as keyof typeof ERROR_TABLE]
      : ERROR_TABLE.HANDLER_FAILED;
    this.code = code;
    this.statusCode = options.statusCode ?? row.statusCode;
    this.clarificationCode = options.clarificationCode ?? this.statusCode;
    this.exitCode = options.exitCode ?? row.exitCode;
    this.substatus = options.substatus ?? [];
  }
}

/** Makes a {@link HandlerError} of anything thrown; a foreign error becomes `otherwise` and keeps its message only. */
export function toHandlerError(
  thrown: unknown,
  otherwise: keyof typeof ERROR_TABLE = 'HANDLER_FAILED',
): HandlerError {
  if (thrown instanceof HandlerError) return thrown;
  const message = thrown instanceof Error && thrown.message !== '' ? thrown.message : String(thrown);
  return new HandlerError(otherwise, message, { cause: thrown });
}

/** `STATE_UNUSABLE` for anything thrown by what the SDK does with its own files. */
export function stateUnusable(thrown: unknown): HandlerError {
  const { message } = toHandlerError(thrown);
  // What is no system's error says by itself what to do.
  const advice =
    thrown instanceof HandlerError ? '' : '; make room or repair the disk, and apply the settings again';
  return new HandlerError('STATE_UNUSABLE', `the handler's state: ${message}${advice}`, { cause: thrown });
}

/** True for a Node file-system or process error with this `code`, such as `ENOENT`. */
export function isSystemError(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === code;
}
