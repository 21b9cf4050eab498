import { describe, expect, it } from 'vitest';
import { findInexactNumber } from './inexact-number.ts';

describe('a number that JavaScript cannot keep', () => {
  it.each([
    ['{"id": 9007199254740993}', '.id'],
    ['{"a": [1, {"b, c": [0, -12345678901234567890]}]}', '.a[1].b, c[1]'],
    ['{"a": {"x": 1}, "b": 1152921504606846977}', '.b'],
    ['{"9007199254740993": "9007199254740993", "n": 9007199254740993.0}', '.n'],
    ['{"a\\"]": 90071992547409930e-1}', '.a"]'],
    ['{"a": 1e400}', '.a'],
    ['{"a": -1e-400}', '.a'],
  ])('is found in %s at %s', (json, path) => {
    expect(JSON.parse(json)).toBeTypeOf('object');
    expect(findInexactNumber(json)).toBe(path);
  });

  it.each([
    ['{"a": 9007199254740992, "b": -9007199254740991, "c": 1e30, "d": 100000000000000000000000}'],
    ['{"a": [0, -0, 0.0, 0e5, 1.50, 15e-1, 1E+2, 1.0]}'],
    ['{"third": 0.33333333333333333333333, "pi": 3.14159265358979323846}'],
    ['{"text": "9007199254740993, \\\\", "a": {}, "b": [], "c": [[], {"d": null}], "e": true}'],
  ])('is not in %s', (json) => {
    expect(findInexactNumber(json)).toBeUndefined();
  });

  it('is looked for in long texts as well', () => {
    const long = '\\"x'.repeat(1_000_000);
    expect(findInexactNumber(`{"a": "${long}", "b": 9007199254740993}`)).toBe('.b');
  });
});
