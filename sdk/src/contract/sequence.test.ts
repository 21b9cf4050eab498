import { describe, expect, it } from 'vitest';
import { ContractError } from './json.ts';
import { formatSequence, isProcessed, parseSequence } from './sequence.ts';

describe('parseSequence', () => {
  it.each([
    ['0', 0],
    ['7', 7],
    ['7\n', 7],
    [' \t7\r\n', 7],
    ['2147483648', 2_147_483_648],
    ['999999999999999', 999_999_999_999_999],
    ['', undefined],
    [' \n', undefined],
  ])('reads %j as %s', (text, expected) => {
    expect(parseSequence(text, 'mrseq')).toBe(expected);
  });

  it.each([
    '-1',
    '+1',
    '1.0',
    '1e3',
    '0x10',
    'seven',
    '1 2',
    '9'.repeat(16),
    '9'.repeat(400),
    '１',
    '\u0000',
  ])('refuses %j, and does not quote it', (text) => {
    const parse = () => parseSequence(text, 'mrseq');
    expect(parse).toThrow(ContractError);
    expect(parse).toThrow('mrseq: must hold a whole number from 0 up');
  });

  it('gets from formatSequence what other handlers write: no line break', () => {
    expect(formatSequence(0)).toBe('0');
    expect(formatSequence(2_147_483_648)).toBe('2147483648');
  });
});

describe('isProcessed', () => {
  it.each([
    [0, undefined, false],
    [0, 0, true],
    [1, 0, false],
    [0, 1, true],
    [5, 5, true],
  ])('for %s with %s stored is %s', (requested, stored, expected) => {
    expect(isProcessed(requested, stored)).toBe(expected);
  });
});
