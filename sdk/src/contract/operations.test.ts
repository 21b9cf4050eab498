import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from './exit-codes.ts';
import {
  AGENT_OUTPUT_SHARE_CHARACTERS,
  decodeAgentOutput,
  formatAgentOutput,
  isOperation,
  OPERATION_ERROR_CODES,
  OPERATION_TIMEOUT_SECONDS,
  OPERATIONS,
} from './operations.ts';

const captured = (stdout: string, stderr: string): string =>
  formatAgentOutput(decodeAgentOutput(Buffer.from(stdout)), decodeAgentOutput(Buffer.from(stderr)));

describe('operations', () => {
  it.each([
    ['install', 900, 1007],
    ['enable', 300, 1009],
    ['disable', 900, 1010],
    ['update', 900, 1008],
    ['uninstall', 300, 1000],
  ] as const)('%s has %s seconds and fails with %s', (operation, seconds, code) => {
    expect(OPERATION_TIMEOUT_SECONDS[operation]).toBe(seconds);
    expect(OPERATION_ERROR_CODES[operation]).toBe(code);
  });

  it('are five words in lower case', () => {
    expect(OPERATIONS.filter(isOperation)).toHaveLength(5);
    expect(['Enable', 'toString', '', 'reset'].filter(isOperation)).toEqual([]);
  });
});

describe('exit codes', () => {
  it('are those that Azure and its publishers know', () => {
    expect(EXIT_CODES).toEqual({
      done: 0,
      handlerError: 1,
      wrongUsage: 2,
      unsupportedSystem: 51,
      dependencyMissing: 52,
      configurationError: 53,
      packageManagerLocked: 56,
    });
  });
});

describe('formatAgentOutput', () => {
  const frame = (stdout: string, stderr: string): string => `[stdout]\n${stdout}\n\n[stderr]\n${stderr}`;
  const half = AGENT_OUTPUT_SHARE_CHARACTERS;

  it.each([
    ['nothing', '', '', frame('', '')],
    ['short texts', 'out\n', 'err', frame('out\n', 'err')],
    [
      'one character below the limit',
      'A'.repeat(3190),
      'B'.repeat(9),
      frame('A'.repeat(3190), 'B'.repeat(9)),
    ],
    ['the limit', 'A'.repeat(3190), 'B'.repeat(10), frame('A'.repeat(3170), 'B'.repeat(10))],
    [
      '5000 and 50',
      `${'x'.repeat(70)}${'A'.repeat(4930)}`,
      'B'.repeat(50),
      frame('A'.repeat(2 * half - 50), 'B'.repeat(50)),
    ],
    ['50 and 5000', 'A'.repeat(50), 'B'.repeat(5000), frame('A'.repeat(50), 'B'.repeat(2 * half - 50))],
    ['two long texts', 'A'.repeat(5000), 'B'.repeat(5000), frame('A'.repeat(half), 'B'.repeat(half))],
    ['exactly a share', 'A'.repeat(half), 'B'.repeat(3200), frame('A'.repeat(half), 'B'.repeat(half))],
  ])('keeps the ends: %s', (_reason, stdout, stderr, expected) => {
    expect(captured(stdout, stderr)).toBe(expected);
  });

  it('reads the beginning of each stream and then keeps the end of that', () => {
    const stdout = `${'1'.repeat(1000)}${'2'.repeat(2200)}${'3'.repeat(1800)}`;
    expect(captured(stdout, 'e'.repeat(50))).toBe(frame('1'.repeat(930) + '2'.repeat(2200), 'e'.repeat(50)));
  });

  it('counts characters, not UTF-16 units', () => {
    expect(captured('😀'.repeat(800), '😀'.repeat(800))).toBe(frame('😀'.repeat(800), '😀'.repeat(800)));
  });
});

describe('decodeAgentOutput', () => {
  it.each<[string, number[], string]>([
    ['ASCII and NUL', [0x41, 0x00, 0x0a], 'A\u0000\n'],
    ['a lone byte', [0xff, 0x41], '\\xffA'],
    ['a beginning without its rest', [0xc3, 0x28], '\\xc3('],
    ['a character cut off', [0xe2, 0x82], '\\xe2\\x82'],
    ['an encoded surrogate', [0xed, 0xa0, 0x80], '\\xed\\xa0\\x80'],
    ['beyond Unicode', [0xf4, 0x90, 0x80, 0x80], '\\xf4\\x90\\x80\\x80'],
    ['an overlong form', [0xc0, 0x80], '\\xc0\\x80'],
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x41], '\uFEFFA'],
    ['the replacement character itself', [0xef, 0xbf, 0xbd], '\uFFFD'],
    ['four bytes', [0xf0, 0x9f, 0x98, 0x80], '😀'],
  ])('shows what is no UTF-8: %s', (_reason, bytes, expected) => {
    expect(decodeAgentOutput(Uint8Array.from(bytes))).toBe(expected);
  });

  it('reads 3200 bytes, and shows the bytes of a character that is cut there', () => {
    const text = decodeAgentOutput(Buffer.from(`a${'é'.repeat(2000)}`));
    expect(text).toBe(`a${'é'.repeat(1599)}\\xc3`);
  });
});
