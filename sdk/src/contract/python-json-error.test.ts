import { describe, expect, it } from 'vitest';
import { pythonJsonError } from './python-json-error.ts';

/** What Python 3.11 said of each text. */
const ROWS: readonly [text: string, error: string | undefined][] = [
  ['', 'Expecting value: line 1 column 1 (char 0)'],
  ['  ', 'Expecting value: line 1 column 3 (char 2)'],
  ['{', 'Expecting property name enclosed in double quotes: line 1 column 2 (char 1)'],
  ['[', 'Expecting value: line 1 column 2 (char 1)'],
  ['[1', "Expecting ',' delimiter: line 1 column 3 (char 2)"],
  ['[1,', 'Expecting value: line 1 column 4 (char 3)'],
  ['[1,]', 'Expecting value: line 1 column 4 (char 3)'],
  ['{"a"', "Expecting ':' delimiter: line 1 column 5 (char 4)"],
  ['{"a":', 'Expecting value: line 1 column 6 (char 5)'],
  ['{"a":1', "Expecting ',' delimiter: line 1 column 7 (char 6)"],
  ['{"a":1,', 'Expecting property name enclosed in double quotes: line 1 column 8 (char 7)'],
  ['{"a":1,}', 'Expecting property name enclosed in double quotes: line 1 column 8 (char 7)'],
  ["{'a':1}", 'Expecting property name enclosed in double quotes: line 1 column 2 (char 1)'],
  ['{"a" 1}', "Expecting ':' delimiter: line 1 column 6 (char 5)"],
  ['[1 2]', "Expecting ',' delimiter: line 1 column 4 (char 3)"],
  ['"abc', 'Unterminated string starting at: line 1 column 1 (char 0)'],
  ['"a\\', 'Unterminated string starting at: line 1 column 1 (char 0)'],
  ['"a\\x"', 'Invalid \\escape: line 1 column 3 (char 2)'],
  ['"a\\u12"', 'Invalid \\uXXXX escape: line 1 column 4 (char 3)'],
  ['"a\\u12zz"', 'Invalid \\uXXXX escape: line 1 column 4 (char 3)'],
  ['"a\tb"', 'Invalid control character at: line 1 column 3 (char 2)'],
  ['nul', 'Expecting value: line 1 column 1 (char 0)'],
  ['01', 'Extra data: line 1 column 2 (char 1)'],
  ['1.', 'Extra data: line 1 column 2 (char 1)'],
  ['-', 'Expecting value: line 1 column 1 (char 0)'],
  ['[1]x', 'Extra data: line 1 column 4 (char 3)'],
  ['\ufeff[]', 'Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)'],
  ['[\n  1,\n  \ud83d\ude00\n]', 'Expecting value: line 3 column 3 (char 9)'],
  ['"\ud83d\ude00" x', 'Extra data: line 1 column 5 (char 4)'],
  ['[{"status":', 'Expecting value: line 1 column 12 (char 11)'],
  ['[{"status":{"sta', 'Unterminated string starting at: line 1 column 13 (char 12)'],
  ['NaN', undefined],
  ['[-Infinity]', undefined],
  ['tru e', 'Expecting value: line 1 column 1 (char 0)'],
  ['{"a":1}{"b":2}', 'Extra data: line 1 column 8 (char 7)'],
  ['"\\u1234', 'Invalid \\uXXXX escape: line 1 column 3 (char 2)'],
  ['\n\n}', 'Expecting value: line 3 column 1 (char 2)'],
];

describe('pythonJsonError', () => {
  it.each(ROWS)('says of %j what Python says: %s', (text, error) => {
    expect(pythonJsonError(text)).toBe(error);
  });

  it('ends for a text that is nested deeper than Python goes', () => {
    expect(pythonJsonError('['.repeat(5000))).toContain('Expecting value');
  });
});
