import { toStandardJsonSchema } from '@valibot/to-json-schema';
import { type } from 'arktype';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import * as zm from 'zod/mini';
import { HandlerError } from './errors.ts';
import { describeSettings } from './settings-description.ts';

const PUBLIC = z.strictObject({
  name: z.string().min(1).max(64).describe('Who is greeted | by <name>.\nOr `<all>`.'),
  port: z.int().min(1).max(65_535).default(80),
  mode: z.enum(['fast', 'slow']).optional(),
  code: z.string().regex(/^a|b$/).optional(),
  files: z
    .array(z.strictObject({ url: z.url(), sizes: z.array(z.union([z.string(), z.number()])).optional() }))
    .optional()
    .describe('What is downloaded.'),
  proxy: z.strictObject({ host: z.string(), tls: z.boolean().default(true) }).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  source: z
    .discriminatedUnion('kind', [
      z.object({ kind: z.literal('git'), branch: z.string() }),
      z.object({ kind: z.literal('blob'), container: z.string().optional() }),
    ])
    .optional(),
  either: z
    .union([z.string(), z.object({ a: z.string() }), z.object({ b: z.number() }), z.null()])
    .optional(),
});
const PROTECTED = z.object({ password: z.string().describe('Kept secret.') });

/** The rows without head, each as its cells; `\|` stands for a bar. */
function rowsOf(markdown: string): string[][] {
  return markdown
    .trim()
    .split('\n')
    .slice(2)
    .map((line) => line.slice(2, -2).split(/(?<!\\) \| /));
}

describe('the table of the settings', () => {
  const { markdown } = describeSettings({ settings: { public: PUBLIC, protected: PROTECTED } });

  it('has a row for each key at any depth, in the order of the schemas', () => {
    expect(markdown).toMatch(
      /^\| Key \| Half \| Type \| Required \| Default \| Description \|\n(\| --- ){6}\|\n/,
    );
    expect(rowsOf(markdown).map((cells) => cells.slice(0, 5))).toEqual([
      ['`name`', 'public', 'string, 1 to 64 characters', 'yes', ''],
      ['`port`', 'public', 'whole number, from 1 to 65535', 'no', '`80`'],
      ['`mode`', 'public', '`"fast"` or `"slow"`', 'no', ''],
      ['`code`', 'public', 'string, matches `^a\\|b$`', 'no', ''],
      ['`files`', 'public', 'list of object', 'no', ''],
      ['`files[].url`', 'public', 'string (uri)', 'yes', ''],
      ['`files[].sizes`', 'public', 'list of (string or number)', 'no', ''],
      ['`proxy`', 'public', 'object', 'no', ''],
      ['`proxy.host`', 'public', 'string', 'yes', ''],
      ['`proxy.tls`', 'public', 'boolean', 'no', '`true`'],
      ['`labels`', 'public', 'object of string', 'no', ''],
      ['`source`', 'public', 'object', 'no', ''],
      ['`source.kind`', 'public', '`"git"`', 'yes, if `source.kind` is `"git"`', ''],
      ['`source.branch`', 'public', 'string', 'yes, if `source.kind` is `"git"`', ''],
      ['`source.kind`', 'public', '`"blob"`', 'yes, if `source.kind` is `"blob"`', ''],
      ['`source.container`', 'public', 'string', 'no, only if `source.kind` is `"blob"`', ''],
      ['`either`', 'public', 'string or object or null', 'no', ''],
      ['`either.a`', 'public', 'string', 'yes, in form 1', ''],
      ['`either.b`', 'public', 'number', 'yes, in form 2', ''],
      ['`password`', 'protected', 'string', 'yes', ''],
    ]);
  });

  it('keeps a description on one line, with bars and tags that are seen', () => {
    expect(rowsOf(markdown)[0]?.at(5)).toBe('Who is greeted \\| by &lt;name>. Or `<all>`.');
    for (const line of markdown.trim().split('\n')) expect(line.match(/(?<!\\)\|/g)).toHaveLength(7);
  });

  it('is the same at each call', () => {
    expect(describeSettings({ settings: { public: PUBLIC, protected: PROTECTED } }).markdown).toBe(markdown);
  });

  it('ends where a schema contains itself', () => {
    const Tree = z.object({
      name: z.string(),
      get kids() {
        return z.array(Tree).optional();
      },
    });
    const described = describeSettings({ settings: { public: z.object({ tree: Tree }) } });
    expect(rowsOf(described.markdown).map((cells) => cells[0])).toEqual([
      '`tree`',
      '`tree.name`',
      '`tree.kids`',
    ]);
  });

  it.each([
    ['no definition of settings', {}],
    ['an open object', { settings: { public: z.record(z.string(), z.unknown()) } }],
  ])('says that there are no fixed keys for %s', (_, definition) => {
    expect(describeSettings(definition).markdown).toBe('The settings have no fixed keys.\n');
  });
});

