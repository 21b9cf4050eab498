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
};
