/** Which rights sudo says that a user has: asked from `sudo -l -U`, which has read every file and every group. */
import { findProgram } from './command.ts';
import type { StepContext } from './step.ts';

/** What sudo says of a user. */
export interface SudoRights {
  /** `all`: every command as root, after a password; `passwordless`: without one. */
  readonly level: 'none' | 'some' | 'all' | 'passwordless';
  /** The rules, as sudo writes them: `(ALL : ALL) ALL`. */
  readonly rules: readonly string[];
  /** True when the password that sudo asks for is not the user's own (`targetpw`, `rootpw`, `runaspw`). */
  readonly asksForOtherPassword: boolean;
}

/**
 * Asks sudo; `undefined`: it is not installed. Throws `COMMAND_FAILED` with what sudo says when it does not work, or
 * knows no such user.
 */
export async function readSudoRights(
  context: StepContext,
  username: string,
): Promise<SudoRights | undefined> {
  if (findProgram(context.host, 'sudo') === undefined) return undefined;
  const result = await context.run(['sudo', '-l', '-U', username], { timeoutMs: LIMIT_MS, accept: [0, 1] });
  const rights = parseSudoRights(result.stdout);
  if (rights !== undefined) return rights;
  // Without an answer an exit code of 1 is a failure, which is told in the same words as any other.
  await context.run(['sudo', '-l', '-U', username], { timeoutMs: LIMIT_MS });
  return { level: 'none', rules: [], asksForOtherPassword: false };
}

/** Reads the list; `undefined` for a text that is none. Of several rules for all commands the last one counts. */
export function parseSudoRights(text: string): SudoRights | undefined {
  if (/ is not allowed to run sudo on /.test(text)) {
    return { level: 'none', rules: [], asksForOtherPassword: false };
  }
  const [head = '', list] = text.split(/^User \S+ may run the following commands on [^\n]*:\n/m);
  if (list === undefined) return undefined;
  const rules = list
    // A long rule goes on in the next line, which is indented more.
    .replace(/\n {5,}|\n\t\t+/g, ' ')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('('));
  const last = rules.findLast((rule) => FOR_ALL.test(rule));
  const some = rules.length > 0 ? 'some' : 'none';
  const all = last !== undefined && /\bNOPASSWD:/.test(last) ? 'passwordless' : 'all';
  return {
    level: last === undefined ? some : all,
    rules,
    asksForOtherPassword: OTHER_PASSWORDS.some((flag) => isOn(head, flag)),
  };
}

/** For people: `every command with sudo, without a password`. */
export function describeRights({ level, rules }: SudoRights): string {
  if (level === 'passwordless') return 'every command with sudo, without a password';
  if (level === 'all') return 'every command with sudo, after the password';
  return level === 'none' ? 'no rights of sudo' : `some rights of sudo: ${rules.join('; ')}`;
}

/** sudo looks for the name of the host first, which takes its time where no name server answers. */
const LIMIT_MS = 120_000;

/** `(ALL : ALL) NOPASSWD: ALL`, `(root) SETENV: ALL`. */
const FOR_ALL = /^\((?:ALL|root)(?:\s*:\s*\S+)?\)\s+(?:[A-Z_]+:\s*)*ALL$/;

const OTHER_PASSWORDS = ['targetpw', 'rootpw', 'runaspw'] as const;

/** Of several settings of a flag the last one counts. */
function isOn(defaults: string, flag: string): boolean {
  return defaults.match(new RegExp(`(?<=^|[\\s,])!?${flag}\\b`, 'g'))?.at(-1) === flag;
}
