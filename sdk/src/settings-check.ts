/**
 * Judges both halves of the settings by the author's schemas: every problem with its place, hints for misspelt keys, never
 * a value. What no schema can refuse is refused before: nesting that would exhaust the stack, and `__proto__`.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { typeName } from './contract/json.ts';
import { PROTECTED_SETTINGS_KEY, PUBLIC_SETTINGS_KEY } from './contract/settings.ts';
import type { SettingsDefinition } from './handler.ts';
import type { HideValues } from './hidden-values.ts';
import { createValueHider } from './hidden-values.ts';
import { nearestName } from './near-miss.ts';
import { shownProtectedKey } from './protected-key.ts';
import type { SchemaIssue } from './schema-issues.ts';
import { readIssues } from './schema-issues.ts';
import type { SchemaKeys } from './schema-keys.ts';
import { readSchemaKeys } from './schema-keys.ts';
import type { SettingsPath } from './settings-path.ts';
import { comparePaths, formatKey, formatPath, isRecord, valueAt } from './settings-path.ts';

/** Both halves as they were given, or as the schemas made them. */
export interface SettingsHalves<Public, Protected> {
  readonly public: Public;
  readonly protected: Protected;
}

/** The typed settings with warnings for the log, or what is wrong with them, one problem a line. No text holds a value. */
export type SettingsVerdict<Public, Protected> =
  | { readonly settings: SettingsHalves<Public, Protected>; readonly warnings: readonly string[] }
  | {
      readonly settings?: undefined;
      readonly problem: string;
      /** True when no schema was asked: no extension can take such settings. */
      readonly isUnfit?: boolean;
    };

/** Objects and arrays inside each other, at most; far more than settings have, and far less than a stack holds. */
export const DEEPEST_SETTINGS = 100;
/** Problems that are listed; of more, the number is given. */
export const MOST_PROBLEMS = 20;

/**
 * Checks what the user gave. Nothing is thrown for bad settings or for a schema whose own code fails. Runs the schemas'
 * code, and has no other effect.
 */
export async function checkSettings<Public, Protected>(
  definition: SettingsDefinition<Public, Protected> | undefined,
  given: SettingsHalves<unknown, unknown>,
): Promise<SettingsVerdict<Public, Protected>> {
  const unfit = HALVES.map(({ half, key }) => refuseStructure(given[half], key)).find(
    (one) => one !== undefined,
  );
  if (unfit !== undefined) return { problem: unfit, isUnfit: true };
  const open = await runSchema(definition?.public, given.public);
  const hidden = await runSchema(definition?.protected, given.protected);
  const keys = keysOfBoth(definition);
  const problems = [
    { texts: refusesOverlap(definition) ? findOverlap(given) : [], more: 0 },
    describeFailure('public', keys, given, open),
    describeFailure('protected', keys, given, hidden),
  ];
  if (problems.some(({ texts }) => texts.length > 0)) return { problem: listProblems(problems) };
  const warnings = [
    ...describeIgnored('public', keys, given.public),
    ...describeIgnored('protected', keys, given.protected),
  ];
  // The schemas' types say that this is what they make.
  return { settings: { public: open.value as Public, protected: hidden.value as Protected }, warnings };
}

type Half = 'public' | 'protected';
type KeysOfHalves = Readonly<Record<Half, SchemaKeys | undefined>>;

const HALVES = [
  { half: 'public', key: PUBLIC_SETTINGS_KEY },
  { half: 'protected', key: PROTECTED_SETTINGS_KEY },
] as const;

interface SchemaRun {
  readonly value?: unknown;
  readonly issues?: readonly SchemaIssue[];
}

interface Problems {
  readonly texts: readonly string[];
  /** Problems beside those of the texts. */
  readonly more: number;
}

async function runSchema(
  schema: StandardSchemaV1<unknown, unknown> | undefined,
  value: unknown,
): Promise<SchemaRun> {
  if (schema === undefined) return { value };
  const { vendor } = schema['~standard'];
  try {
    const result = await schema['~standard'].validate(value);
    if (result.issues === undefined) return { value: result.value };
    const issues = readIssues(vendor, result.issues);
    return { issues: issues.length > 0 ? issues : [{ path: [], message: '', isUnknownKey: false }] };
  } catch (thrown) {
    // Not its message: what a parser throws quotes a part of what it parsed.
    const kind = thrown instanceof Error ? thrown.name : typeof thrown;
    const message = `the code of the extension's schema failed (${formatKey(kind)}), which its publisher has to repair`;
    return { issues: [{ path: [], message, isUnknownKey: false }] };
  }
}

/** What would crash or fool code behind the door, whatever the schemas say. */
function refuseStructure(value: unknown, half: string): string | undefined {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    const next: unknown[] = [];
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue;
      if (Object.hasOwn(item, '__proto__')) return `${half}: a key must not be called __proto__`;
      for (const child of Object.values(item)) if (typeof child === 'object') next.push(child);
    }
    if (depth >= DEEPEST_SETTINGS - 1 && next.some((child) => child !== null))
      return `${half}: is nested more than ${DEEPEST_SETTINGS} levels deep`;
    level = next;
  }
  return undefined;
}

function refusesOverlap(definition: SettingsDefinition<unknown, unknown> | undefined): boolean {
  const hasSchema = definition?.public !== undefined || definition?.protected !== undefined;
  return (definition?.overlap ?? (hasSchema ? 'refuse' : 'allow')) === 'refuse';
}

