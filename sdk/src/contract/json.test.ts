import { describe, expect, it } from 'vitest';
import {
  ContractError,
  decodeArray,
  decodeBoolean,
  decodeNumber,
  decodeObject,
  decodeString,
  decodeText,
  element,
  isAbsent,
  member,
  optional,
  parseJson,
} from './json.ts';

const DOCUMENT = '{"a":[{"b":"secret-value","c":[1,null,true]}],"__proto__":{"x":1}}';

describe('parseJson', () => {
  it('refuses a document that is cut off at any byte, and never quotes it', () => {
    for (let end = 0; end < DOCUMENT.length; end++) {
      const parse = () => parseJson(DOCUMENT.slice(0, end), '7.settings');
      expect(parse).toThrow(ContractError);
      expect(parse).toThrow(
        end === 0 ? '7.settings: is empty' : '7.settings: is not valid JSON (cut off or malformed)',
      );
      expect(parse).not.toThrow('secret');
    }
  });

  it.each([
    ['a comma too many', '{"a":1,}'],
    ['a comment', '{"a":1} // x'],
    ['NaN', '{"a":NaN}'],
    ['single quotes', "{'a':1}"],
    ['a control character', '{"a":"\u0000"}'],
    ['two documents', '{"a":1}{"a":2}'],
    ['two byte order marks', '\uFEFF\uFEFF{}'],
    ['100,000 open brackets', '['.repeat(100_000)],
  ])('refuses %s', (_reason, text) => {
    expect(() => parseJson(text, 'f')).toThrow(ContractError);
  });

  it('skips one byte order mark', () => {
    expect(parseJson('\uFEFF{"a":1}', 'f').value).toEqual({ a: 1 });
  });

  it('reads a document that is nested 100,000 deep', () => {
    const { value } = parseJson(`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'f');
    expect(Array.isArray(value)).toBe(true);
  });

  it('lets the last of two members of one name win, as the agent does', () => {
    expect(parseJson('{"a":1,"a":2}', 'f').value).toEqual({ a: 2 });
  });
});

describe('member and element', () => {
  it('take __proto__ and toString for names like any other', () => {
    const root = parseJson(DOCUMENT, 'f');
    expect(member(member(root, '__proto__'), 'x').value).toBe(1);
    expect(member(root, 'toString').value).toBeUndefined();
    expect(member(root, 'x').value).toBeUndefined();
  });

  it('say where they are', () => {
    const at = element(member(element(member(parseJson(DOCUMENT, 'f'), 'a'), 0), 'c'), 1);
    expect(at).toEqual({ file: 'f', path: 'a[0].c[1]', value: null });
    expect(isAbsent(at)).toBe(true);
    expect(element(member(parseJson('{"a":[]}', 'f'), 'a'), 4).value).toBeUndefined();
  });
});

describe('a decoder', () => {
  const decoders = {
    object: [decodeObject, 'an object'],
    array: [decodeArray, 'an array'],
    string: [decodeString, 'a string'],
    number: [decodeNumber, 'a number'],
    boolean: [decodeBoolean, 'true or false'],
  } as const;
  const values: readonly [unknown, string, keyof typeof decoders | undefined][] = [
    [undefined, 'missing', undefined],
    [null, 'null', undefined],
    ['secret', 'a string', 'string'],
    [4711, 'a number', 'number'],
    [true, 'a boolean', 'boolean'],
    [['secret'], 'an array', 'array'],
    [{ secret: 1 }, 'an object', 'object'],
  ];

  for (const [kind, [decode, wanted]] of Object.entries(decoders)) {
    it.each(values)(`of ${kind} gets %j (%s)`, (value, found, fits) => {
      const run = () => decode({ file: 'f', path: 'a.b', value });
      if (fits === kind) return expect(run()).toBe(value);
      expect(run).toThrow(ContractError);
      const problem =
        found === 'missing' ? `is missing; it must be ${wanted}` : `must be ${wanted}, but is ${found}`;
      expect(run).toThrow(`f: a.b ${problem}`);
      expect(run).not.toThrow(/secret|4711/);
    });
  }

  it('of text refuses the empty one', () => {
    expect(() => decodeText({ file: 'f', path: 'a', value: '' })).toThrow('f: a must not be empty');
  });

  it('of numbers refuses one that is not finite', () => {
    expect(() => decodeNumber({ file: 'f', path: 'a', value: Number.POSITIVE_INFINITY })).toThrow(
      ContractError,
    );
  });

  it('is not asked for an optional value that is null or missing', () => {
    expect(optional({ file: 'f', path: 'a', value: null }, decodeString, 'x')).toBe('x');
    expect(optional({ file: 'f', path: 'a', value: undefined }, decodeString, 'x')).toBe('x');
    expect(() => optional({ file: 'f', path: 'a', value: 1 }, decodeString, 'x')).toThrow(ContractError);
  });
});
