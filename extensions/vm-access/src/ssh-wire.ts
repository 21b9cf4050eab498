/**
 * Public keys in SSH's wire format: read strictly, as a sshd reads them, and written from a key of Node's. A key that is
 * too weak for any sshd, or that is none, is refused with the reason.
 *
 * Source: RFC 4251 section 5, RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4, OpenSSH's PROTOCOL.u2f and
 * PROTOCOL.certkeys.
 */
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import { accessError } from './errors.ts';

/** Types that an `authorized_keys` of OpenSSH may hold and that log somebody in. */
export const KEY_TYPES = [
  'ssh-ed25519',
  'ssh-rsa',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
] as const;
/** One of {@link KEY_TYPES}. */
export type KeyType = (typeof KEY_TYPES)[number];

/** What the wire format says of a key. */
export interface PublicKeyFacts {
  readonly type: KeyType;
  readonly bits: number;
}

/** No sshd takes a shorter RSA key, whatever its configuration. */
const LEAST_RSA_BITS = 1024;

/** Reads a key. Throws `SSH_KEY_INVALID` for what no sshd would take, with the reason; shows nothing of the key. */
export function readPublicKey(blob: Uint8Array): PublicKeyFacts {
  const reader = createReader(blob);
  const name = reader.text();
  const type = findType(name);
  const facts = { type, bits: READERS[type](reader) };
  if (!reader.isAtEnd()) throw keyError(`the ${type} key is followed by bytes that do not belong to it`);
  return facts;
}

/** The type if it is usable. Throws `SSH_KEY_INVALID` with the reason when it is not. */
export function findType(name: string): KeyType {
  const type = KEY_TYPES.find((known) => known === name);
  if (type !== undefined) return type;
  if (/^ssh-dss/.test(name)) {
    throw keyError('it is a DSA key (ssh-dss), which no sshd takes any more; use ssh-ed25519');
  }
  if (/-cert-v0[01]@openssh\.com$/.test(name)) {
    throw keyError(
      'it is an OpenSSH certificate, which sshd does not look for in authorized_keys; give the public key itself (the file without -cert), or name its CA in TrustedUserCAKeys of sshd_config',
    );
  }
  const meant = KEY_TYPES.find((known) => known === name.toLowerCase());
  if (meant !== undefined) throw keyError(`its type must be written in small letters: ${meant}`);
  throw keyError(`its type is none of ${KEY_TYPES.join(', ')}`);
}

/** Writes a key of Node's in the wire format. Throws `SSH_KEY_INVALID` for a kind that SSH has not. */
export function encodePublicKey(key: KeyObject): Buffer {
  const jwk = exportJwk(key);
  if (jwk.kty === 'RSA') return join('ssh-rsa', mpint(bytesOf(jwk.e)), mpint(bytesOf(jwk.n)));
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return join('ssh-ed25519', bytesOf(jwk.x));
  const curve = CURVES.find(({ jwkName }) => jwkName === jwk.crv);
  if (jwk.kty !== 'EC' || curve === undefined) {
    throw keyError(
      'SSH knows no such kind of key: it must be RSA, Ed25519, or EC with P-256, P-384 or P-521',
    );
  }
  const point = Buffer.concat([UNCOMPRESSED, bytesOf(jwk.x), bytesOf(jwk.y)]);
  return join(`ecdsa-sha2-${curve.name}`, Buffer.from(curve.name), point);
}

/** Says why the text of `ssh_key` cannot be used; `reason` shows nothing of it. */
export function keyError(reason: string): Error {
  return accessError('SSH_KEY_INVALID', `'ssh_key' cannot be used: ${reason}`);
}

const MOST_RSA_BITS = 16_384;
const MOST_APPLICATION_BYTES = 1_024;
const ED25519_BYTES = 32;
const UNCOMPRESSED = Buffer.of(4);
const CURVES = [
  { name: 'nistp256', jwkName: 'P-256', bits: 256 },
  { name: 'nistp384', jwkName: 'P-384', bits: 384 },
  { name: 'nistp521', jwkName: 'P-521', bits: 521 },
] as const;

/** Each reads what follows the type, and gives the length in bits. */
const READERS: Readonly<Record<KeyType, (reader: Reader) => number>> = {
  'ssh-ed25519': readEd25519,
  'ssh-rsa': readRsa,
  'ecdsa-sha2-nistp256': (reader) => readPoint(reader, 'nistp256'),
  'ecdsa-sha2-nistp384': (reader) => readPoint(reader, 'nistp384'),
  'ecdsa-sha2-nistp521': (reader) => readPoint(reader, 'nistp521'),
  'sk-ssh-ed25519@openssh.com': (reader) => readApplication(reader, readEd25519(reader)),
  'sk-ecdsa-sha2-nistp256@openssh.com': (reader) => readApplication(reader, readPoint(reader, 'nistp256')),
};

