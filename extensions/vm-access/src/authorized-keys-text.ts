/**
 * The content of an `authorized_keys`: what has to be added to it for some keys, and whether they are in it as sshd reads
 * it. What is there stays as it is, byte for byte.
 */
import type { SshKey } from './ssh-key.ts';
import { optionNames, splitKeyLine } from './ssh-key-line.ts';
import { readPublicKey } from './ssh-wire.ts';

/** What becomes of a file. */
export interface KeyTextEdit {
  readonly content: Buffer;
  readonly added: readonly SshKey[];
  /** Of the added ones, those that were there with options which allow less, such as `command=`. */
  readonly restricted: readonly SshKey[];
}

/**
 * Adds what is missing. A key is there when a line has it with the same options; the comment does not count. sshd takes
 * the first line that fits, so that a key which is there with other options goes in front of everything.
 */
export function addKeys(content: Buffer, keys: readonly SshKey[]): KeyTextEdit {
  const lines = readLines(content);
  const missing = keys.filter((key) => !isEffective(lines, key, keys));
  const restricted = missing.filter((key) => lines.some((line) => hasKey(line, key)));
  const behind = missing.filter((key) => !restricted.includes(key));
  const isEnded = content.length === 0 || content.at(-1) === NEWLINE;
  const parts = [
    Buffer.from(formatLines(restricted)),
    content,
    // Without it the first new key would become a part of the last old line.
    Buffer.from(isEnded || behind.length === 0 ? '' : '\n'),
    Buffer.from(formatLines(behind)),
  ];
  return { content: Buffer.concat(parts), added: missing, restricted };
}

/** A file of these keys alone. */
export function formatLines(keys: readonly SshKey[]): string {
  return keys.map(({ line }) => `${line}\n`).join('');
}

/** The keys that sshd would not find in a file, or would find with other options first. */
export function findMissing(content: Buffer, keys: readonly SshKey[]): readonly SshKey[] {
  const lines = readLines(content);
  return keys.filter((key) => !isEffective(lines, key, keys));
}

/** How many lines of a file hold a key. */
export function countKeys(content: Buffer): number {
  return readLines(content).length;
}

/** Whether a file holds nothing but keys and empty lines: then whoever reads it learns nothing that is secret. */
export function holdsOnlyKeys(content: Buffer): boolean {
  return content
    .toString('latin1')
    .split('\n')
    .every((line) => line.trim() === '' || isPlainKey(line.trim()));
}

interface KeyLine {
  readonly options: string;
  readonly type: string;
  readonly data: string;
}

const NEWLINE = 0x0a;

/** The lines in which sshd looks for a key. */
function readLines(content: Buffer): readonly KeyLine[] {
  return content
    .toString('latin1')
    .split('\n')
    .map((line) => splitKeyLine(line.replace(/\r$/, '')))
    .filter((line) => line !== undefined);
}

function isPlainKey(line: string): boolean {
  const parts = splitKeyLine(line);
  if (parts === undefined || parts.options !== '') return false;
  try {
    return readPublicKey(Buffer.from(parts.data, 'base64')).type === parts.type;
  } catch {
    return false;
  }
}

/** Whether a line has the key with its options, and no line with options that nobody asked for comes before. */
function isEffective(lines: readonly KeyLine[], key: SshKey, keys: readonly SshKey[]): boolean {
  const found = lines.filter((line) => hasKey(line, key)).map(({ options }) => options);
  const wanted = keys.filter(({ data }) => data === key.data).map(({ options }) => latin1(options));
  return found.includes(latin1(key.options)) && wanted.includes(found[0] ?? '');
}

function hasKey(line: KeyLine, { type, data, options }: SshKey): boolean {
  if (line.type !== type || line.data.replace(/=+$/, '') !== data.replace(/=+$/, '')) return false;
  // A line that trusts an authority lets its certificates in, and not the key itself.
  return isAuthority(line.options) === isAuthority(options);
}

function isAuthority(options: string): boolean {
  return optionNames(options).includes('cert-authority');
}

/** As the bytes of the file are read here. */
function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}
