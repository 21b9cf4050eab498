/** Places inside the settings: how a path is written in texts, and what stands there. */

/** One step after another from the half of the settings to a value: keys of objects, indices of arrays. */
export type SettingsPath = readonly PropertyKey[];

/** `list[1].name` after its half: `publicSettings.list[1].name`. A key that is no plain name stands in brackets and quotes. */
export function formatPath(half: string, path: SettingsPath): string {
  return half + path.map(formatStep).join('');
}

/** The value at `path`, `undefined` when there is none. Own keys only. */
export function valueAt(value: unknown, path: SettingsPath): unknown {
  let at = value;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined;
    at = Reflect.get(at, step);
  }
  return at;
}

/** Orders places as a reader expects it: indices by number, keys by name, a parent before its children. */
export function comparePaths(a: SettingsPath, b: SettingsPath): number {
  for (const [index, left] of a.entries()) {
    const right = b[index];
    if (right === undefined) return 1;
    if (left === right) continue;
    if (typeof left === 'number' && typeof right === 'number') return left - right;
    return String(left) < String(right) ? -1 : 1;
  }
  return a.length - b.length;
}

/** A key in a text: cut where it is very long, without control characters. */
export function formatKey(key: string): string {
  const cut = key.length > LONGEST_KEY ? `${key.slice(0, LONGEST_KEY)}…` : key;
  return cut.toWellFormed().replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd');
}

/** True for an object of JSON, not an array and not null. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const LONGEST_KEY = 64;

function formatStep(step: PropertyKey): string {
  if (typeof step === 'number') return `[${step}]`;
  const key = String(step);
  return /^[\p{L}_$][\p{L}\p{N}_$-]*$/u.test(key) && key.length <= LONGEST_KEY
    ? `.${key}`
    : `[${JSON.stringify(formatKey(key))}]`;
}
