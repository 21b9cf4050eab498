import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import forge from 'node-forge';
import { describe, expect, it } from 'vitest';
import { createCertificate } from '../testing/certificates.ts';
import type { DerValue } from './der.ts';
import { DEEPEST_VALUE, formatDer, parseDer, readOid } from './der.ts';

const ENVELOPE = Buffer.from(
  readFileSync(new URL('fixtures/protected-settings.envelope', import.meta.url), 'utf8'),
  'base64',
);
const CERTIFICATE = Buffer.from(createCertificate().certificatePem.replace(/-----.*-----|\s/g, ''), 'base64');
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const nested = (levels: number): Buffer =>
  Buffer.concat([Buffer.from('3080'.repeat(levels - 1), 'hex'), hex('0500'), Buffer.alloc(2 * (levels - 1))]);

describe('parseDer', () => {
  it.each([
    ['an envelope', ENVELOPE],
    ['a certificate', CERTIFICATE],
  ])('reads %s, of which formatDer makes the same bytes', (_, bytes) => {
    expect(formatDer(parseDer(bytes)).equals(bytes)).toBe(true);
  });

  it('reads values without a told length as those with one', () => {
    const value = parseDer(hex('30 80 24 80 04 01 41 04 01 42 00 00 05 00 00 00'));
    expect(formatDer(value)).toEqual(hex('30 0a 24 06 04 01 41 04 01 42 05 00'));
  });

  it('reads a length that is longer than it need be', () => {
    expect(formatDer(parseDer(hex('04 84 00 00 00 01 41')))).toEqual(hex('04 01 41'));
  });

  it('tells class and tag', () => {
    expect(parseDer(hex('a2 02 80 00'))).toEqual({
      tagClass: 'context',
      tag: 2,
      content: [{ tagClass: 'context', tag: 0, content: Buffer.alloc(0) }],
    });
  });

  it.each([
    ['', 'nothing'],
    ['04', 'no length'],
    ['04 01', 'no content'],
    ['04 00 00', 'a byte too many'],
    ['04 80 41 00 00', 'bytes without a length'],
    ['30 80 05 00', 'no end'],
    ['30 80 05 00 00', 'half an end'],
    ['30 03 04 02 41', 'longer than what it is in'],
    ['30 80 30 02 00 00 04', 'an end inside of a told length'],
    ['04 85 00 00 00 00 01 41', 'a length of five bytes'],
    ['04 84 ff ff ff ff 41', 'a length beyond the bytes'],
    ['04 82 01', 'a length that is cut off'],
    ['1f 81 00 00', 'a tag above 30'],
  ])('refuses %s: %s', (text) => {
    expect(() => parseDer(hex(text))).toThrow(Error);
  });

  it('reads values up to its depth, and none below, however many there are', () => {
    expect(formatDer(parseDer(nested(DEEPEST_VALUE)))).toHaveLength(2 * DEEPEST_VALUE);
    expect(() => parseDer(nested(DEEPEST_VALUE + 1))).toThrow('nested too deeply');
    expect(() => parseDer(Buffer.from('3080'.repeat(1_000_000), 'hex'))).toThrow('nested too deeply');
  });

  it('reads of damaged bytes what node-forge reads, or nothing', () => {
    const change = fc.tuple(fc.nat(), fc.nat(255));
    const damaged = fc
      .tuple(fc.constantFrom(ENVELOPE, CERTIFICATE), fc.array(change, { maxLength: 3 }), fc.nat(40))
      .map(([bytes, changes, cut]) => {
        const copy = Buffer.from(bytes.subarray(0, cut > 30 ? bytes.length - cut + 30 : bytes.length));
        // Most bytes are those of keys; the structure is in the first of them.
        for (const [at, byte] of changes) copy[at % (at % 3 === 0 ? copy.length : 120)] = byte;
        return copy;
      });
    let accepted = 0;
    const property = fc.property(damaged, (bytes) => {
      const value = readOrNothing(bytes);
      if (value === undefined || holdsTag(value, BMP_STRING)) return;
      accepted++;
      expect(comparable(value)).toEqual(fromForge(forge.asn1.fromDer(bytes.toString('latin1'))));
    });
    fc.assert(property, { seed: 20262, numRuns: 3000 });
    expect(accepted).toBeGreaterThan(500);
  });
});

describe('readOid', () => {
  it.each([
    ['06 09 2a 86 48 86 f7 0d 01 07 03', '1.2.840.113549.1.7.3'],
    ['06 03 55 1d 0e', '2.5.29.14'],
    ['06 03 88 37 03', '2.999.3'],
    ['06 01 00', '0.0'],
    ['06 02 82 03', '2.179'],
  ])('reads %s as %s', (text, oid) => {
    expect(readOid(parseDer(hex(text)))).toBe(oid);
  });

  it('refuses what is none', () => {
    expect(() => readOid(parseDer(hex('04 01 2a')))).toThrow('no OID');
    expect(() => readOid(parseDer(hex('86 01 2a')))).toThrow('no OID');
  });
});

function readOrNothing(bytes: Buffer): DerValue | undefined {
  try {
    return parseDer(bytes);
  } catch {
    return undefined;
  }
}

function holdsTag(value: DerValue, tag: number): boolean {
  if (value.tag === tag) return true;
  return !Buffer.isBuffer(value.content) && value.content.some((member) => holdsTag(member, tag));
}

/** The tree as node-forge gives it, without the content of a BIT STRING, in which it looks for further values. */
function comparable({ tagClass, tag, content }: DerValue): unknown {
  const isReadOn = tagClass === 'universal' && tag === BIT_STRING;
  if (Buffer.isBuffer(content))
    return { tagClass, tag, content: isReadOn ? undefined : content.toString('hex') };
  return { tagClass, tag, content: content.map(comparable) };
}

const BIT_STRING: number = forge.asn1.Type.BITSTRING;
/** It makes a text of whatever has this tag, and none of an odd number of bytes. */
const BMP_STRING: number = forge.asn1.Type.BMPSTRING;
const CLASSES: Readonly<Record<number, DerValue['tagClass']>> = {
  0: 'universal',
  64: 'application',
  128: 'context',
  192: 'private',
};

function fromForge({ tagClass, type, constructed, value }: forge.asn1.Asn1): unknown {
  const shared = { tagClass: CLASSES[tagClass], tag: type };
  if (!constructed && tagClass === 0 && type === BIT_STRING) return { ...shared, content: undefined };
  const content =
    typeof value === 'string' ? Buffer.from(value, 'latin1').toString('hex') : value.map(fromForge);
  return { ...shared, content };
}
