/**
 * What Python's `json.loads` says about a text that is no JSON: the agent is a Python program, and these words stand in
 * what it reports. Positions count characters, as Python does.
 * Source: CPython 3.11 `Modules/_json.c` (observed); agent-contract 8.3, 9.
 */
import { countCharacters } from './characters.ts';

/** The text of the error, with line, column and character; `undefined` for a text that Python can read. */
export function pythonJsonError(text: string): string | undefined {
  if (text.startsWith('\uFEFF')) {
    return format({ message: 'Unexpected UTF-8 BOM (decode using utf-8-sig)', at: 0 }, text);
  }
  try {
    const end = skipSpace(text, readValue(text, skipSpace(text, 0)));
    if (end !== text.length) throw new Fault('Extra data', end);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    return format(thrown, text);
  }
}

class Fault extends Error {
  /** Index in UTF-16 units. */
  readonly at: number;

  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/** Beyond Python's own recursion, of which its reader would die in another way. */
const DEEPEST = 2000;
const WORDS = ['null', 'true', 'false', 'NaN', 'Infinity', '-Infinity'];
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/y;

/** Reads one value and gives the index behind it. */
function readValue(text: string, start: number, depth = 0): number {
  const first = text[start];
  if (depth < DEEPEST) {
    if (first === '"') return readString(text, start);
    if (first === '{') return readObject(text, start, depth);
    if (first === '[') return readArray(text, start, depth);
  }
  const word = WORDS.find((one) => text.startsWith(one, start));
  if (word !== undefined) return start + word.length;
  NUMBER.lastIndex = start;
  if (!NUMBER.test(text)) throw new Fault('Expecting value', start);
  return NUMBER.lastIndex;
}

function readObject(text: string, start: number, depth: number): number {
  let at = skipSpace(text, start + 1);
  if (text[at] === '}') return at + 1;
  for (;;) {
    if (text[at] !== '"') throw new Fault('Expecting property name enclosed in double quotes', at);
    at = skipSpace(text, readString(text, at));
    if (text[at] !== ':') throw new Fault("Expecting ':' delimiter", at);
    at = skipSpace(text, readValue(text, skipSpace(text, at + 1), depth + 1));
    if (text[at] === '}') return at + 1;
    at = skipComma(text, at);
  }
}

function readArray(text: string, start: number, depth: number): number {
  let at = skipSpace(text, start + 1);
  if (text[at] === ']') return at + 1;
  for (;;) {
    at = skipSpace(text, readValue(text, at, depth + 1));
    if (text[at] === ']') return at + 1;
    at = skipComma(text, at);
  }
}

function readString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (text[at] === '"') return at + 1;
    if (unit <= 0x1f) throw new Fault('Invalid control character at', at);
    if (text[at] !== '\\') continue;
    at++;
    if (at === text.length) break;
    if (text[at] === 'u') {
      // Python wants a character behind the four digits before it looks at them.
      if (at + 5 >= text.length || !/^[\da-fA-F]{4}$/.test(text.slice(at + 1, at + 5))) {
        throw new Fault('Invalid \\uXXXX escape', at);
      }
      at += 4;
    } else if (!'"\\/bfnrt'.includes(text[at] ?? '')) {
      throw new Fault('Invalid \\escape', at - 1);
    }
  }
  throw new Fault('Unterminated string starting at', start);
}

function skipComma(text: string, at: number): number {
  if (text[at] !== ',') throw new Fault("Expecting ',' delimiter", at);
  return skipSpace(text, at + 1);
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && ' \t\n\r'.includes(text[at] ?? '')) at++;
  return at;
}

function format({ message, at }: Pick<Fault, 'message' | 'at'>, text: string): string {
  const before = text.slice(0, at);
  const lines = before.split('\n');
  const column = countCharacters(lines.at(-1) ?? '') + 1;
  return `${message}: line ${lines.length} column ${column} (char ${countCharacters(before)})`;
}
