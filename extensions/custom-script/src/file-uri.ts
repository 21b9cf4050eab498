/**
 * An entry of `fileUris`: a URL as in the original, or an object with the URL and the checksum of its file. Says what is
 * wrong with a list in the words of the original's schema checker. No text holds a value.
 */

/** Where a file comes from, and what it must be. */
export type FileUri = string | { readonly uri: string; readonly sha256?: string };

export interface FileUriProblem {
  /** The place inside the settings and what is wrong there. */
  readonly text: string;
  /** True for an entry that is null, which has a code of its own. */
  readonly isNull: boolean;
}

/** Every problem of the list, in its order. */
export function checkFileUris(list: readonly unknown[]): readonly FileUriProblem[] {
  return list.flatMap((entry, index) => {
    const place = `fileUris.${index}`;
    if (!isObject(entry)) return checkUri(entry, place);
    const unknown = Object.keys(entry).filter((key) => !ENTRY_KEYS.includes(key));
    return [
      ...unknown.map((key) => problem(`${place}: Additional property ${key} is not allowed`)),
      ...(Object.hasOwn(entry, 'uri')
        ? checkUri(entry.uri, `${place}.uri`)
        : [problem(`${place}: uri is required`)]),
      ...checkSha256(entry.sha256, `${place}.sha256`),
    ];
  });
}

/** The entries of a list without problems. */
export function readFileUris(list: readonly unknown[]): readonly FileUri[] {
  return list.flatMap((entry): FileUri[] => {
    if (typeof entry === 'string') return [entry];
    if (!isObject(entry) || typeof entry.uri !== 'string') return [];
    const { uri, sha256 } = entry;
    return [typeof sha256 === 'string' ? { uri, sha256: sha256.toLowerCase() } : { uri }];
  });
}

/** A JSON type in the words of the original's schema checker. */
export function typeWord(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

const ENTRY_KEYS: readonly string[] = ['uri', 'sha256'];
const SHA256 = /^[0-9A-Fa-f]{64}$/;

function checkUri(value: unknown, place: string): readonly FileUriProblem[] {
  if (typeof value === 'string') {
    return isUri(value) ? [] : [problem(`${place}: Does not match format 'uri'`)];
  }
  const text = `${place}: Invalid type. Expected: string, given: ${typeWord(value)}`;
  return [{ text, isNull: value === null }];
}

function checkSha256(value: unknown, place: string): readonly FileUriProblem[] {
  if (value === undefined) return [];
  if (typeof value !== 'string') {
    return [problem(`${place}: Invalid type. Expected: string, given: ${typeWord(value)}`)];
  }
  return SHA256.test(value) ? [] : [problem(`${place}: Does not match pattern '${SHA256.source}'`)];
}

function problem(text: string): FileUriProblem {
  return { text, isNull: false };
}

/** A URI as the original's schema understands it: it parses, has a scheme, and holds no backslash. */
export function isUri(text: string): boolean {
  return (
    /^[a-z][a-z0-9+.-]*:[^\\\u0000-\u001f\u007f]*$/i.test(text) &&
    URL.canParse(text) &&
    !/%(?![0-9a-f]{2})/i.test(text)
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
