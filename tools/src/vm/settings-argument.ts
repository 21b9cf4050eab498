/**
 * The value of `--settings` and `--protected-settings`: JSON on the command line, or `@FILE`, as `az` takes it.
 * A value may be a secret, so no error quotes it.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { usageError } from '../errors.ts';

export type SettingsObject = Readonly<Record<string, unknown>>;

/**
 * Reads the settings object that `value` stands for; `@FILE` and, as with `az`, the bare name of a JSON file are looked
 * up from `folder`. Throws `WRONG_USAGE` for anything but a JSON object, the system's error for a missing file.
 */
export function readSettingsArgument(option: string, value: string, folder: string): SettingsObject {
  const file = settingsFile(value, folder);
  const text = file === undefined ? value : readFileSync(file, 'utf8');
  const source = file ?? `--${option}`;
  const hint = `Give an object, for instance --${option} '{"key": "value"}', or a file with --${option} @settings.json.`;
  const body = text.startsWith('\uFEFF') ? text.slice(1) : text;
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw usageError(`${source} is not valid JSON.`, hint);
  }
  if (!isObject(parsed)) throw usageError(`${source} must be a JSON object.`, hint);
  return parsed;
}

/** Path of the file that `value` names; `undefined` when it is the JSON itself. */
export function settingsFile(value: string, folder: string): string | undefined {
  const file = fileOf(value);
  return file === undefined ? undefined : resolve(folder, file);
}

/** Absolute path of the file that `value` names; `undefined` when it is the settings themselves. */
export function settingsArgumentFile(value: string, folder: string): string | undefined {
  const file = fileOf(value);
  return file === undefined ? undefined : resolve(folder, file);
}

/** JSON text with sorted keys: the same for two objects that mean the same settings. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sortKeys(value));
}

function fileOf(value: string): string | undefined {
  if (value.startsWith('@')) return value.slice(1);
  return /^[^{["]+\.json$/i.test(value) ? value : undefined;
}

function isObject(value: unknown): value is SettingsObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (!isObject(value)) return value;
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  // fromEntries would take `__proto__` as a key like any other, which is what is wanted.
  return Object.fromEntries(pairs.map(([key, item]) => [key, sortKeys(item)]));
}
