/**
 * Hides secrets in text that people or programs outside read: log, status, events, error texts. Hidden are all strings
 * of the protected settings, in plain and in the forms in which they usually get into text, and the query and user
 * information of every URL.
 */

/** Stands where a secret was. */
export const HIDDEN = '[hidden]';

/** Strings of fewer characters are not searched for: hiding `a` or `on` would make any text unreadable, and hide nothing. */
export const SHORTEST_SECRET = 4;

/** What is known of a text in which secrets are to be hidden. */
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
  const index: SecretIndex = { secrets: new Set(), lengths: new Map() };
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

interface SecretIndex {
  readonly secrets: Set<string>;
  /** Lengths of those that begin with these characters, the longest first. */
  readonly lengths: Map<string, number[]>;
}

function addForm({ secrets, lengths }: SecretIndex, form: string): void {
  if (secrets.has(form)) return;
  secrets.add(form);
  const head = form.slice(0, SHORTEST_SECRET);
  const known = lengths.get(head);
  if (known === undefined) lengths.set(head, [form.length]);
  else if (!known.includes(form.length)) {
    known.push(form.length);
    known.sort((a, b) => b - a);
  }
}

function hideSecrets(index: SecretIndex, text: string, rest: number): string {
  if (index.secrets.size === 0) return text;
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
function lengthOfRest({ secrets }: SecretIndex, text: string): number {
  const head = text.slice(0, SHORTEST_SECRET);
  if (head.length < SHORTEST_SECRET) return 0;
  let longest = 0;
  for (const secret of secrets) {
    for (let at = secret.indexOf(head, 1); at > 0; at = secret.indexOf(head, at + 1)) {
      const length = secret.length - at;
      if (length <= longest) break;
      if (text.startsWith(secret.slice(at))) longest = length;
    }
  }
  return longest;
}

function longestSecretAt({ secrets, lengths }: SecretIndex, text: string, at: number): number {
  const known = lengths.get(text.slice(at, at + SHORTEST_SECRET)) ?? [];
  return known.find((length) => at + length <= text.length && secrets.has(text.slice(at, at + length))) ?? 0;
}

function formsOf(secret: string): string[] {
  const trimmed = secret.trim();
  const lines = trimmed.split(/\r?\n/).map((line) => line.trim());
  const plain = new Set([secret, trimmed]);
  if (lines.length > 1) for (const line of lines) if (line.length >= SHORTEST_LINE) plain.add(line);
  return [...plain].flatMap(formsOfText);
}

/** Forms that are the text itself are left out: settings may bring hundreds of thousands of secrets. */
function formsOfText(text: string): string[] {
  const base64 = Buffer.from(text).toString('base64');
  const forms = [text, base64];
  if (/[+/=]/.test(base64)) forms.push(Buffer.from(text).toString('base64url'));
  if (PLAIN.test(text)) return forms;
  forms.push(
    JSON.stringify(text).slice(1, -1),
    encodeURIComponent(text.toWellFormed()),
    text.replaceAll("'", "'\\''"),
  );
  return forms;
}

/** Characters of a line that is a secret by itself. */
const SHORTEST_LINE = 8;
/** Text that is the same in JSON, in a URL and between the quotes of a shell. */
const PLAIN = /^[\w.~-]*$/;

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
