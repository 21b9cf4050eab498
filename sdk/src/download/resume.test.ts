import { describe, expect, it } from 'vitest';
import { announcedLength, rangeHeaders, resumePointOf, totalOfRest } from './resume.ts';

describe('the rest of a file can be asked for', () => {
  it.each<[Record<string, string>, string | undefined, string]>([
    [{ etag: '"a"' }, '"a"', 'a strong ETag'],
    [{ etag: ' "0x8D" ' }, '"0x8D"', 'spaces around it'],
    [{ etag: 'W/"a"' }, undefined, 'a weak ETag'],
    [{ etag: 'a' }, undefined, 'no quotes'],
    [{}, undefined, 'no validator'],
    [
      { 'last-modified': 'Fri, 02 Jan 2026 00:00:00 GMT', date: 'Fri, 02 Jan 2026 00:01:00 GMT' },
      'Fri, 02 Jan 2026 00:00:00 GMT',
      'changed long before',
    ],
    [
      { 'last-modified': 'Fri, 02 Jan 2026 00:00:00 GMT', date: 'Fri, 02 Jan 2026 00:00:59 GMT' },
      undefined,
      'changed just now',
    ],
    [{ 'last-modified': 'Fri, 02 Jan 2026 00:00:00 GMT' }, undefined, 'no date to compare with'],
    [{ 'last-modified': 'soon', date: 'Fri, 02 Jan 2026 00:00:59 GMT' }, undefined, 'nonsense'],
    [{ etag: '"a"', 'accept-ranges': 'none' }, undefined, 'ranges are refused'],
    [{ etag: '"a"', 'content-encoding': 'gzip' }, undefined, 'the body is packed'],
    [{ etag: '"a"', 'content-encoding': 'identity' }, '"a"', 'the body is not packed'],
  ])('%j gives %s: %s', (headers, validator) => {
    expect(resumePointOf(new Headers(headers))?.validator).toBe(validator);
  });

  it('with the validator, from the next byte on', () => {
    expect(rangeHeaders({ validator: '"a"' }, 7)).toEqual({ range: 'bytes=7-', 'if-range': '"a"' });
  });
});

it.each<[string | undefined, string | undefined, number | undefined, number | undefined, string]>([
  ['bytes 7-9/10', '"a"', 10, 10, 'just the rest'],
  ['bytes 7-9/10', undefined, undefined, 10, 'the length was not known'],
  ['bytes 6-9/10', '"a"', 10, undefined, 'begins before'],
  ['bytes 8-9/10', '"a"', 10, undefined, 'begins after'],
  ['bytes 7-8/10', '"a"', 10, undefined, 'ends before the end'],
  ['bytes 7-9/11', '"a"', 10, undefined, 'another length'],
  ['bytes 7-10/11', '"a"', 10, undefined, 'a file that has grown'],
  ['bytes 7-9/10', '"b"', 10, undefined, 'another file'],
  ['bytes 7-9/*', '"a"', 10, undefined, 'no length'],
  [undefined, '"a"', 10, undefined, 'several parts, or none'],
  ['items 7-9/10', '"a"', 10, undefined, 'another unit'],
])('206 with content-range %s, ETag %s, %s bytes known gives %s: %s', (range, etag, known, total) => {
  const headers = new Headers({ ...(range && { 'content-range': range }), ...(etag && { etag }) });
  expect(totalOfRest(headers, { validator: '"a"' }, 7, known)).toBe(total);
});

it.each<[Record<string, string>, number | undefined]>([
  [{ 'content-length': '5' }, 5],
  [{ 'content-length': '0' }, 0],
  [{ 'content-length': '-5' }, undefined],
  [{ 'content-length': '5, 5' }, undefined],
  [{ 'content-length': '9'.repeat(20) }, undefined],
  [{ 'content-length': '5', 'content-encoding': 'gzip' }, undefined],
  [{}, undefined],
])('%j announces %s bytes', (headers, length) => {
  expect(announcedLength(new Headers(headers))).toBe(length);
});
