/**
 * Hides secrets in text that people or programs outside read: log, status, events, error texts. Hidden are all strings
 * of the protected settings, in plain and in the forms in which they usually get into text, and the query and user
 * information of every URL.
 */

/** Stands where a secret was. */
export const HIDDEN = '[hidden]';

/** Strings of fewer characters are not searched for: hiding `a` or `on` would make any text unreadable, and hide nothing. */
export const SHORTEST_SECRET = 4;

export interface Redactor {
  /** Adds a secret: itself, its lines, and its JSON, URL, shell and base64 forms. */
  addSecret(secret: string): void;
  /** Adds every string inside `value`, at any depth. Keys are not secret. */
  addSecrets(value: unknown): void;
  /** Hides every secret in `text`, also where two of them overlap. Takes one pass, however many secrets there are. */
  redact(text: string): string;
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
    redact: (text) => redactUrls(hideSecrets(index, text)),
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

function hideSecrets(index: SecretIndex, text: string): string {
  if (index.size === 0) return text;
  const parts: string[] = [];
  // What stands before `shown` is in `parts`; a secret that was found reaches to `end`.
  let shown = 0;
  let end = -1;
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
