/**
 * Hides secrets in text that people or programs outside read: log, status, events, error texts. Hidden are all strings
 * of the protected settings, in plain and in the forms in which they usually get into text, and the query and user
 * information of every URL.
 */

/** Stands where a secret was. */
export const HIDDEN = '[hidden]';

/** Strings of fewer characters are not searched for: hiding `a` or `on` would make any text unreadable, and hide nothing. */
export const SHORTEST_SECRET = 4;

export interface RedactOptions {
  /** True: something was cut off before the text, so it may begin with the rest of a secret, which is hidden as well. */
  readonly isTail?: boolean;
}

export interface Redactor {
  /** Adds a secret: itself, its lines, and its JSON, URL, shell and base64 forms. */
  addSecret(secret: string): void;
  /** Adds every string inside `value`, at any depth. Keys are not secret. */
  addSecrets(value: unknown): void;
  /** Hides every secret in `text`, also where two of them overlap. Takes one pass, however many secrets there are. */
  redact(text: string, options?: RedactOptions): string;
}

export function createRedactor(): Redactor {
  const index: SecretIndex = new Map();
  const addSecret = (secret: string): void => {
    for (const form of formsOf(secret)) if (form.length >= SHORTEST_SECRET) addForm(index, form);
  };
  return {
    addSecret,
    addSecrets: (value) => {
      for (const text of stringsIn(value)) addSecret(text);
    },
    redact: (text, { isTail = false } = {}) =>
      redactUrls(hideSecrets(index, text, isTail ? lengthOfRest(index, text) : 0)),
  };
}

/** Hides query, fragment and user information of every URL in `text`, also when it stands in quotes. */
export function redactUrls(text: string): string {
  if (!text.includes('://')) return text;
  return text
    .replace(/\b([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/?#@"'<>]*@/gi, `$1${HIDDEN}@`)
    .replace(/\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s"'<>]*/gi, (url) => {
      const end = url.search(/[?#]/);
      return end < 0 ? url : `${url.slice(0, end)}?${HIDDEN}`;
    });
}

/** Secrets by their first characters, then by length, the longest first. */
type SecretIndex = Map<string, { readonly length: number; readonly secrets: Set<string> }[]>;

function addForm(index: SecretIndex, form: string): void {
  const head = form.slice(0, SHORTEST_SECRET);
  const groups = index.get(head) ?? [];
  const at = groups.findIndex((group) => group.length <= form.length);
  const found = at < 0 ? undefined : groups[at];
  if (found?.length === form.length) found.secrets.add(form);
  else groups.splice(at < 0 ? groups.length : at, 0, { length: form.length, secrets: new Set([form]) });
  index.set(head, groups);
}

/** @param rest characters at the beginning that are hidden in any case. */
function hideSecrets(index: SecretIndex, text: string, rest: number): string {
  if (index.size === 0) return text;
  const parts: string[] = [];
  // What stands before `shown` is in `parts`; a secret that was found reaches to `end`.
  let shown = 0;
  let end = rest === 0 ? -1 : rest;
  const close = (): void => {
    parts.push(HIDDEN);
    shown = end;
    end = -1;
  };
  for (let i = 0; i + SHORTEST_SECRET <= text.length; i++) {
    if (i === end) close();
    const length = longestSecretAt(index, text, i);
    if (length === 0) continue;
    if (end < 0) parts.push(text.slice(shown, i));
    end = Math.max(end, i + length);
  }
  if (end >= 0) close();
  return shown === 0 ? text : `${parts.join('')}${text.slice(shown)}`;
}

/** Characters of the longest end of a secret with which the text begins; 0: with none. */
function lengthOfRest(index: SecretIndex, text: string): number {
  const head = text.slice(0, SHORTEST_SECRET);
  if (head.length < SHORTEST_SECRET) return 0;
  let longest = 0;
  for (const { secrets } of [...index.values()].flat()) {
    for (const secret of secrets) {
      for (let at = secret.indexOf(head, 1); at > 0; at = secret.indexOf(head, at + 1)) {
        const length = secret.length - at;
        if (length <= longest) break;
        if (text.startsWith(secret.slice(at))) longest = length;
      }
    }
  }
  return longest;
}

function longestSecretAt(index: SecretIndex, text: string, at: number): number {
  const groups = index.get(text.slice(at, at + SHORTEST_SECRET));
  if (groups === undefined) return 0;
  for (const { length, secrets } of groups) {
    if (at + length <= text.length && secrets.has(text.slice(at, at + length))) return length;
  }
  return 0;
}

function formsOf(secret: string): string[] {
  const trimmed = secret.trim();
  const lines = trimmed.split(/\r?\n/).map((line) => line.trim());
  const plain = [secret, trimmed, ...(lines.length > 1 ? lines.filter((line) => line.length >= 8) : [])];
  return plain.flatMap((text) => [
    text,
    JSON.stringify(text).slice(1, -1),
    encodeURIComponent(text.toWellFormed()),
    text.replaceAll("'", "'\\''"),
    Buffer.from(text).toString('base64'),
    Buffer.from(text).toString('base64url'),
  ]);
}

function stringsIn(value: unknown): string[] {
  const found: string[] = [];
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === 'string') found.push(next);
    else if (typeof next === 'object' && next !== null)
      for (const item of Object.values(next)) open.push(item);
  }
  return found;
}
