/**
 * The value of `--settings` and `--protected-settings`: JSON on the command line, or `@FILE`, as `az` takes it; `@-` is
 * standard input. A value may be a secret, so no error quotes it.
 */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type ToolError, usageError } from '../errors.ts';
import { findInexactNumber } from './inexact-number.ts';

export type SettingsObject = Readonly<Record<string, unknown>>;

/** Where the settings come from: the value itself, a file that stays, or a stream that can be read once. */
export type SettingsSource =
  | { readonly kind: 'text' }
  | { readonly kind: 'file'; readonly path: string }
  /** `path` is absolute; `undefined`: standard input. */
  | { readonly kind: 'stream'; readonly path: string | undefined };

/** What `value` names; `@FILE` and, as with `az`, the bare name of a JSON file are looked up from `folder`. Reads nothing. */
export function settingsSource(value: string, folder: string): SettingsSource {
  const name = nameOf(value);
  if (name === undefined) return { kind: 'text' };
  if (name === '-') return { kind: 'stream', path: undefined };
  const path = resolve(folder, name);
  const isOther = statSync(path, { throwIfNoEntry: false })?.isFile() === false;
  return isOther || STREAM_FOLDERS.test(path) ? { kind: 'stream', path } : { kind: 'file', path };
}

/** Absolute path of the file that `value` names; `undefined` when there is none that can be read again. */
export function settingsFile(value: string, folder: string): string | undefined {
  const source = settingsSource(value, folder);
  return source.kind === 'file' ? source.path : undefined;
}

/**
 * Reads the settings object that `value` stands for. Throws `WRONG_USAGE` for anything but a JSON object and for a whole number
 * that would lose digits, the system's error for a missing file.
 */
export function readSettingsArgument(option: string, value: string, folder: string): SettingsObject {
  const source = settingsSource(value, folder);
  const text = source.kind === 'text' ? value : readFileSync(source.path ?? STANDARD_INPUT, 'utf8');
  const place = source.kind === 'text' ? `--${option}` : (source.path ?? 'Standard input');
  const hint = `Give an object, for instance --${option} '{"key": "value"}', or a file with --${option} @settings.json.`;
  const body = text.startsWith('\uFEFF') ? text.slice(1) : text;
  if (source.kind !== 'text' && body.trim() === '') throw usageError(`${place} is empty.`, hint);
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw usageError(`${place} is not valid JSON.`, hint);
  }
  if (!isObject(parsed)) throw usageError(`${place} must be a JSON object.`, hint);
  if (isDeeperThan(parsed, DEEPEST_SETTINGS)) {
    throw usageError(`${place} is nested more than ${DEEPEST_SETTINGS} levels deep.`, hint);
  }
  const inexact = findInexactNumber(body);
  if (inexact !== undefined) throw inexactNumber(place, inexact);
  return parsed;
}

/** What to say of a file with protected settings that other users of this machine can read; `undefined` for all else. */
export function describeExposure(value: string, folder: string): string | undefined {
  const file = settingsFile(value, folder);
  const mode = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false })?.mode;
  if (file === undefined || mode === undefined || (mode & OTHERS_MAY_READ) === 0) return undefined;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  const shown = /^[\w./-]+$/.test(file) ? file : 'THE-FILE';
  return `${file} holds protected settings, and its mode ${octal} lets other users of this machine read it. Keep it to its owner: chmod 600 ${shown}`;
}

/** JSON text with sorted keys: the same for two objects that mean the same settings. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sortKeys(value));
}

/** More than any handler takes, so that its own refusal can be tried, and less than exhausts a stack. */
const DEEPEST_SETTINGS = 500;
const STANDARD_INPUT = 0;
/** What lies there is another file, or none, for the next process. */
const STREAM_FOLDERS = /^\/(dev|proc)\//;
const OTHERS_MAY_READ = 0o044;

function nameOf(value: string): string | undefined {
  if (value.startsWith('@')) return value.slice(1);
  return /^[^{["]+\.json$/i.test(value) ? value : undefined;
}

function inexactNumber(place: string, path: string): ToolError {
  return usageError(
    `${place} holds a number at ${path} that would lose digits: whole numbers are exact up to 9007199254740991 only.`,
    'Write it as text, in quotes, and let the extension read it from there.',
  );
}

function isObject(value: unknown): value is SettingsObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isDeeperThan(value: unknown, limit: number): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return false;
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (!isObject(value)) return value;
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  // fromEntries would take `__proto__` as a key like any other, which is what is wanted.
  return Object.fromEntries(pairs.map(([key, item]) => [key, sortKeys(item)]));
}
