import { describe, expect, it } from 'vitest';
import { countCharacters, firstCharacters, lastCharacters } from './characters.ts';
import { formatPythonJson, formatPythonValue, pythonLookup } from './python-values.ts';
import { redactSas } from './sas-token.ts';

describe('formatPythonJson', () => {
  it.each<[unknown, string]>([
    [null, 'null'],
    [[], '[]'],
    [{}, '{}'],
    [[1, [2, {}], []], '[1, [2, {}], []]'],
    [{ a: 1, b: { c: [true, false, null] } }, '{"a": 1, "b": {"c": [true, false, null]}}'],
    [',\n  ": "', '",\\n  \\": \\""'],
    ['\u007f€😀\u2028\ud800', '"\\u007f\\u20ac\\ud83d\\ude00\\u2028\\ud800"'],
  ])('writes %j as %s', (value, expected) => {
    expect(formatPythonJson(value)).toBe(expected);
  });
});

describe('formatPythonValue', () => {
  it.each<[unknown, string]>([
    ['as it is', 'as it is'],
    [null, 'None'],
    [true, 'True'],
    [-1.5, '-1.5'],
    [['a', false, null], "['a', False, None]"],
    [{ 'k"': "it's\n", n: {} }, `{'k"': "it's\\n", 'n': {}}`],
  ])('shows %j as %s', (value, expected) => {
    expect(formatPythonValue(value, 100)).toBe(expected);
  });

  it('is short for a long value, and survives one that is nested deep', () => {
    expect(formatPythonValue('x'.repeat(1000), 10)).toBe('x'.repeat(10));
    const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    expect(formatPythonValue(deep, 100)).toContain('...');
  });
});

describe('pythonLookup', () => {
  it.each<[unknown, 'found' | 'not-found' | 'crash']>([
    [{ key: undefined }, 'found'],
    [{ other: 1 }, 'not-found'],
    ['text', 'not-found'],
    ['the key in a text', 'crash'],
    [[], 'not-found'],
    [['key'], 'crash'],
    [5, 'crash'],
    [null, 'crash'],
    [true, 'crash'],
  ])('of %j is %s', (value, expected) => {
    expect(pythonLookup(value, 'key')).toBe(expected);
  });

  it('finds no key that every object inherits', () => {
    expect(pythonLookup({}, 'toString')).toBe('not-found');
  });
});

describe('characters', () => {
  it.each([
    ['', 0],
    ['abc', 3],
    ['a😀b', 3],
    ['\ud83d', 1],
    ['\ude00\ud83d', 2],
    ['😀😀', 2],
  ])('%j has %s', (text, count) => {
    expect(countCharacters(text)).toBe(count);
  });

  it('are taken from both ends without cutting through a pair', () => {
    const text = 'a😀b😀';
    expect([0, 1, 2, 3, 4, 9].map((count) => firstCharacters(text, count))).toEqual([
      '',
      'a',
      'a😀',
      'a😀b',
      text,
      text,
    ]);
    expect([0, 1, 2, 3, 4, 9].map((count) => lastCharacters(text, count))).toEqual([
      '',
      '😀',
      'b😀',
      '😀b😀',
      text,
      text,
    ]);
  });
});

describe('redactSas', () => {
  const hidden = 'https://a.example/c/b?<redacted>';

  it.each([
    ['https://a.example/c/b?sv=1&sig=x', hidden],
    ['see https://a.example/c/b?sig=x.', `see ${hidden}`],
    ['"https://a.example/c/b?se=x" and \'https://a.example/c/b?sp=x\'', `"${hidden}" and '${hidden}'`],
    ['https://a.example/c/b?other=1', 'https://a.example/c/b?other=1'],
    ['http://a.example/c/b?sig=x', 'http://a.example/c/b?sig=x'],
    ['what? sig=x', 'what? sig=x'],
  ])('of %s', (text, expected) => {
    expect(redactSas(text)).toBe(expected);
  });

  it('takes time in proportion to the text', () => {
    // In processor time: a busy machine is not the code's fault.
    const start = process.cpuUsage();
    expect(redactSas(`${'https://'.repeat(200_000)}?`)).toHaveLength(1_600_001);
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(1000);
  });
});
