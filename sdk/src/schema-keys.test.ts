import type { StandardSchemaV1 } from '@standard-schema/spec';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { readSchemaKeys } from './schema-keys.ts';

describe('the unknown keys of settings', () => {
  it('are found in the items of lists and below keys, in a list like in its other items', () => {
    const schema = z.object({
      list: z.array(z.object({ name: z.string(), 0: z.object({ a: z.string() }) })),
    });
    const value = {
      list: [
        { name: 'x', 0: { a: 'y', b: 1 } },
        { naem: 'x', 0: {} },
      ],
      other: 1,
    };
    const found = readSchemaKeys(schema).unknownIn(value, 20);
    expect(found).toHaveLength(3);
    expect(found).toEqual(expect.arrayContaining([['list', 0, '0', 'b'], ['list', 1, 'naem'], ['other']]));
  });

  it('are looked for in a long list without reading the schema for each item', () => {
    let reads = 0;
    const item = {
      get _zod() {
        reads++;
        return { def: { type: 'object', shape: { name: {} } } };
      },
    };
    const schema: StandardSchemaV1 & { readonly _zod: unknown } = {
      '~standard': { version: 1, vendor: 'zod', validate: (value) => ({ value }) },
      _zod: { def: { type: 'array', element: item } },
    };
    const list = Array.from({ length: 10_000 }, () => ({ name: 'x' }));
    expect(readSchemaKeys(schema).unknownIn([...list, { wrong: 1 }], 20)).toEqual([[10_000, 'wrong']]);
    expect(reads).toBe(1);
  });
});
