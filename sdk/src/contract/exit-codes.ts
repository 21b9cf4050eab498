/**
 * Exit codes of a handler. The agent knows only zero and not zero; the platform and people know these.
 * Source: agent-contract 6.5; Microsoft's "design-details" for extension authors; sdk-anchors 3, row 15.
 */
export const EXIT_CODES = {
  done: 0,
  handlerError: 1,
  wrongUsage: 2,
  unsupportedSystem: 51,
  dependencyMissing: 52,
  configurationError: 53,
  packageManagerLocked: 56,
} as const;
/** One of the numbers of {@link EXIT_CODES}. */
export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

/** What `/bin/sh` says of a file that it may not execute; the agent adds its "noexec" hint to this one only. */
export const EXIT_CODE_NOT_EXECUTABLE = 126;