describe('the JSON Schema of the settings', () => {
  it('holds both halves, and marks the protected one', () => {
    expect(describeSettings({ settings: { protected: PROTECTED } }).jsonSchema).toEqual({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: {
        publicSettings: { type: 'object' },
        protectedSettings: {
          type: 'object',
          properties: { password: { type: 'string', description: 'Kept secret.' } },
          required: ['password'],
          writeOnly: true,
        },
      },
      required: ['protectedSettings'],
      additionalProperties: false,
    });
  });

  it('says what users write, not what the code gets', () => {
    const schema = z.object({ size: z.string().transform(Number), count: z.number().default(1) });
    expect(describeSettings({ settings: { public: schema } }).jsonSchema).toMatchObject({
      properties: { publicSettings: { properties: { size: { type: 'string' } }, required: ['size'] } },
    });
  });

  it('keeps references right, and leaves data alone', () => {
    const own = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      properties: { a: { $ref: '#/$defs/A' }, $ref: { type: 'string' as const }, self: { $ref: '#' } },
      $defs: { A: { enum: [{ $ref: '#/data' }], default: { $ref: '#/data' } } },
    };
    const { jsonSchema } = describeSettings({}, { public: own });
    expect(jsonSchema).toMatchObject({
      properties: {
        publicSettings: {
          properties: {
            a: { $ref: '#/properties/publicSettings/$defs/A' },
            $ref: { type: 'string' },
            self: { $ref: '#/properties/publicSettings' },
          },
          $defs: { A: { enum: [{ $ref: '#/data' }], default: { $ref: '#/data' } } },
        },
      },
    });
    expect(own.properties.a.$ref).toBe('#/$defs/A');
  });
});

describe('each library', () => {
  const mini = zm.object({ name: zm.string(), count: zm._default(zm.number(), 3) });
  it.each([
    [
      'zod',
      describeSettings({
        settings: { public: z.object({ name: z.string(), count: z.number().default(3) }) },
      }),
    ],
    [
      'zod/mini',
      describeSettings({ settings: { public: mini } }, { public: zm.toJSONSchema(mini, { io: 'input' }) }),
    ],
    [
      'valibot',
      describeSettings({
        settings: {
          public: toStandardJsonSchema(v.object({ name: v.string(), count: v.optional(v.number(), 3) })),
        },
      }),
    ],
  ])('%s describes the same settings in the same way', (_, { markdown }) => {
    expect(rowsOf(markdown)).toEqual([
      ['`name`', 'public', 'string', 'yes', '', ''],
      ['`count`', 'public', 'number', 'no', '`3`', ''],
    ]);
  });

  it('arktype describes them too, without defaults', () => {
    const { markdown } = describeSettings({
      settings: { public: type({ name: 'string', count: 'number = 3' }) },
    });
    expect(rowsOf(markdown)).toContainEqual(['`name`', 'public', 'string', 'yes', '', '']);
    expect(rowsOf(markdown)).toContainEqual(expect.arrayContaining(['`count`', 'no']));
  });

  it.each([
    [
      'zod/mini',
      mini,
      'publicSettings cannot be described: this schema of the library "zod" does not say its JSON Schema',
    ],
    ['valibot alone', v.object({}), 'this schema of the library "valibot" does not say its JSON Schema'],
    ['a date', z.object({ at: z.date() }), 'the library "zod" has no JSON Schema for it (Date'],
  ])('that cannot say it is named: %s', (_, schema, text) => {
    const describeIt = () => describeSettings({ settings: { public: schema } });
    expect(describeIt).toThrow(text);
    expect(describeIt).toThrow(expect.objectContaining({ code: 'SETTINGS_NOT_DESCRIBED' }));
    expect(describeIt).toThrow(HandlerError);
  });
});