function findOverlap(given: SettingsHalves<unknown, unknown>): string[] {
  const { public: open, protected: hidden } = given;
  if (!isRecord(open) || !isRecord(hidden)) return [];
  return Object.keys(open)
    .filter((key) => Object.hasOwn(hidden, key) && isGiven(open[key]) && isGiven(hidden[key]))
    .sort()
    .map(
      (key) => `${formatPath(PUBLIC_SETTINGS_KEY, [key])}: is in ${PROTECTED_SETTINGS_KEY} too; give it once`,
    );
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** The problems of one half in the order of their places; those beyond the most that are listed are only counted. */
function describeFailure(
  half: Half,
  keys: KeysOfHalves,
  given: SettingsHalves<unknown, unknown>,
  { issues }: SchemaRun,
): Problems {
  if (issues === undefined) return { texts: [], more: 0 };
  const placeOf = (path: SettingsPath): string => formatPath('', path.slice(0, -1));
  const refusing = new Set(issues.filter((one) => one.isUnknownKey).map((one) => placeOf(one.path)));
  // Beside what the library names: slips that may explain a problem, and the others where it names the first one only.
  const ignored = (keys[half]?.unknownIn(given[half], MOST_IGNORED) ?? [])
    .filter((path) => refusing.has(placeOf(path)) || hintFor(half, path, keys) !== '')
    .map((path): SchemaIssue => ({ path, message: '', isUnknownKey: true }));
  const hide = createValueHider([given.public, given.protected]);
  const sorted = [...issues, ...ignored].sort((a, b) => comparePaths(a.path, b.path));
  const texts = new Set<string>();
  let read = 0;
  for (; read < sorted.length && texts.size < MOST_PROBLEMS; read++) {
    const issue = sorted[read];
    if (issue !== undefined) texts.add(describeIssue(half, issue, given[half], keys, hide));
  }
  return { texts: [...texts], more: sorted.length - read };
}

function describeIssue(
  half: Half,
  issue: SchemaIssue,
  value: unknown,
  keys: KeysOfHalves,
  hide: HideValues,
): string {
  if (issue.isUnknownKey) return describeUnknown(half, issue.path, keys);
  const found = valueAt(value, issue.path);
  const message = cutMessage(hide(issue.message, found)) || `is not accepted (it is ${typeName(found)})`;
  const place = shownPlace(half, issue.path, keys);
  return found === undefined ? `${place}: is missing (${message})` : `${place}: ${message}`;
}

function describeUnknown(half: Half, path: SettingsPath, keys: KeysOfHalves): string {
  const key = String(path.at(-1));
  const known = keys[half]?.at(path.slice(0, -1)) ?? [];
  const name = half === 'protected' ? shownProtectedKey(key, known) : formatKey(key);
  return `${shownPlace(half, path.slice(0, -1), keys)}: unknown key \`${name}\`${hintFor(half, path, keys)}`;
}

/** A place as it may be shown: a protected key that the schema does not name, as those of a record, may be a secret. */
function shownPlace(half: Half, path: SettingsPath, keys: KeysOfHalves): string {
  if (half === 'public') return formatPath(PUBLIC_SETTINGS_KEY, path);
  const steps = path.map((step, index) => {
    if (typeof step !== 'string') return step;
    const known = keys.protected?.at(path.slice(0, index)) ?? [];
    return known.includes(step) ? step : shownProtectedKey(step, known);
  });
  return formatPath(PROTECTED_SETTINGS_KEY, steps);
}

function hintFor(half: Half, path: SettingsPath, keys: KeysOfHalves): string {
  const name = String(path.at(-1));
  const other = half === 'public' ? 'protected' : 'public';
  if (path.length === 1 && keys[other]?.at([]).includes(name)) return `; it belongs in ${keyOf(other)}`;
  const near = nearestName(name, keys[half]?.at(path.slice(0, -1)) ?? []);
  return near === undefined ? '' : `; did you mean \`${near}\`?`;
}

/** Keys that the schema drops or passes over, which is often a slip that nobody would notice. */
function describeIgnored(half: Half, keys: KeysOfHalves, value: unknown): string[] {
  if (!isRecord(value) || Object.keys(value).length === 0) return [];
  const ignored = keys[half]?.unknownIn(value, MOST_IGNORED) ?? [];
  return ignored.map((path) => `${describeUnknown(half, path, keys)} (it is ignored)`);
}

function keysOfBoth(definition: SettingsDefinition<unknown, unknown> | undefined): KeysOfHalves {
  const { public: open, protected: hidden } = definition ?? {};
  return { public: open && readSchemaKeys(open), protected: hidden && readSchemaKeys(hidden) };
}

function listProblems(problems: readonly Problems[]): string {
  const texts = problems.flatMap((one) => one.texts);
  const more = problems.reduce((sum, one) => sum + one.more, Math.max(0, texts.length - MOST_PROBLEMS));
  return texts.slice(0, MOST_PROBLEMS).join('\n') + (more > 0 ? `\nand ${more} more` : '');
}

function keyOf(half: Half): string {
  return half === 'public' ? PUBLIC_SETTINGS_KEY : PROTECTED_SETTINGS_KEY;
}

/** One line without its full stop, cut where it is long. Nothing secret is in it any more. */
function cutMessage(message: string): string {
  const line = message
    .toWellFormed()
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .replace(/\.$/, '');
  return line.length > LONGEST_TEXT ? `${line.slice(0, LONGEST_TEXT)}…` : line;
}

const LONGEST_TEXT = 300;
const MOST_IGNORED = 20;
