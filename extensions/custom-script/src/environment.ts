/**
 * The environment of the command: what the user gave in `environment` of both halves, over the user's own variables for
 * `runAsUser`, over that of the agent. Its values can be read by root and by the user who runs the command.
 */
import type { UserAccount } from '@handlerkit/sdk';

/** Variables by name. */
export type Environment = Readonly<Record<string, string>>;

const PAGE_BYTES = 4096;
/** Most bytes of `NAME=value` with its end that Linux gives to a program: 32 pages. */
export const VARIABLE_LIMIT_BYTES = 32 * PAGE_BYTES;

/** What is wrong with the variables of both halves, without any value. Expects strings; other values are not looked at. */
export function checkEnvironment(open: unknown, hidden: unknown): readonly string[] {
  const names = [...Object.keys(entriesOf(open)), ...Object.keys(entriesOf(hidden))];
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  return [
    ...[open, hidden].flatMap((half) => Object.entries(entriesOf(half)).flatMap(checkVariable)),
    ...twice.map(
      (name) =>
        `'environment.${name}' was specified both in public and protected settings; it must be specified only once`,
    ),
  ];
}

/** The variables of both halves. */
export function readEnvironment(open: unknown, hidden: unknown): Environment {
  return { ...entriesOf(open), ...entriesOf(hidden) };
}

/** True for a variable that the loader of any program heeds, so also of the one that changes the user. */
export function isLoaderVariable(name: string): boolean {
  return /^(?:LD_|GLIBC_TUNABLES$|GCONV_PATH$|LOCPATH$|MALLOC_)/.test(name);
}

/** The whole environment of the command; `undefined`: that of this process. */
export function commandEnvironment(
  own: Readonly<Record<string, string | undefined>>,
  given: Environment,
  user: UserAccount | undefined,
): Environment | undefined {
  if (user === undefined && Object.keys(given).length === 0) return undefined;
  const inherited = Object.entries(own).flatMap(([name, value]) =>
    value === undefined || (user !== undefined && OF_ANOTHER_USER.has(name)) ? [] : [[name, value] as const],
  );
  const ofUser: Environment =
    user === undefined ? {} : { HOME: user.home, USER: user.name, LOGNAME: user.name, SHELL: user.shell };
  return { ...Object.fromEntries(inherited), ...ofUser, ...given };
}

/** They name places of the user who started the agent. */
const OF_ANOTHER_USER: ReadonlySet<string> = new Set([
  'MAIL',
  'XDG_RUNTIME_DIR',
  'XDG_CONFIG_HOME',
  'OLDPWD',
]);

function checkVariable([name, value]: [string, string]): readonly string[] {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    return [`'environment' has a name that is no name of a variable; use letters, digits and underscores`];
  }
  if (value.includes('\0')) return [`'environment.${name}' must not contain a NUL character`];
  const bytes = Buffer.byteLength(`${name}=${value}`) + 1;
  if (bytes <= VARIABLE_LIMIT_BYTES) return [];
  return [`'environment.${name}' has ${bytes} bytes, but at most ${VARIABLE_LIMIT_BYTES} are possible`];
}

function entriesOf(half: unknown): Environment {
  if (typeof half !== 'object' || half === null || Array.isArray(half)) return {};
  return Object.fromEntries(
    Object.entries(half).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
