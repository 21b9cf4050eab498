/**
 * Forms of a public key other than the line of an `authorized_keys`: the SSH2 form, PEM (SubjectPublicKeyInfo and
 * PKCS#1) and X.509 certificates, also without their markers.
 *
 * Source: RFC 4716, RFC 7468, RFC 8017 appendix A.1.1.
 */
import type { KeyObject } from 'node:crypto';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { encodePublicKey, keyError } from './ssh-wire.ts';

/** What the SSH2 form holds: the key in the wire format, and its comment. */
export interface Ssh2Key {
  readonly blob: Buffer;
  readonly comment: string;
}

/** Whether the text is in the SSH2 form. */
export function isSsh2Text(text: string): boolean {
  return SSH2_BEGIN.test(text);
}

/** Reads the SSH2 form. Throws `SSH_KEY_INVALID`. */
export function readSsh2Key(text: string): Ssh2Key {
  const [, body, rest] =
    /^-{4,5} ?BEGIN SSH2 PUBLIC KEY ?-{4,5}\s([\s\S]*?)-{4,5} ?END SSH2 PUBLIC KEY ?-{4,5}([\s\S]*)$/.exec(
      text,
    ) ?? [];
  if (body === undefined) throw keyError('its SSH2 form has no end marker; was it cut off?');
  if (rest?.trim() !== '') throw keyError('after its SSH2 form comes something else; give one key at a time');
  // A header's line that ends in a backslash goes on in the next one.
  const lines = body.replace(/\\\r?\n/g, '').split(/\r?\n/);
  const isHeader = (line: string): boolean => /^[!-9;-~]+:/.test(line);
  const comment = lines.find((line) => /^comment:/i.test(line))?.replace(/^comment:\s*/i, '') ?? '';
  const blob = decodeBase64(lines.filter((line) => !isHeader(line)).join(''));
  if (blob === undefined) throw keyError('the base64 of its SSH2 form is damaged');
  return { blob, comment: comment.trim().replace(/^"(.*)"$/, '$1') };
}

/** Reads PEM or the bare base64 of a certificate or a public key, and gives the wire format; `undefined` for neither. Throws `SSH_KEY_INVALID`. */
export function readPemKey(given: string): Buffer | undefined {
  // JSON that was escaped twice leaves the two characters \\n where a line ended.
  const text = given.replace(/\\[rn]/g, '\n');
  const begins = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)];
  if (begins.length === 0) {
    // `MI` is what the base64 of a DER sequence of this size begins with.
    const der = /^MI/.test(text) ? decodeBase64(text) : undefined;
    return der === undefined ? undefined : encodePublicKey(readDer(der, 'certificate or public key'));
  }
  const label = begins[0]?.[1] ?? '';
  if (begins.length > 1) {
    throw keyError(`it holds ${begins.length} PEM blocks; give only the one whose key is to log in`);
  }
  if (!(label in DER_READERS)) {
    throw keyError(`PEM with ${JSON.stringify(label)} is no public key and no X.509 certificate`);
  }
  const [, body] = new RegExp(`-----BEGIN ${label}-----([\\s\\S]*?)-----END ${label}-----`).exec(text) ?? [];
  const der = body === undefined ? undefined : decodeBase64(body);
  if (der === undefined) throw keyError('its PEM is damaged; was it cut off when it was copied?');
  return encodePublicKey(readDer(der, label));
}

const SSH2_BEGIN = /^-{4,5} ?BEGIN SSH2 PUBLIC KEY/;
const CERTIFICATE: DerReader = (der) => new X509Certificate(der).publicKey;
const PUBLIC_KEY: DerReader = (der) => createPublicKey({ key: der, format: 'der', type: 'spki' });
const DER_READERS: Readonly<Record<string, readonly DerReader[]>> = {
  CERTIFICATE: [CERTIFICATE],
  'X509 CERTIFICATE': [CERTIFICATE],
  'PUBLIC KEY': [PUBLIC_KEY],
  'RSA PUBLIC KEY': [(der) => createPublicKey({ key: der, format: 'der', type: 'pkcs1' })],
  'certificate or public key': [CERTIFICATE, PUBLIC_KEY],
};

type DerReader = (der: Buffer) => KeyObject;

function readDer(der: Buffer, label: string): KeyObject {
  for (const read of DER_READERS[label] ?? []) {
    try {
      return read(der);
    } catch {
      // The next reader, or the message below: OpenSSL's own words would not help.
    }
  }
  throw keyError(`its ${label.toLowerCase()} cannot be read`);
}

/** Strict, so that text which merely looks alike is not taken for a key; white space does not count. */
function decodeBase64(text: string): Buffer | undefined {
  const bare = text.replace(/\s/g, '');
  const bytes = Buffer.from(bare, 'base64');
  const isWhole = bytes.toString('base64').replace(/=+$/, '') === bare.replace(/=+$/, '');
  return bare !== '' && isWhole ? bytes : undefined;
}
