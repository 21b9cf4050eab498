/**
 * Decoding of JSON that somebody else wrote. Every artefact of the contract comes in as `unknown` and is decoded
 * once, here; what fails is named by file and JSON path, never by value (a value may be a secret).
 */

/** A file of the contract does not have the form that the contract asks for. `file` and `path` say where. */
export class ContractError extends Error {
  override readonly name = 'ContractError';
  readonly file: string;
  readonly path: string;
  readonly problem: string;

  /** @param path JSON path inside the file, `''` for the file as a whole. */
  constructor(file: string, path: string, problem: string) {
    super(path === '' ? `${file}: ${problem}` : `${file}: ${path} ${problem}`);
    this.file = file;
    this.path = path;
    this.problem = problem;
  }
}

/** A decoded value together with where it came from, so that each check can say where it failed. */
export interface Located {
  readonly file: string;
  readonly path: string;
  readonly value: unknown;
}

/** Parses `text` as JSON; a UTF-8 byte order mark is skipped. Throws {@link ContractError} without quoting the text. */
export function parseJson(text: string, file: string): Located {
  const body = text.startsWith('\uFEFF') ? text.slice(1) : text;
  if (body.trim() === '') throw new ContractError(file, '', 'is empty');
  try {
    return { file, path: '', value: JSON.parse(body) };
  } catch {
    throw new ContractError(file, '', 'is not valid JSON (cut off or malformed)');
  }
}

/** The member `key` of an object, `undefined` when it is missing. Own keys only: `__proto__` is a key like any other. */
export function member(at: Located, key: string): Located {
  const object = decodeObject(at);
  const value = Object.hasOwn(object, key) ? object[key] : undefined;
  return { file: at.file, path: at.path === '' ? key : `${at.path}.${key}`, value };
}

/** The element `index` of an array. */
export function element(at: Located, index: number): Located {
  return { file: at.file, path: `${at.path}[${index}]`, value: decodeArray(at)[index] };
}

/** True when the value is missing or JSON null: the agent writes null for what the user did not give. */
export function isAbsent(at: Located): boolean {
  return at.value === undefined || at.value === null;
}

/** An object. Throws {@link ContractError} for anything else, null and arrays too. */
export function decodeObject(at: Located): Record<string, unknown> {
  if (typeof at.value !== 'object' || at.value === null || Array.isArray(at.value))
    throw wrongType(at, 'an object');
  return at.value as Record<string, unknown>;
}

/** An array; its elements are not looked at. Throws {@link ContractError} for anything else. */
export function decodeArray(at: Located): readonly unknown[] {
  if (!Array.isArray(at.value)) throw wrongType(at, 'an array');
  return at.value;
}

/** A string, the empty one too. Throws {@link ContractError} for anything else. */
export function decodeString(at: Located): string {
  if (typeof at.value !== 'string') throw wrongType(at, 'a string');
  return at.value;
}

/** A non-empty string. */
export function decodeText(at: Located): string {
  const text = decodeString(at);
  if (text === '') throw new ContractError(at.file, at.path, 'must not be empty');
  return text;
}

/** A finite number. Throws {@link ContractError} for anything else. */
export function decodeNumber(at: Located): number {
  if (typeof at.value !== 'number' || !Number.isFinite(at.value)) throw wrongType(at, 'a number');
  return at.value;
}

/** True or false. Throws {@link ContractError} for anything else, strings and numbers too. */
export function decodeBoolean(at: Located): boolean {
  if (typeof at.value !== 'boolean') throw wrongType(at, 'true or false');
  return at.value;
}

/** Decodes with `decode` unless the value is missing or null; then gives `otherwise`. */
export function optional<T, U>(at: Located, decode: (at: Located) => T, otherwise: U): T | U {
  return isAbsent(at) ? otherwise : decode(at);
}

/** The JSON type of a value in words, for error texts. */
export function typeName(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'boolean') return 'a boolean';
  return `a ${typeof value}`;
}

function wrongType(at: Located, wanted: string): ContractError {
  const found = typeName(at.value);
  return new ContractError(
    at.file,
    at.path,
    found === 'missing' ? `is missing; it must be ${wanted}` : `must be ${wanted}, but is ${found}`,
  );
}
