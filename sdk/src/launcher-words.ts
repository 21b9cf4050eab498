/** What the program and the launcher that starts it agree on. */

/** Second word after `enable` with which the launcher asks the program to go on in a session of its own. */
export const DETACH_WORD = '--detach';

/**
 * Begins the name of a file in the version's folder, `.start.<pid>.tmp`: the launcher's process of that number has yet to find
 * out who starts the program. When it was killed, the next enable removes the file.
 */
export const START_CLAIM = '.start';

/**
 * What the launcher sets for a program of bun, and the program takes from its environment again: freed memory goes back to
 * the system at once, and only code that runs long is compiled to machine code. A run with ten downloads takes 59 MiB
 * instead of 78, and an enable without any ends a little sooner. Bun ends at once over a variable that its version does not
 * know, so they belong to the version that is packed, and no other bun that a command starts may get them.
 * Source: measured with bun 1.4.5, whose engine and allocator read them.
 */
export const RUNTIME_VARIABLES: Readonly<Record<string, string>> = {
  MIMALLOC_PURGE_DELAY: '0',
  BUN_JSC_forceMiniVMMode: '1',
  BUN_JSC_thresholdForJITAfterWarmUp: '5000',
  BUN_JSC_thresholdForOptimizeAfterWarmUp: '20000',
};
