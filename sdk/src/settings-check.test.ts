import { type } from 'arktype';
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, expectTypeOf, it } from 'vitest';
import * as z from 'zod';
import * as zm from 'zod/mini';
import type { SettingsDefinition } from './handler.ts';
import { defineHandler } from './handler.ts';
import { checkSettings, DEEPEST_SETTINGS, MOST_PROBLEMS } from './settings-check.ts';

async function problemOf(
  definition: SettingsDefinition<unknown, unknown>,
  open: unknown,
  hidden: unknown = {},
): Promise<string> {
  const verdict = await checkSettings(definition, { public: open, protected: hidden });
  if (verdict.settings !== undefined) throw new Error('the settings were accepted');
  return verdict.problem;
}

async function warningsOf(definition: SettingsDefinition<unknown, unknown>, open: unknown): Promise<unknown> {
  const verdict = await checkSettings(definition, { public: open, protected: {} });
  if (verdict.settings === undefined) throw new Error(verdict.problem);
  return verdict.warnings;
}

/** The same rules in each library: strict, with a list, an option, a pattern, a limit, a choice and a default. */
const STRICT = {
  zod: z.strictObject({
    commandToExecute: z.string(),
    list: z.array(z.strictObject({ name: z.email() })),
    mode: z.enum(['fast', 'slow']),
    code: z.string().regex(/^a+$/),
    short: z.string().max(2),
    count: z.number().default(3),
  }),
  'zod/mini': zm.strictObject({
    commandToExecute: zm.string(),
    list: zm.array(zm.strictObject({ name: zm.email() })),
    mode: zm.enum(['fast', 'slow']),
    code: zm.string().check(zm.regex(/^a+$/)),
    short: zm.string().check(zm.maxLength(2)),
    count: zm._default(zm.number(), 3),
  }),
  valibot: v.strictObject({
    commandToExecute: v.string(),
    list: v.array(v.strictObject({ name: v.pipe(v.string(), v.email()) })),
    mode: v.picklist(['fast', 'slow']),
    code: v.pipe(v.string(), v.regex(/^a+$/)),
    short: v.pipe(v.string(), v.maxLength(2)),
    count: v.optional(v.number(), 3),
  }),
  arktype: type({
    '+': 'reject',
    commandToExecute: 'string',
    list: type({ '+': 'reject', name: 'string.email' }).array(),
    mode: "'fast' | 'slow'",
    code: /^a+$/,
    short: 'string <= 2',
    count: 'number = 3',
  }),
};
const LIBRARIES = Object.entries(STRICT);
const GOOD = {
  commandToExecute: 'id',
  list: [{ name: 'a@b.example' }],
  mode: 'fast',
  code: 'aa',
  short: 'x',
};

