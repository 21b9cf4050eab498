/**
 * What an extension's settings are, for people and programs: a JSON Schema and a Markdown table, generated from the same
 * definition that judges them, so that neither can say something else.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { PROTECTED_SETTINGS_KEY, PUBLIC_SETTINGS_KEY } from './contract/settings.ts';
import { HandlerError } from './errors.ts';
import type { SettingsDefinition } from './handler.ts';
import { JSON_SCHEMA_DIALECT, readJsonSchema } from './schema-json.ts';
import { isRecord } from './settings-path.ts';
import { formatSettingsTable } from './settings-table.ts';

/** A JSON Schema as plain data. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** The two forms of the description. Equal definitions give equal texts. */
export interface SettingsDescription {
  /**
   * JSON Schema, draft 2020-12, of an object with both halves as the user writes them: `publicSettings` and
   * `protectedSettings`, the latter marked `writeOnly`.
   */
  readonly jsonSchema: JsonSchema;
  /** A Markdown table, a row for each key at any depth: key, half, type, required, default, description. */
  readonly markdown: string;
}

/** JSON Schemas of halves whose schema cannot say its own, such as those of zod/mini (`z.toJSONSchema(S, { io: 'input' })`). */
export interface OwnJsonSchemas {
  readonly public?: JsonSchema;
  readonly protected?: JsonSchema;
}

/**
 * Describes the settings of a handler. The schemas say their JSON Schema themselves (Standard JSON Schema: zod 4.2 and later,
 * arktype, valibot through `toStandardJsonSchema`), or `own` gives it. Throws `SETTINGS_NOT_DESCRIBED` when neither does.
 * Does not check the JSON Schemas that it gets, and runs no code of the handler.
 */
export function describeSettings<Public, Protected>(
  definition: { readonly settings?: SettingsDefinition<Public, Protected> },
  own: OwnJsonSchemas = {},
): SettingsDescription {
  const open = describeHalf(definition.settings?.public, own.public, PUBLIC_SETTINGS_KEY);
  const hidden = describeHalf(definition.settings?.protected, own.protected, PROTECTED_SETTINGS_KEY);
  const halves = [
    { key: PUBLIC_SETTINGS_KEY, schema: open },
    { key: PROTECTED_SETTINGS_KEY, schema: { ...hidden, writeOnly: true } },
  ];
  const required = halves.filter(({ schema }) => hasRequired(schema)).map(({ key }) => key);
  const jsonSchema = {
    $schema: JSON_SCHEMA_DIALECT,
    type: 'object',
    properties: Object.fromEntries(halves.map(({ key, schema }) => [key, schema])),
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  };
  return { jsonSchema, markdown: formatSettingsTable(jsonSchema, { public: open, protected: hidden }) };
}

function describeHalf(
  schema: StandardSchemaV1 | undefined,
  own: JsonSchema | undefined,
  half: string,
): JsonSchema {
  if (schema === undefined && own === undefined) return { type: 'object' };
  const { $schema: _, ...made } = own ?? readOwn(schema, half);
  const moved = moveReferences(made, `#/properties/${half}`);
  return isRecord(moved) ? moved : {};
}

function readOwn(schema: StandardSchemaV1 | undefined, half: string): JsonSchema {
  const result = schema === undefined ? { schema: {} } : readJsonSchema(schema, 'input');
  if (result.schema !== undefined) return result.schema;
  throw new HandlerError(
    'SETTINGS_NOT_DESCRIBED',
    `${half} cannot be described: ${result.problem}; give its JSON Schema as the second argument of describeSettings`,
  );
}

/** Keywords whose value is data of the user's, not a schema. */
const DATA_KEYWORDS: ReadonlySet<string> = new Set(['const', 'enum', 'default', 'examples']);

/** A half stands inside another document, so what its references call the root has moved. */
function moveReferences(node: unknown, root: string, isNames = false): unknown {
  if (Array.isArray(node)) return node.map((item) => moveReferences(item, root));
  if (!isRecord(node)) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => {
      if (isNames) return [key, moveReferences(value, root)];
      if (key === '$ref' && typeof value === 'string' && value.startsWith('#'))
        return [key, root + value.slice(1)];
      if (DATA_KEYWORDS.has(key)) return [key, value];
      return [key, moveReferences(value, root, key === 'properties' || key === '$defs')];
    }),
  );
}

/** True when an empty half would be refused. */
function hasRequired(schema: JsonSchema): boolean {
  return Array.isArray(schema.required) && schema.required.length > 0;
}