function readEd25519(reader: Reader): number {
  if (reader.bytes().length !== ED25519_BYTES) throw keyError('its Ed25519 key has not 32 bytes');
  return 256;
}

function readRsa(reader: Reader): number {
  const exponent = reader.number();
  const modulus = reader.number();
  const bits = bitLength(modulus);
  if (bitLength(exponent) < 2 || !isOdd(exponent) || !isOdd(modulus)) {
    throw keyError('its numbers are none of an RSA key');
  }
  if (bits < LEAST_RSA_BITS) {
    throw keyError(
      `its RSA key has ${bits} bits, and sshd takes none below ${LEAST_RSA_BITS}; use ssh-ed25519, or RSA with 3072 bits`,
    );
  }
  if (bits > MOST_RSA_BITS) throw keyError(`its RSA key has ${bits} bits, and sshd reads ${MOST_RSA_BITS}`);
  return bits;
}

function readPoint(reader: Reader, name: (typeof CURVES)[number]['name']): number {
  const curve = CURVES.find((one) => one.name === name);
  if (curve === undefined || reader.text() !== name) throw keyError('its curve is not that of its type');
  const point = Buffer.from(reader.bytes());
  const size = Math.ceil(curve.bits / 8);
  if (point.length !== 1 + 2 * size || point[0] !== UNCOMPRESSED[0]) {
    throw keyError(`its point is no uncompressed point of ${name}`);
  }
  try {
    const x = point.subarray(1, 1 + size).toString('base64url');
    const y = point.subarray(1 + size).toString('base64url');
    createPublicKey({ key: { kty: 'EC', crv: curve.jwkName, x, y }, format: 'jwk' });
  } catch {
    throw keyError(`its point does not lie on ${name}`);
  }
  return curve.bits;
}

function readApplication(reader: Reader, bits: number): number {
  const length = reader.bytes().length;
  if (length === 0 || length > MOST_APPLICATION_BYTES) {
    throw keyError('it does not name the application of the security key');
  }
  return bits;
}

interface Reader {
  bytes(): Uint8Array;
  text(): string;
  /** A positive whole number in its shortest form. */
  number(): Uint8Array;
  isAtEnd(): boolean;
}

function createReader(blob: Uint8Array): Reader {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  let at = 0;
  const bytes = (): Uint8Array => {
    const begin = at + 4;
    const end = begin > blob.length ? Number.POSITIVE_INFINITY : begin + view.getUint32(at);
    if (end > blob.length) throw keyError('it ends in the middle; was it cut off when it was copied?');
    at = end;
    return blob.subarray(begin, end);
  };
  return {
    bytes,
    text: () => Buffer.from(bytes()).toString('latin1'),
    number: () => {
      const value = bytes();
      const [first = 0, second = 0] = value;
      // A leading zero only where the number would be read as a negative one.
      if (value.length === 0 || first >= 0x80 || (first === 0 && (value.length === 1 || second < 0x80))) {
        throw keyError('its numbers are not written as SSH writes them');
      }
      return first === 0 ? value.subarray(1) : value;
    },
    isAtEnd: () => at === blob.length,
  };
}

function bitLength(number: Uint8Array): number {
  return (number.length - 1) * 8 + (32 - Math.clz32(number[0] ?? 0));
}

function isOdd(number: Uint8Array): boolean {
  return ((number.at(-1) ?? 0) & 1) === 1;
}

function exportJwk(key: KeyObject): JsonWebKey {
  try {
    return key.export({ format: 'jwk' });
  } catch {
    return {};
  }
}

function bytesOf(text: string | undefined): Buffer {
  return Buffer.from(text ?? '', 'base64url');
}

function mpint(number: Buffer): Buffer {
  const zeros = number.findIndex((byte) => byte !== 0);
  const shortest = number.subarray(zeros < 0 ? number.length : zeros);
  return (shortest[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), shortest]) : shortest;
}

function join(type: string, ...fields: readonly Buffer[]): Buffer {
  const parts = [Buffer.from(type), ...fields].flatMap((field) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(field.length);
    return [length, field];
  });
  return Buffer.concat(parts);
}
