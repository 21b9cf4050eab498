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
  redact(text: string): string;
}

export function createRedactor(): Redactor {
  const secrets = new Set<string>();
  let sorted: string[] | undefined;
  const addSecret = (secret: string): void => {
    for (const form of formsOf(secret)) {
      if (form.length >= SHORTEST_SECRET) secrets.add(form);
    }
    sorted = undefined;
  };
  return {
    addSecret,
    addSecrets: (value) => {
      for (const text of stringsIn(value)) addSecret(text);
    },
    redact: (text) => {
      // Longest first, so that a secret inside another does not leave the rest of the longer one.
      sorted ??= [...secrets].sort((a, b) => b.length - a.length);
      let result = text;
      for (const secret of sorted) if (result.includes(secret)) result = result.replaceAll(secret, HIDDEN);
      return redactUrls(result);
    },
  };
}

/** Hides query, fragment and user information of every URL in `text`, also when it stands in quotes. */
export function redactUrls(text: string): string {
  return text
    .replace(/\b([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/?#@"'<>]*@/gi, `$1${HIDDEN}@`)
    .replace(/\b([a-z][a-z0-9+.-]{1,20}:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/gi, `$1?${HIDDEN}`);
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
