/** What the program and the launcher that starts it agree on. */

/** Second word after `enable` with which the launcher asks the program to go on in a session of its own. */
export const DETACH_WORD = '--detach';

/**
 * Begins the name of a file in the version's folder, `.start.<pid>.tmp`: the launcher's process of that number has yet to find
 * out who starts the program. When it was killed, the next enable removes the file.
 */
export const START_CLAIM = '.start';
