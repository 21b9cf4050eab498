import { describe, expect, it } from 'vitest';
import { createConverter, readMark } from './convert-text.ts';

const bytes = (...values: readonly number[]): Buffer => Buffer.from(values);
const wide = (text: string, isBigEndian = false): Buffer => {
  const encoded = Buffer.from(`\uFEFF${text}`, 'utf16le');
  return isBigEndian ? encoded.swap16() : encoded;
};

function convert(input: Uint8Array, pieceBytes: number): string {
  const converter = createConverter(readMark(input));
  const pieces: Buffer[] = [];
  for (let at = 0; at < input.length; at += pieceBytes) {
    pieces.push(Buffer.from(converter.push(input.subarray(at, at + pieceBytes))));
  }
  return Buffer.concat([...pieces, converter.end()]).toString('latin1');
}

describe.each([1, 2, 3, 5, 1000])('in pieces of %i bytes', (pieceBytes) => {
  it.each<[string, Buffer, string]>([
    ['nothing', bytes(), ''],
    ['CR LF', Buffer.from('a\r\nb\r\n'), 'a\nb\n'],
    ['a CR alone', Buffer.from('a\rb\r'), 'a\rb\r'],
    ['CR CR LF', Buffer.from('a\r\r\nb'), 'a\r\nb'],
    ['a UTF-8 mark', bytes(0xef, 0xbb, 0xbf, 0x61, 0xc3, 0xa4), 'aÃ¤'],
    ['bytes that are no UTF-8', bytes(0xff, 0x0d, 0x0a, 0x80), '\xff\n\x80'],
    ['UTF-16 little endian', wide('ä\r\n😀'), Buffer.from('ä\n😀').toString('latin1')],
    ['UTF-16 big endian', wide('ä\r\n😀', true), Buffer.from('ä\n😀').toString('latin1')],
    ['half a pair of UTF-16', wide('a\ud83d'), Buffer.from('a\uFFFD').toString('latin1')],
    [
      'an odd byte at the end of UTF-16',
      Buffer.concat([wide('a'), bytes(0x62)]),
      Buffer.from('a\uFFFD').toString('latin1'),
    ],
    ['UTF-16 without a mark', wide('a\r\n').subarray(2), 'a\0\r\0\n\0'],
  ])('%s', (_, input, expected) => {
    expect(convert(input, Math.max(pieceBytes, 1))).toBe(expected);
  });
});
