/**
 * The text of a systemd service unit, with systemd's rules for quotes, `%` and `$`, and the line that marks it as
 * written for an extension. What the rules cannot express is refused. Source: systemd.syntax(7), systemd.service(5)
 * "Command lines", systemd.unit(5) "Specifiers", systemd.exec(5) "Environment".
 */
import { isVersion } from './contract/package-layout.ts';
import { HandlerError } from './errors.ts';

/** Who writes a unit, and who may therefore replace and remove it. */
export interface UnitOwner {
  /** The extension, as in `Contoso.Samples.Greeter`. */
  readonly extension: string;
  /** The extension's version, such as the `version` of the operation's context. */
  readonly version: string;
}

/** A service. Everyone on the machine can read it: it is no place for secrets. */
export interface ServiceDescription {
  /** One line for people. */
  readonly description: string;
  /** Program (an absolute path) and arguments; each arrives exactly as it stands here, nothing is expanded. */
  readonly execStart: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Absolute path. */
  readonly workingDirectory?: string;
  /** Default: root. */
  readonly user?: string;
  /** When systemd says that the service has started; default `simple`: as soon as its process exists. */
  readonly type?: 'simple' | 'notify' | 'oneshot' | 'forking';
  /** Default `no`. */
  readonly restart?: 'no' | 'on-failure' | 'always';
  /** Seconds before a restart; default: systemd's 0.1. */
  readonly restartSeconds?: number;
  /** Seconds that the service has to end after SIGTERM; default: systemd's, usually 90. */
  readonly stopSeconds?: number;
  /** Units that must have started before, when they start at all, such as `network-online.target`. */
  readonly after?: readonly string[];
  /** Units that are started along with this one. */
  readonly wants?: readonly string[];
  /** The target with which the service starts at boot; default `multi-user.target`. */
  readonly wantedBy?: string;
}

/**
 * The whole text of the unit. Throws `SETTINGS_INVALID`, with the name of the field and not its value, for a control
 * character, a program without an absolute path, a variable name, user or unit name that is none, and numbers that are
 * no duration.
 */
export function formatUnit(owner: UnitOwner, service: ServiceDescription): string {
  const { environment = {}, workingDirectory, user, restartSeconds, stopSeconds } = service;
  const lines = (key: string, value: string | undefined): string[] =>
    value === undefined || value === '' ? [] : [`${key}=${value}`];
  return [
    formatMark(owner),
    '[Unit]',
    ...lines('Description', formatPlain('description', service.description)),
    ...lines('After', formatUnitNames('after', service.after)),
    ...lines('Wants', formatUnitNames('wants', service.wants)),
    '',
    '[Service]',
    ...lines('Type', service.type ?? 'simple'),
    ...lines('ExecStart', formatCommand(service.execStart)),
    ...Object.entries(environment).map(([name, value]) => `Environment=${formatVariable(name, value)}`),
    ...lines('WorkingDirectory', workingDirectory === undefined ? undefined : formatFolder(workingDirectory)),
    ...lines('User', user === undefined ? undefined : formatUser(user)),
    ...lines('Restart', service.restart ?? 'no'),
    ...lines('RestartSec', formatSeconds('restartSeconds', restartSeconds)),
    ...lines('TimeoutStopSec', formatSeconds('stopSeconds', stopSeconds)),
    '',
    '[Install]',
    ...lines('WantedBy', formatUnitNames('wantedBy', [service.wantedBy ?? 'multi-user.target'])),
    '',
  ].join('\n');
}

/** Who wrote the unit of this text; `undefined` when the SDK did not. */
export function parseMark(text: string): UnitOwner | undefined {
  const [, extension, version] = MARK.exec(text) ?? [];
  return extension === undefined || version === undefined || !isVersion(version)
    ? undefined
    : { extension, version };
}

const MARK = /^# Handlerkit-Unit: ([A-Za-z0-9._-]+) (\S+)\n/;

function formatMark(owner: UnitOwner): string {
  const mark = `# Handlerkit-Unit: ${owner.extension} ${owner.version}\n`;
  const read = parseMark(mark);
  if (read?.extension !== owner.extension || read.version !== owner.version) {
    throw refusal('extension or version', 'is not what an extension has');
  }
  return `${mark}# Written by this extension, which replaces changes. Use "systemctl edit" to override it.`;
}

function refusal(field: string, reason: string): HandlerError {
  return new HandlerError('SETTINGS_INVALID', `the systemd unit cannot be written: ${field} ${reason}`);
}

/** Text without quoting: systemd takes spaces at its ends away, and joins a line that a backslash ends with the next. */
function formatPlain(field: string, text: string): string {
  checkCharacters(field, text);
  if (text !== text.trim() || text.endsWith('\\')) {
    throw refusal(field, 'begins or ends with a space or ends with a backslash');
  }
  return escapeSpecifiers(text);
}

function formatCommand(argv: readonly string[]): string {
  const [program, ...words] = argv;
  if (program === undefined || !program.startsWith('/')) {
    throw refusal('execStart', 'does not begin with the absolute path of a program');
  }
  // systemd expands no variables in the path, so that a doubled dollar sign would stay doubled.
  if (program.includes('$')) throw refusal('execStart', 'has a dollar sign in the path of its program');
  return [program, ...words].map((word) => formatWord('execStart', word).replaceAll('$', '$$$$')).join(' ');
}

function formatVariable(name: string, value: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw refusal('environment', 'has a name that is none');
  return formatWord('environment', `${name}=${value}`);
}

/** One word of a line that systemd splits: in quotes unless it is plain, so that nothing in it can be a word of its own. */
function formatWord(field: string, word: string): string {
  checkCharacters(field, word);
  if (/^[A-Za-z0-9_@%+=:,./$-]+$/.test(word)) return escapeSpecifiers(word);
  return `"${escapeSpecifiers(word).replace(/["\\]/g, '\\$&')}"`;
}

function escapeSpecifiers(text: string): string {
  return text.replaceAll('%', '%%');
}

function formatFolder(path: string): string {
  if (!path.startsWith('/')) throw refusal('workingDirectory', 'is no absolute path');
  return formatPlain('workingDirectory', path);
}

function formatUser(user: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(user)) throw refusal('user', 'is no name of a user');
  return user;
}

function formatUnitNames(field: string, names: readonly string[] | undefined): string | undefined {
  for (const name of names ?? []) {
    if (!UNIT_NAME.test(name)) throw refusal(field, 'has a name that no unit can have');
  }
  return names?.join(' ');
}

const UNIT_NAME =
  /^[A-Za-z0-9:_.@\\-]{1,200}\.(?:service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$/;

function formatSeconds(field: string, seconds: number | undefined): string | undefined {
  if (seconds === undefined) return undefined;
  if (!(seconds >= 0 && seconds <= LONGEST_SECONDS)) throw refusal(field, 'is no number of seconds');
  return `${Math.round(seconds * 1000)}ms`;
}

const LONGEST_SECONDS = 10 * 365 * 24 * 3600;

function checkCharacters(field: string, text: string): void {
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text) || !text.isWellFormed()) {
    throw refusal(field, 'has a line break, another control character or half a character');
  }
}
