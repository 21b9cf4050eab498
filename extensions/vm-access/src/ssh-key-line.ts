/**
 * One line of an `authorized_keys`: options, type, key, comment. Read as sshd reads it, once for lines that are to be
 * written and strictly checked, and once for lines that are found in a file and may hold anything.
 *
 * Source: sshd(8), AUTHORIZED_KEYS FILE FORMAT.
 */
import { KEY_TYPES } from './ssh-wire.ts';

/** The parts of a line, as they stand there. */
export interface KeyLineParts {
  /** Options before the key, as they stand there; empty for none. */
  readonly options: string;
  readonly type: string;
  /** The key in base64, as it stands there. */
  readonly data: string;
  /** What follows the key. */
  readonly comment: string;
}

/** Takes a line apart; `undefined` for an empty line, a comment, and what has not the parts of a key line. */
export function splitKeyLine(line: string): KeyLineParts | undefined {
  const text = line.replace(/^[ \t]+/, '');
  if (text === '' || text.startsWith('#')) return undefined;
  if (KEY_NAME.test(text)) return splitKey('', text);
  const end = endOfOptions(text);
  if (end === undefined) return undefined;
  const rest = text.slice(end).replace(/^[ \t]+/, '');
  return KEY_NAME.test(rest) ? splitKey(text.slice(0, end), rest) : undefined;
}

/** The first option that sshd does not know, or whose value is malformed; `undefined` when all are fine. */
export function findWrongOption(options: string): string | undefined {
  for (const option of splitOptions(options)) {
    const [, name = '', value] = /^([^=]*)(?:=("(?:[^"\\]|\\.)*"))?$/s.exec(option) ?? [];
    const known = OPTIONS.get(name.toLowerCase());
    if (known === undefined || known !== (value !== undefined)) return option.split('=')[0];
  }
  return undefined;
}

/** Names of options in small letters, such as `command`. */
export function optionNames(options: string): readonly string[] {
  return splitOptions(options).map((option) => (option.split('=')[0] ?? '').toLowerCase());
}

/** A word that looks like a type of key, known or not, with its key behind it. */
const KEY_NAME = new RegExp(
  `^(?:${KEY_TYPES.map((type) => type.replaceAll('.', '\\.')).join('|')}|ssh-[^\\s,="]+|ecdsa-[^\\s,="]+|sk-[^\\s,="]+)[ \\t]+[A-Za-z0-9+/]`,
  'i',
);

/** Options of sshd(8), with whether they have a value. */
const OPTIONS: ReadonlyMap<string, boolean> = new Map([
  ['agent-forwarding', false],
  ['cert-authority', false],
  ['command', true],
  ['environment', true],
  ['expiry-time', true],
  ['from', true],
  ['no-agent-forwarding', false],
  ['no-port-forwarding', false],
  ['no-pty', false],
  ['no-touch-required', false],
  ['no-user-rc', false],
  ['no-x11-forwarding', false],
  ['permitlisten', true],
  ['permitopen', true],
  ['port-forwarding', false],
  ['principals', true],
  ['pty', false],
  ['restrict', false],
  ['tunnel', true],
  ['user-rc', false],
  ['verify-required', false],
  ['x11-forwarding', false],
]);

function splitKey(options: string, text: string): KeyLineParts | undefined {
  const [, type, data, comment = ''] = /^(\S+)[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t]+(.*))?$/s.exec(text) ?? [];
  if (type === undefined || data === undefined) return undefined;
  return { options, type, data, comment: comment.trim() };
}

/** Where the options end: at the first white space outside of quotes. */
function endOfOptions(text: string): number | undefined {
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '\\' && text[at + 1] === '"') at += 1;
    else if (character === '"') isQuoted = !isQuoted;
    else if (!isQuoted && (character === ' ' || character === '\t')) return at;
  }
  return undefined;
}

function splitOptions(options: string): readonly string[] {
  return options === ''
    ? []
    : (options.match(/(?:[^,"\\]|\\.|"(?:[^"\\]|\\.)*"|["\\])+|(?<=,)(?=,|$)|^(?=,)/gs) ?? []);
}
