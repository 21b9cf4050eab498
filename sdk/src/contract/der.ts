/**
 * ASN.1 as CMS envelopes and certificates are written in: bytes into a tree of values, in DER or BER, and back in DER.
 * Values are parts of the bytes that were given, not copies. Source: X.690 sections 8 and 10.
 */

/** One value: bytes, or further values when it is constructed. */
export interface DerValue {
  readonly tagClass: TagClass;
  readonly tag: number;
  readonly content: Buffer | readonly DerValue[];
}

export type TagClass = (typeof TAG_CLASSES)[number];

/** Numbers of the universal types that an envelope's reader looks for. */
export const DER_TAGS = { octetString: 4, oid: 6, sequence: 16 } as const;

/**
 * Reads the one value that fills `bytes`. Throws `Error` for anything else, for tags above 30, and for values nested more
 * than {@link DEEPEST_VALUE} levels deep.
 */
export function parseDer(bytes: Buffer): DerValue {
  const { value, end } = readValue(bytes, 0, bytes.length, 1);
  if (end !== bytes.length) throw new Error('bytes after the value');
  return value;
}

/** The bytes of a value, each length in its shortest form: BER and DER spellings of one value are equal then. */
export function formatDer({ tagClass, tag, content }: DerValue): Buffer {
  const isConstructed = !Buffer.isBuffer(content);
  const body = isConstructed ? Buffer.concat(content.map(formatDer)) : content;
  const identifier = (TAG_CLASSES.indexOf(tagClass) << 6) | (isConstructed ? CONSTRUCTED : 0) | tag;
  return Buffer.concat([Buffer.from([identifier, ...formatLength(body.length)]), body]);
}

/** An object identifier in dotted form. Throws `Error` when the value is none. */
export function readOid({ tagClass, tag, content }: DerValue): string {
  if (tagClass !== 'universal' || tag !== DER_TAGS.oid || !Buffer.isBuffer(content))
    throw new Error('no OID');
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    // The first number holds two arcs, of which the first is 2 at most.
    if (arcs.length === 0) arcs.push(Math.min(2, Math.floor(arc / 40)));
    arcs.push(arcs.length === 1 ? arc - 40 * (arcs[0] ?? 0) : arc);
    arc = 0;
  }
  return arcs.join('.');
}

/** Far more than an envelope has, and far less than a stack holds. */
export const DEEPEST_VALUE = 64;

/** In the order of their numbers. */
const TAG_CLASSES = ['universal', 'application', 'context', 'private'] as const;
const CONSTRUCTED = 0x20;
/** Stands for a tag that is told in the next bytes; nothing in CMS has one. */
const LONG_TAG = 0x1f;
/** A length that is not told: the values end with two zero bytes. */
const INDEFINITE = 0x80;
/** Bytes of a length: 4 GiB is more than a settings file has. */
const LONGEST_LENGTH = 4;

interface ReadValue {
  readonly value: DerValue;
  /** Where the next value begins. */
  readonly end: number;
}

/** Reads the value that begins at `start`; `limit` is where what it is in ends. */
function readValue(bytes: Buffer, start: number, limit: number, depth: number): ReadValue {
  if (depth > DEEPEST_VALUE) throw new Error('nested too deeply');
  if (start + 2 > limit) throw new Error('cut off');
  const identifier = bytes.readUInt8(start);
  const tag = identifier & LONG_TAG;
  const tagClass = TAG_CLASSES[identifier >> 6];
  if (tag === LONG_TAG || tagClass === undefined) throw new Error('a tag above 30');
  const isConstructed = (identifier & CONSTRUCTED) !== 0;
  const first = bytes.readUInt8(start + 1);
  if (first === INDEFINITE) {
    if (!isConstructed) throw new Error('bytes without a length');
    const { values, end } = readValues(bytes, start + 2, limit, depth, true);
    return { value: { tagClass, tag, content: values }, end };
  }
  const { length, begin } = readLength(bytes, start + 1, limit);
  const end = begin + length;
  if (end > limit) throw new Error('cut off');
  const content = isConstructed
    ? readValues(bytes, begin, end, depth, false).values
    : bytes.subarray(begin, end);
  return { value: { tagClass, tag, content }, end };
}

/** Reads values up to `limit`, or to the two zero bytes that end them. */
function readValues(
  bytes: Buffer,
  start: number,
  limit: number,
  depth: number,
  isIndefinite: boolean,
): { readonly values: readonly DerValue[]; readonly end: number } {
  const values: DerValue[] = [];
  let at = start;
  while (isIndefinite || at < limit) {
    if (isIndefinite && at + 2 <= limit && bytes.readUInt16BE(at) === 0) return { values, end: at + 2 };
    const { value, end } = readValue(bytes, at, limit, depth + 1);
    values.push(value);
    at = end;
  }
  return { values, end: at };
}

function readLength(
  bytes: Buffer,
  at: number,
  limit: number,
): { readonly length: number; readonly begin: number } {
  const first = bytes.readUInt8(at);
  if (first < 0x80) return { length: first, begin: at + 1 };
  const count = first & 0x7f;
  const begin = at + 1 + count;
  if (count > LONGEST_LENGTH || begin > limit) throw new Error('a length that no value has');
  return { length: bytes.readUIntBE(at + 1, count), begin };
}

function formatLength(length: number): readonly number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [INDEFINITE | bytes.length, ...bytes];
}
