/**
 * JSON Schema of a Standard Schema, through Standard JSON Schema, which a library has or has not.
 * Source: @standard-schema/spec 1.1 `StandardJSONSchemaV1`.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { isRecord } from './settings-path.ts';

/** The dialect that is asked for and written. */
export const JSON_SCHEMA_TARGET = 'draft-2020-12';
export const JSON_SCHEMA_DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** A JSON Schema, or why there is none. */
export type JsonSchemaResult =
  | { readonly schema: Readonly<Record<string, unknown>>; readonly problem?: undefined }
  | { readonly schema?: undefined; readonly problem: string };

/** JSON Schema of what users write (`input`) or of what the author's code gets (`output`). Does not throw. */
export function readJsonSchema(schema: StandardSchemaV1, side: 'input' | 'output'): JsonSchemaResult {
  const { vendor } = schema['~standard'];
  const converter: unknown = Reflect.get(schema['~standard'], 'jsonSchema');
  const convert: unknown = isRecord(converter) ? converter[side] : undefined;
  if (typeof convert !== 'function') {
    return { problem: `this schema of the library "${vendor}" does not say its JSON Schema` };
  }
  try {
    const made: unknown = Reflect.apply(convert, converter, [{ target: JSON_SCHEMA_TARGET }]);
    if (isRecord(made)) return { schema: made };
    return { problem: `the library "${vendor}" gave something else than a JSON Schema` };
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    return { problem: `the library "${vendor}" has no JSON Schema for it (${reason})` };
  }
}
