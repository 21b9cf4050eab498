/**
 * The public keys of the setting `ssh_key`, in every form in which people have them: lines of an `authorized_keys`, the
 * SSH2 form, PEM, and X.509 certificates. What comes out is a line that sshd reads. A private key is refused.
 */
import { createHash } from 'node:crypto';
import { accessError } from './errors.ts';
import { isSsh2Text, readPemKey, readSsh2Key } from './ssh-key-forms.ts';
import { findWrongOption, splitKeyLine } from './ssh-key-line.ts';
import type { KeyType } from './ssh-wire.ts';
import { findType, keyError, readPublicKey } from './ssh-wire.ts';

/** A public key that sshd can read. */
export interface SshKey {
  readonly type: KeyType;
  /** The key in base64: with the type, what makes it this key and no other. */
  readonly data: string;
  readonly bits: number;
  /** Options before the key, as they were given; empty for none. */
  readonly options: string;
  readonly comment: string;
  /** As `ssh-keygen -l` prints it: `SHA256:…`. Holds no secret. */
  readonly fingerprint: string;
  /** The line of an `authorized_keys`, without a newline. */
  readonly line: string;
}

/** Keys that one setting may hold. */
const MOST_KEYS = 100;

/** Reads the text; each key comes once, in order. Throws `SSH_KEY_INVALID`, which shows nothing of the text. */
export function parseSshKeys(text: string): readonly SshKey[] {
  const clean = text.replace(/^\uFEFF/, '').trim();
  if (clean === '') throw keyError('it is empty');
  if (clean.length > MOST_CHARACTERS) throw keyError(`it has more than ${MOST_CHARACTERS} characters`);
  if (PRIVATE_KEY.test(clean)) {
    throw keyError(
      'it holds a private key. Give the public key (the file that ends in .pub), and make a new pair: who could read these settings has seen the private key. Nothing of it was kept',
    );
  }
  const keys = isSsh2Text(clean) ? [fromSsh2(clean)] : (fromPem(clean) ?? fromLines(clean));
  return [...new Map(keys.map((key) => [`${key.options} ${key.data}`, key])).values()];
}

/** How a key is named in a message: type and fingerprint. */
export function describeKey({ type, fingerprint }: SshKey): string {
  return `${type} ${fingerprint}`;
}

const MOST_CHARACTERS = 256 * 1024;
/** Older sshds read no longer line. */
const MOST_LINE_CHARACTERS = 8_192;
const PRIVATE_KEY =
  /BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File|SSH PRIVATE KEY FILE FORMAT|b3BlbnNzaC1rZXktdjE/;
const CONTROL = /\p{Cc}|\p{Zl}|\p{Zp}/u;

function fromSsh2(text: string): SshKey {
  const { blob, comment } = readSsh2Key(text);
  return makeKey('', blob, comment);
}

function fromPem(text: string): readonly SshKey[] | undefined {
  const blob = readPemKey(text);
  return blob === undefined ? undefined : [makeKey('', blob, '')];
}

function fromLines(text: string): readonly SshKey[] {
  const lines = text.split(/\r\n|\n|\r/).map((line) => line.trim());
  const wanted = lines.flatMap((line, index) =>
    line === '' || line.startsWith('#') ? [] : [{ line, number: index + 1 }],
  );
  if (wanted.length === 0) throw keyError('it holds only comments');
  if (wanted.length > MOST_KEYS) throw keyError(`it holds ${wanted.length} lines, ${MOST_KEYS} are allowed`);
  if (wanted.length === 1) return wanted.map(({ line }) => fromLine(line, ''));
  return wanted.map(({ line, number }) => fromLine(line, `line ${number}: `));
}

function fromLine(line: string, where: string): SshKey {
  try {
    return readLine(line);
  } catch (thrown) {
    if (where === '' || !(thrown instanceof Error)) throw thrown;
    throw accessError('SSH_KEY_INVALID', thrown.message.replace(': ', `: ${where}`));
  }
}

function readLine(line: string): SshKey {
  const parts = splitKeyLine(line);
  if (parts === undefined) {
    throw keyError(
      "it is no public key: neither a line such as 'ssh-ed25519 AAAA…', nor the SSH2 form, nor PEM, nor an X.509 certificate",
    );
  }
  const type = findType(parts.type);
  const blob = Buffer.from(parts.data, 'base64');
  if (blob.toString('base64').replace(/=+$/, '') !== parts.data.replace(/=+$/, '')) {
    throw keyError('its base64 is damaged; was it cut off when it was copied?');
  }
  if (readPublicKey(blob).type !== type) throw keyError(`it says ${type}, but the key is of another type`);
  const wrong = findWrongOption(parts.options);
  if (wrong !== undefined) {
    const shown = /^[A-Za-z0-9-]{1,40}$/.test(wrong) ? ` '${wrong}'` : '';
    throw keyError(
      `sshd does not know its option${shown}, or the option's value is missing or not in quotes`,
    );
  }
  return makeKey(parts.options, blob, parts.comment);
}

function makeKey(options: string, blob: Buffer, comment: string): SshKey {
  const { type, bits } = readPublicKey(blob);
  if (CONTROL.test(comment) || CONTROL.test(options)) throw keyError('its comment holds control characters');
  const data = blob.toString('base64');
  const line = [options, type, data, comment].filter((part) => part !== '').join(' ');
  if (line.length > MOST_LINE_CHARACTERS) {
    throw keyError(`its line has more than ${MOST_LINE_CHARACTERS} characters`);
  }
  const fingerprint = `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
  return { type, data, bits, options, comment, fingerprint, line };
}