describe.each(LIBRARIES)('a schema of %s', (_library, schema) => {
  it('gives what it made of the settings', async () => {
    const verdict = await checkSettings({ public: schema }, { public: GOOD, protected: { any: 1 } });
    expect(verdict).toEqual({
      settings: { public: { ...GOOD, count: 3 }, protected: { any: 1 } },
      warnings: [],
    });
  });

  it('has every problem listed with its place, in order, without a value', async () => {
    const bad = {
      short: 'hunter2-short',
      mode: 'hunter2-mode',
      list: [{ name: 'a@b.example' }, { name: 'hunter2-name', extra: 'hunter2-extra' }],
      comandToExecute: 'hunter2-command',
      code: 'hunter2-code',
      count: 'hunter2-count',
    };
    const problem = await problemOf({ public: schema }, bad);
    expect(problem.split('\n').map((line) => line.split(':')[0])).toEqual([
      'publicSettings.code',
      'publicSettings',
      'publicSettings.commandToExecute',
      'publicSettings.count',
      'publicSettings.list[1]',
      'publicSettings.list[1].name',
      'publicSettings.mode',
      'publicSettings.short',
    ]);
    expect(problem).toContain(
      'publicSettings: unknown key `comandToExecute`; did you mean `commandToExecute`?',
    );
    expect(problem).toContain('publicSettings.list[1]: unknown key `extra`');
    expect(problem).toContain('publicSettings.commandToExecute: is missing');
    expect(problem).toMatch(/mode: .*"fast" ?(\||or) ?"slow"/);
    expect(problem).not.toContain('hunter2');
    expect(problem).not.toMatch(/\(was|received "|◦/);
    const reversed = Object.fromEntries(Object.entries(bad).reverse());
    expect(await problemOf({ public: schema }, reversed)).toBe(problem);
  });

  it.each([
    ['null', null],
    ['a list', []],
    ['a string', 'hunter2'],
  ])('refuses %s in place of an object', async (_, value) => {
    expect(await problemOf({ protected: schema }, {}, value)).toMatch(/^protectedSettings/);
  });

  it('takes hostile keys and strings for what they are', async () => {
    const hostile = JSON.parse('{"constructor": {"prototype": 1}, "toString": "x", "\\ud800": "\\udfff"}');
    const problem = await problemOf({ public: schema }, { ...GOOD, ...hostile });
    expect(problem).toContain('unknown key `constructor`');
    expect(problem).toContain('unknown key `\ufffd`');
    expect(Object.prototype).not.toHaveProperty('1');
  });
});

describe('types', () => {
  it('flow from zod into enable, after defaults and transforms', () => {
    defineHandler({
      settings: {
        public: z.object({ name: z.string(), count: z.number().default(3) }),
        protected: z.object({ key: z.string().transform((text) => Buffer.from(text, 'base64')) }),
      },
      async enable({ settings }) {
        expectTypeOf(settings.public).toEqualTypeOf<{ name: string; count: number }>();
        expectTypeOf(settings.protected.key).toEqualTypeOf<Buffer<ArrayBuffer>>();
      },
    });
  });

  it('flow from zod/mini, valibot and arktype', () => {
    defineHandler({
      settings: { public: STRICT['zod/mini'], protected: STRICT.valibot },
      async enable({ settings }) {
        expectTypeOf(settings.public.mode).toEqualTypeOf<'fast' | 'slow'>();
        expectTypeOf(settings.public.count).toEqualTypeOf<number>();
        expectTypeOf(settings.protected.list).toEqualTypeOf<{ name: string }[]>();
        expectTypeOf(settings.protected.count).toEqualTypeOf<number>();
      },
    });
    defineHandler({
      settings: { public: STRICT.arktype },
      async enable({ settings }) {
        expectTypeOf(settings.public.mode).toEqualTypeOf<'fast' | 'slow'>();
        expectTypeOf(settings.public.count).toEqualTypeOf<number>();
        expectTypeOf(settings.protected).toEqualTypeOf<Record<string, unknown>>();
      },
    });
  });

  it('are any object without a schema', () => {
    defineHandler({
      async enable({ settings }) {
        expectTypeOf(settings.public).toEqualTypeOf<Record<string, unknown>>();
        expectTypeOf(settings.protected).toEqualTypeOf<Record<string, unknown>>();
      },
    });
    defineHandler({
      settings: { protected: z.object({ key: z.string() }), overlap: 'allow' },
      async enable({ settings }) {
        expectTypeOf(settings.public).toEqualTypeOf<Record<string, unknown>>();
        expectTypeOf(settings.protected).toEqualTypeOf<{ key: string }>();
      },
    });
  });
});

describe('keys that a schema ignores', () => {
  const ignoring: [string, SettingsDefinition<unknown, unknown>['public']][] = [
    ['zod', z.object({ name: z.string().optional(), proxy: z.object({ host: z.string() }).optional() })],
    [
      'zod/mini',
      zm.object({ name: zm.optional(zm.string()), proxy: zm.optional(zm.object({ host: zm.string() })) }),
    ],
    [
      'valibot',
      v.object({ name: v.optional(v.string()), proxy: v.optional(v.object({ host: v.string() })) }),
    ],
    ['arktype', type({ 'name?': 'string', 'proxy?': { host: 'string' } })],
  ];
  it.each(ignoring)('%s: are warned of, with a hint', async (_, schema) => {
    const open = { nmae: 'secret-name', proxy: { host: 'h', prot: 'secret-port' } };
    expect(await warningsOf({ public: schema }, open)).toEqual([
      'publicSettings: unknown key `nmae`; did you mean `name`? (it is ignored)',
      'publicSettings.proxy: unknown key `prot` (it is ignored)',
    ]);
    expect(await warningsOf({ public: schema }, { name: 'x', proxy: { host: 'h' } })).toEqual([]);
  });

  it.each(ignoring)('%s: are named beside a problem that they may explain', async (_, schema) => {
    expect(await problemOf({ public: schema }, { proxy: { hots: 'secret', other: 1 } })).toMatch(
      /^publicSettings\.proxy\.host: is missing \(.*\)\npublicSettings\.proxy: unknown key `hots`; did you mean `host`\?$/,
    );
  });

  it.each<[string, SettingsDefinition<unknown, unknown>['public']]>([
    ['zod loose', z.looseObject({ name: z.string().optional() })],
    ['zod record', z.record(z.string(), z.string())],
    ['zod any', z.any()],
    [
      'zod union with an open alternative',
      z.union([z.object({ a: z.string() }), z.record(z.string(), z.string())]),
    ],
    ['valibot loose', v.looseObject({ name: v.optional(v.string()) })],
    ['valibot rest', v.objectWithRest({ name: v.optional(v.string()) }, v.string())],
    ['arktype index', type({ 'name?': 'string', '[string]': 'string' })],
  ])('%s: an open schema warns of none', async (_, schema) => {
    expect(await warningsOf({ public: schema }, { nmae: 'x' })).toEqual([]);
  });

  it('are looked for through unions, wrappers, pipes and schemas that contain themselves', async () => {
    interface Tree {
      name: string;
      kids?: Tree[] | undefined;
    }
    const Tree: z.ZodType<Tree> = z.lazy(() =>
      z.object({ name: z.string(), kids: z.array(Tree).optional() }),
    );
    const schema = z
      .object({
        tree: Tree.nullable(),
        either: z.union([z.object({ a: z.string() }), z.object({ b: z.string() })]).optional(),
      })
      .transform((value) => value.tree);
    const open = { tree: { name: 'x', kids: [{ name: 'y', kid: 1 }] }, either: { a: 'x', b: 'y', c: 'z' } };
    expect(await warningsOf({ public: schema }, open)).toEqual([
      'publicSettings.either: unknown key `c` (it is ignored)',
      'publicSettings.tree.kids[0]: unknown key `kid`; did you mean `kids`? (it is ignored)',
    ]);
  });
});

describe('a key in both halves', () => {
  const name = z.object({ name: z.string() });
  const both = { public: { name: 'secret-a', b: null }, protected: { name: 'secret-b', b: 1 } };
  it.each<[string, SettingsDefinition<unknown, unknown>, boolean]>([
    ['with a schema', { public: name }, true],
    ['with schemas for both', { public: name, protected: name }, true],
    ['without a schema', {}, false],
    ['without a schema when told to', { overlap: 'refuse' }, true],
    ['with a schema that allows it', { public: name, protected: name, overlap: 'allow' }, false],
  ])('%s', async (_, definition, isRefused) => {
    const verdict = await checkSettings(definition, both);
    if (isRefused) {
      expect(verdict).toEqual({ problem: 'publicSettings.name: is in protectedSettings too; give it once' });
    } else expect(verdict.settings).toBeDefined();
  });

  it.each([
    ['zod', z.object({ hosts: z.record(z.string(), z.strictObject({ token: z.number() })) })],
    ['valibot', v.object({ hosts: v.record(v.string(), v.strictObject({ token: v.number() })) })],
    ['arktype', type({ hosts: { '[string]': { '+': 'reject', token: 'number' } } })],
  ])('no key of a protected record is shown that may be a secret (%s)', async (_, schema) => {
    const hosts = { 'pass word/31=': { token: 'x', extra: 1 }, plain_name: { token: 'x' } };
    const problem = await problemOf({ protected: schema }, {}, { hosts });
    expect(problem).toContain('protectedSettings.hosts["[hidden] (13 characters)"]');
    expect(problem).toContain('protectedSettings.hosts.plain_name.token');
    expect(problem).not.toContain('pass word');
    expect(await problemOf({ public: schema }, { hosts }, {})).toContain(
      'publicSettings.hosts["pass word/31="]',
    );
  });

  it('is hinted at when it stands in the wrong half', async () => {
    const definition = {
      public: z.strictObject({}),
      protected: z.object({ password: z.string().optional() }),
    };
    expect(await problemOf(definition, { password: 'hunter2' })).toBe(
      'publicSettings: unknown key `password`; it belongs in protectedSettings',
    );
  });
});

describe('no value is in a text', () => {
  const quoting = (make: (text: string) => string) =>
    z.object({ x: z.string().refine(() => false, { error: (issue) => make(String(issue.input)) }) });
  it.each<[string, SettingsDefinition<unknown, unknown>['public'], unknown]>([
    ['a message that quotes it', quoting((text) => `bad: ${text}`), { x: 'hunter2' }],
    ['its JSON form', quoting((text) => `bad ${JSON.stringify(text)}`), { x: 'hunter2 "quoted"\n hunter2' }],
    ['its trimmed lower case', quoting((text) => text.trim().toLowerCase()), { x: '  HUNTER2-HUNTER2 ' }],
    ['a part of it', quoting((text) => `starts with ${text.slice(0, 10)}`), { x: 'hunter2-and-more' }],
    ['two of it in a row', quoting((text) => text + text), { x: 'hunter2' }],
    ['a short one', quoting((text) => `not "${text}"`), { x: 'hu2' }],
    [
      'another value',
      z.object({ y: z.string(), x: z.number({ error: () => 'not like hunter2-y' }) }),
      { x: '', y: 'hunter2-y' },
    ],
    [
      'a key of JSON that is no JSON',
      z.object({ x: z.string().transform((text) => JSON.parse(text)) }),
      { x: 'hunter2{' },
    ],
    [
      'the parser that says where it stumbled',
      z.object({
        x: z.string().transform((text, context) => {
          try {
            return JSON.parse(text);
          } catch (thrown) {
            context.addIssue({ code: 'custom', message: String(thrown) });
            return z.NEVER;
          }
        }),
      }),
      { x: `{"password": hunter2-hunter2, "more": "${'y'.repeat(50)}"}` },
    ],
    ['several rules of arktype', type({ x: 'string.email & string <= 3' }), { x: 'hunter2' }],
    ['a union of arktype', type({ x: type("'a' | number").or({ k: 'string' }) }), { x: 'hunter2' }],
    ['what arktype made of it', type({ x: type('string.lower').to("'a' | 'b'") }), { x: 'HUNTER2' }],
    ['a union of valibot', v.object({ x: v.union([v.literal('a'), v.literal('b')]) }), { x: 'hunter2' }],
    [
      'a transformed text of valibot',
      v.object({ x: v.pipe(v.string(), v.toLowerCase(), v.email()) }),
      { x: 'HUNTER2 ' },
    ],
  ])('%s', async (_, schema, open) => {
    const problem = await problemOf({ public: schema }, open);
    expect(problem).toMatch(/^publicSettings/);
    expect(problem).not.toMatch(/hunter2|hu2/i);
    // The other half is hidden in the same way.
    expect(await problemOf({ protected: schema }, {}, open)).not.toMatch(/hunter2|hu2/i);
  });

  it('leaves the words of a message that settings also hold', async () => {
    const schema = z.object({ n: z.number(), word: z.string() });
    expect(await problemOf({ public: schema }, { n: 'string', word: 'expected' })).toBe(
      'publicSettings.n: Invalid input: expected number, received string',
    );
  });

  it.each(LIBRARIES)('whatever the values are: %s', async (_, schema) => {
    const secret = fc.string({ minLength: 6, maxLength: 40 }).map((text) => `Q7${text}7Q`);
    await fc.assert(
      fc.asyncProperty(
        fc.record({ commandToExecute: secret, mode: secret, code: secret, short: secret, count: secret }),
        async (open) => {
          const problem = await problemOf({ public: schema }, { ...open, list: [{ name: open.code }] });
          expect(problem).not.toMatch(/Q7|7Q/i);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('unions of zod', () => {
  it('say what is wrong in the alternative that was meant', async () => {
    const schema = z.object({ u: z.union([z.string(), z.object({ k: z.object({ n: z.number() }) })]) });
    expect(await problemOf({ public: schema }, { u: { k: { n: 'secret' } } })).toBe(
      'publicSettings.u.k.n: Invalid input: expected number, received string',
    );
    expect(await problemOf({ public: schema }, { u: 5 })).toBe('publicSettings.u: Invalid input');
  });
});

describe('limits', () => {
  const list = z.object({ list: z.array(z.number()) });
  const nested = (depth: number): unknown => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);

  it('lists the first problems and counts the rest', async () => {
    const problem = await problemOf({ public: list }, { list: Array.from({ length: 50 }, () => 'x') });
    const lines = problem.split('\n');
    expect(lines).toHaveLength(MOST_PROBLEMS + 1);
    expect(lines.slice(9, 11).map((line) => line.split(':')[0])).toEqual([
      'publicSettings.list[9]',
      'publicSettings.list[10]',
    ]);
    expect(lines.at(-1)).toBe('and 30 more');
  });

  it('accepts the deepest settings and refuses deeper ones, however deep', async () => {
    expect(
      (await checkSettings({}, { public: nested(DEEPEST_SETTINGS), protected: {} })).settings,
    ).toBeDefined();
    for (const depth of [DEEPEST_SETTINGS + 1, 200_000]) {
      expect(await problemOf({ public: z.any() }, {}, nested(depth))).toBe(
        'protectedSettings: is nested more than 100 levels deep',
      );
    }
  });

  it('refuses __proto__ as a key at any depth', async () => {
    expect(await problemOf({}, JSON.parse('{"a":[{"__proto__":{"isAdmin":true}}]}'))).toBe(
      'publicSettings: a key must not be called __proto__',
    );
  });

  it('judges 10 MB in bounded time, right or wrong', async () => {
    const numbers = { list: Array.from({ length: 1_500_000 }, (_, index) => index) };
    const texts = { list: Array.from({ length: 400_000 }, (_, index) => `secret-${index}-value`) };
    // Of the processor, since the machine may be busy.
    const started = process.cpuUsage();
    expect(
      (await checkSettings({ public: list }, { public: numbers, protected: {} })).settings,
    ).toBeDefined();
    const problem = await problemOf({ public: list }, texts);
    expect(problem).toContain('and 399980 more');
    const long = z.object({ x: z.string().refine(() => false, { error: (issue) => `${issue.input}` }) });
    expect(await problemOf({ public: long }, { x: 'hunter2 '.repeat(1_250_000) })).toBe(
      'publicSettings.x: is not accepted',
    );
    const { user, system } = process.cpuUsage(started);
    expect((user + system) / 1000).toBeLessThan(15_000);
  }, 60_000);

  it('says that the schema failed, and not what it threw', async () => {
    const throwing = z.object({}).transform(() => {
      throw new RangeError('hunter2');
    });
    expect(await problemOf({ public: throwing }, {})).toBe(
      "publicSettings: the code of the extension's schema failed (RangeError), which its publisher has to repair",
    );
  });

  it('cuts long messages and keys, and shows no control characters', async () => {
    const schema = z.strictObject({
      x: z.never({ error: `a\u001b[31m\n${'long '.repeat(200)}` }).optional(),
    });
    const [unknown = '', message = ''] = (
      await problemOf({ public: schema }, { x: 1, ['k\n'.repeat(100)]: 1 })
    ).split('\n');
    expect(unknown).toMatch(/^publicSettings: unknown key `(k\ufffd){32}…`$/);
    expect(message.length).toBeLessThan(350);
    expect(message).toMatch(/^publicSettings\.x: a \[31m long/);
  });
});
