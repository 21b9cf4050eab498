/**
 * Keeps the values of settings out of what a schema library says about them. Libraries and authors quote what they
 * refuse, and a secret may stand in the public half by mistake. So every value of both halves is searched for in every
 * message, in whole; of the value that a message is about, also any part of it and its short texts and numbers.
 */
import { HIDDEN } from './redaction.ts';

/** Says `message` without any value of the settings. `own` is the value that the message is about. */
export type HideValues = (message: string, own: unknown) => string;

/**
 * Collects the values to hide. What a schema's own code makes of a value (decoded, encrypted, counted) and then writes
 * into a message is not found: no text of ours could tell it from the message.
 */
export function createValueHider(settings: unknown): HideValues {
  const everywhere = [...new Set(leavesOf(settings).flatMap(formsOf))].filter(
    (text) => text.length >= SHORTEST_VALUE && !PLAIN_WORDS.has(text),
  );
  return (message, own) => {
    if (message.length > LONGEST_MESSAGE) return TOO_LONG;
    const folded = fold(message);
    const marks = new Uint8Array(message.length);
    for (const text of everywhere) markAll(folded, text, marks, isNumber(text));
    const leaves = [...new Set(leavesOf(own))];
    if (leaves.reduce((sum, text) => sum + text.length, 0) > LONGEST_OWN_VALUE) return TOO_LONG;
    const parts = partsOf(folded);
    for (const leaf of leaves) {
      for (const text of formsOf(leaf)) {
        if (text.length < SHORTEST_VALUE || isNumber(text)) markAll(folded, text, marks, true);
        else markParts(text, parts, marks);
      }
    }
    return showUnmarked(message, marks);
  };
}

/** A shorter text is in any message by chance; it is hidden only as a word, in messages about itself. */
const SHORTEST_VALUE = 4;
/** So many characters in a row that a value and a message share are no chance. */
const PART_LENGTH = 8;
const LONGEST_MESSAGE = 4096;
const LONGEST_OWN_VALUE = 1024 * 1024;
const TOO_LONG = 'is not accepted';

/** Words that libraries use themselves: a message with them says nothing about a setting that has the same text. */
const PLAIN_WORDS: ReadonlySet<string> = new Set(
  'string number integer boolean object array null true false undefined invalid input expected must value type'.split(
    ' ',
  ),
);

/** Every string and number inside `value`, at any depth, without recursion. */
function leavesOf(value: unknown): string[] {
  const found: string[] = [];
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === 'string') found.push(next);
    else if (typeof next === 'number') found.push(String(next));
    else if (typeof next === 'object' && next !== null)
      for (const item of Object.values(next)) open.push(item);
  }
  return found;
}

function formsOf(text: string): string[] {
  const folded = fold(text.trim());
  if (folded === '') return [];
  const escaped = /["\\\p{Cc}]/u.test(folded) ? fold(JSON.stringify(text.trim()).slice(1, -1)) : folded;
  return escaped === folded ? [folded] : [folded, escaped];
}

/** Lower case where that keeps every character in its place. */
function fold(text: string): string {
  const lower = text.toLowerCase();
  return lower.length === text.length ? lower : text;
}

function isNumber(text: string): boolean {
  return text.length < 30 && text.trim() !== '' && Number.isFinite(Number(text));
}

function markAll(message: string, text: string, marks: Uint8Array, asWord: boolean): void {
  if (text.length > message.length) return;
  for (let at = message.indexOf(text); at >= 0; at = message.indexOf(text, at + 1)) {
    const end = at + text.length;
    const isInside = asWord && (isWordPart(message[at - 1]) || isWordPart(message[end]));
    if (!isInside) marks.fill(1, at, end);
  }
}

/** Where each run of characters stands in the message. */
function partsOf(message: string): ReadonlyMap<string, readonly number[]> {
  const parts = new Map<string, number[]>();
  for (let at = 0; at + PART_LENGTH <= message.length; at++) {
    const part = message.slice(at, at + PART_LENGTH);
    const places = parts.get(part);
    if (places === undefined) parts.set(part, [at]);
    else places.push(at);
  }
  return parts;
}

function markParts(text: string, parts: ReadonlyMap<string, readonly number[]>, marks: Uint8Array): void {
  for (let at = 0; at + PART_LENGTH <= text.length; at++) {
    for (const place of parts.get(text.slice(at, at + PART_LENGTH)) ?? [])
      marks.fill(1, place, place + PART_LENGTH);
  }
}

function isWordPart(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}_]/u.test(character);
}

function showUnmarked(message: string, marks: Uint8Array): string {
  let text = '';
  for (let at = 0; at < message.length; at++) {
    if (marks[at] !== 1) text += message[at];
    else if (marks[at - 1] !== 1) text += HIDDEN;
  }
  return text;
}
