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
  /** No account may have this name. */
  USER_NAME_INVALID: 20,
  /** The account is one of the system, of a service or of a directory. */
  ACCOUNT_REFUSED: 21,
  /** There is no such user. */
  USER_UNKNOWN: 22,
  /** The name is taken by a group of others. */
  USER_NAME_TAKEN: 23,
  /** The home is missing and cannot be made, or belongs to somebody else. */
  HOME_UNUSABLE: 24,
  /** The password policy of the VM refuses the password. */
  PASSWORD_REFUSED: 25,
  /** Somebody else keeps the files of users locked. */
  ACCOUNT_FILES_LOCKED: -20,
  /** The account is not what it was to become. */
  ACCOUNT_NOT_VERIFIED: -21,
  /** The password was not set, or not with a modern hash. */
  PASSWORD_NOT_VERIFIED: -22,
  /** sudo does not work, or does not take its rules. */
  SUDO_UNUSABLE: -23,
  /** The user has not the rights that were to be given. */
  SUDO_NOT_VERIFIED: -24,
  /** Processes of the user do not end. */
  USER_PROCESSES_LEFT: -25,
  /** The public key is none that sshd can use. */
  SSH_KEY_INVALID: 30,
  /** sshd would not look at the key: its configuration says so. */
  SSH_KEY_NOT_LOOKED_AT: 31,
  /** A folder or file on the way is a link, a device, somebody else's, or has another name too. */
  PATH_UNSAFE: 32,
  /** A folder or file is there, but cannot serve its purpose. */
  PATH_UNUSABLE: 33,
  /** Somebody else changed the same file at the same time. */
  FILE_BUSY: 34,
  /** The file of keys is not what it was to become, or its user cannot read it. */
  SSH_KEY_NOT_VERIFIED: -30,
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
  /** A file of sshd's configuration cannot be written. */
  SSHD_FILE_NOT_WRITTEN: -43,
  /** A firewall does not let the port of sshd through, and it could not be made to. */
  FIREWALL_NOT_OPENED: -50,
  /** The VM has no such disk, or none that can be repaired. */
  DISK_UNKNOWN: 60,
  /** Programs use the disk, so it cannot be unmounted. */
  DISK_IN_USE: 61,
  /** A file system is damaged, or could not be checked. */
  DISK_DAMAGED: -60,
  /** The disk could not be mounted again. */
  DISK_NOT_MOUNTED: -61,
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
  SSH_KEY_INVALID: EXIT_CODES.configurationError,
  SSHD_MISSING: EXIT_CODES.dependencyMissing,
};
