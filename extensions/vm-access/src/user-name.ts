/**
 * Which names a user may have: safe in sudoers, in a shell, as an argument, as the name of a file, and in the lines of
 * `/etc/passwd`. Stricter than `useradd`, which on Debian takes `ALL`, `%users` and `../etc`.
 */
import type { Distro } from './distro.ts';
import { accessError } from './errors.ts';

/**
 * Throws `USER_NAME_INVALID` for a name that no account may have. With `distro`, for a new account, also for one that
 * the distribution does not take.
 */
export function checkUserName(name: string, distro?: Pick<Distro, 'userNames'>): void {
  const problem = findProblem(name) ?? (distro?.userNames === 'lower-case' ? findCapital(name) : undefined);
  if (problem !== undefined) {
    throw accessError('USER_NAME_INVALID', `the user name ${problem}; choose another one`);
  }
}

/** What is wrong with a name, without the name. */
function findProblem(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (Buffer.byteLength(name) > LONGEST_NAME) return `is longer than ${LONGEST_NAME} bytes`;
  if (/^\d+$/.test(name)) return 'is a number, which programs take for an id';
  if (!/^[A-Za-z_]/.test(name)) return 'must begin with a letter of a to z or an underscore';
  if (!/^[A-Za-z0-9_.-]*$/.test(name)) {
    return 'holds a character that is none of a-z, A-Z, 0-9, underscore, dot and hyphen';
  }
  if (name.endsWith('.')) return 'ends with a dot';
  // Also ALL. Source: sudoers(5), "Aliases": a word of capitals, digits and underscores.
  if (/^[A-Z][A-Z0-9_]*$/.test(name)) return 'is written in capitals only, which sudo takes for an alias';
  if (SUDOERS_WORDS.includes(name)) return 'is a word of the language of sudoers';
  return undefined;
}

function findCapital(name: string): string | undefined {
  return /[A-Z.]/.test(name) ? 'holds a capital or a dot, which this distribution does not take' : undefined;
}

/** Source: useradd(8), "Usernames may only be up to 32 characters long". */
const LONGEST_NAME = 32;
/** Words with which a line of sudoers can begin that is no user's. Source: sudoers(5). */
const SUDOERS_WORDS: readonly string[] = [
  'Defaults',
  'User_Alias',
  'Runas_Alias',
  'Host_Alias',
  'Cmnd_Alias',
  'Cmd_Alias',
];
