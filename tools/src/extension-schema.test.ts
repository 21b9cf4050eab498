import { readdirSync, readFileSync } from 'node:fs';
import { ENABLE_KEYS, EXTENSION_KEYS, MANIFEST_KEYS, parseExtensionDescription } from '@handlerkit/sdk';
import { decodeObject, type Located, member } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';

const text = readFileSync(new URL('../extension.schema.json', import.meta.url), 'utf8');
const schema: Located = { file: 'extension.schema.json', path: '', value: JSON.parse(text) };
const properties = (at: Located): Located => member(at, 'properties');
const part = (name: string): Located => properties(member(properties(schema), name));

const minimal = { publisher: 'Contoso', type: 'Greeter', version: '1.0.0' };
const parse = (more: object) => parseExtensionDescription({ ...minimal, ...more }, 'extension.json');

/** Rows of every property that has an `enum` or a `default`, with a function that makes a description of a value. */
const groups = [
  {
    name: 'extension.json',
    at: properties(schema),
    keys: EXTENSION_KEYS,
    wrap: (key: string, value: unknown) => ({ [key]: value }),
  },
  {
    name: 'enable',
    at: part('enable'),
    keys: ENABLE_KEYS,
    wrap: (key: string, value: unknown) => ({ enable: { [key]: value } }),
  },
  {
    name: 'manifest',
    at: part('manifest'),
    keys: MANIFEST_KEYS,
    wrap: (key: string, value: unknown) => ({ manifest: { [key]: value } }),
  },
];

describe.each(groups)('the schema of $name', ({ at, keys, wrap }) => {
  it('has the keys of the parser', () => {
    expect(Object.keys(decodeObject(at)).sort()).toEqual([...keys].sort());
  });

  it('gives the defaults that the parser fills in', () => {
    for (const key of keys) {
      const { value } = member(member(at, key), 'default');
      if (value !== undefined) expect(parse(wrap(key, value)), key).toEqual(parse({}));
    }
  });

  it('allows the values that the parser takes, and no other', () => {
    for (const key of keys) {
      const { value } = member(member(at, key), 'enum');
      if (!Array.isArray(value)) continue;
      for (const one of value) expect(() => parse(wrap(key, one)), `${key}: ${one}`).not.toThrow();
      expect(() => parse(wrap(key, 'something-else'))).toThrow(`must be one of ${value.join(', ')}`);
    }
  });
});

it.each<[string, string, boolean]>([
  ['publisher', 'Contoso.Samples', true],
  ['publisher', 'Contoso-Samples', false],
  ['type', 'My_Type', false],
  ['version', '1.2.3.4', true],
  ['version', '1.0.0rc1', true],
  ['version', '1.0-rc1', false],
  ['version', 'v1', false],
  ['dataFolder', 'custom-script', true],
  ['dataFolder', '../x', false],
  ['homepage', 'https://contoso.example', true],
  ['homepage', 'ftp://contoso.example', false],
])('agrees with the parser on %s %j: %s', (key, value, good) => {
  const { value: pattern } = member(member(properties(schema), key), 'pattern');
  expect(new RegExp(String(pattern), 'u').test(value)).toBe(good);
  if (good) expect(() => parse({ [key]: value })).not.toThrow();
  else expect(() => parse({ [key]: value })).toThrow(`extension.json: ${key} `);
});

const extensions = new URL('../../extensions/', import.meta.url);

it.each(readdirSync(extensions))('fits the description of %s, which the parser takes', (name) => {
  const file = `${name}/extension.json`;
  const value: unknown = JSON.parse(readFileSync(new URL(file, extensions), 'utf8'));
  const at: Located = { file, path: '', value };
  expect(() => parseExtensionDescription(value, file)).not.toThrow();
  for (const [part, keys] of [
    [at, EXTENSION_KEYS],
    [member(at, 'enable'), ENABLE_KEYS],
    [member(at, 'manifest'), MANIFEST_KEYS],
  ] as const) {
    expect(keys).toEqual(expect.arrayContaining(Object.keys(decodeObject(part))));
  }
});
