/**
 * The errors of VM Access: each name once, with the code that the status carries. A code above zero blames what the user
 * asked for, below zero the machine.
 */
import type { HandlerErrorOptions } from '@handlerkit/sdk';
import { HandlerError } from '@handlerkit/sdk';
import { EXIT_CODES } from '@handlerkit/sdk/contract';

/** Name of an error; it is the code of the {@link HandlerError} and stands in the substatus. */
export type AccessErrorName = keyof typeof STATUS_CODES;

export const STATUS_CODES = {
  /** A setting has the wrong type or form, is unknown, or contradicts another one. */
  CONFIGURATION_INVALID: 10,
  /** The account that an earlier step has made or found is gone. */
  ACCOUNT_MISSING: -3,
  /** The VM has no SSH server. */
  SSHD_MISSING: 53,
  /** sshd refuses the configuration that is on the VM. */
  SSHD_CONFIG_INVALID: 40,
  /** A line of sshd's configuration keeps the user from a login by password, and is not ours to change. */
  SSHD_PASSWORD_BLOCKED: 41,
  /** No configuration of sshd was saved that could be restored, or sshd refuses the saved one. */
  SSHD_BACKUP_UNUSABLE: 42,
  /** sshd has no host keys that it can use. */
  SSHD_NO_HOST_KEYS: -40,
  /** sshd did not take its new configuration, or does not listen. */
  SSHD_NOT_RUNNING: -41,
  /** sshd's configuration is not what it was to become. */
  SSHD_NOT_VERIFIED: -42,
  /** A program that the step needs is not on the VM. */
  PROGRAM_MISSING: 52,
  /** A program of the system failed or took too long. */
  COMMAND_FAILED: -2,
} as const;

/** Makes the error `name`; `message` holds no secret. */
export function accessError(
  name: AccessErrorName,
  message: string,
  options: Pick<HandlerErrorOptions, 'cause'> = {},
): HandlerError {
  return new HandlerError(name, message, {
    statusCode: STATUS_CODES[name],
    exitCode: EXIT_CODE_OF[name] ?? EXIT_CODES.handlerError,
    ...options,
  });
}

const EXIT_CODE_OF: Partial<Record<AccessErrorName, number>> = {
  CONFIGURATION_INVALID: EXIT_CODES.configurationError,
  PROGRAM_MISSING: EXIT_CODES.dependencyMissing,
  SSHD_MISSING: EXIT_CODES.dependencyMissing,
};
