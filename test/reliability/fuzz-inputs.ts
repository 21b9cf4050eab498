/**
 * Broken texts made from good ones: bits turned, parts cut, doubled, swapped and taken from others, values of JSON replaced by what
 * parsers stumble over, deep nesting. Each comes from numbers that fast-check draws, so that a seed brings it back.
 */
import fc from 'fast-check';

/** One change of a text, by three numbers whose meaning the kind of change decides. */
type Change = readonly [kind: number, at: number, more: number];

/** Arbitrary texts near the given ones. */
export function brokenText(texts: readonly string[]): fc.Arbitrary<string> {
  const change = fc.tuple(fc.nat(CHANGES.length - 1), fc.nat(0xffff), fc.nat(0xffff));
  return fc
    .tuple(fc.constantFrom(...texts), fc.array(change, { minLength: 1, maxLength: 5 }))
    .map(([text, changes]) => applyChanges(text, changes, texts));
}

/** Arbitrary bytes near the given ones. */
export function brokenBytes(all: readonly Buffer[]): fc.Arbitrary<Buffer> {
  return brokenText(all.map((bytes) => bytes.toString('latin1'))).map((text) => Buffer.from(text, 'latin1'));
}

function applyChanges(text: string, changes: readonly Change[], texts: readonly string[]): string {
  return changes.reduce((now, [kind, at, more]) => {
    const changed = CHANGES[kind]?.(now, at, more, texts) ?? now;
    return changed.length > LONGEST ? changed.slice(0, LONGEST) : changed;
  }, text);
}

/** Characters; a few changes of one text would grow without bounds. */
const LONGEST = 200_000;

const CHANGES: readonly ((text: string, at: number, more: number, texts: readonly string[]) => string)[] = [
  // A bit is turned.
  (text, at, more) => replace(text, at % (text.length + 1), 1, turned(text, at, more)),
  // It ends early.
  (text, at) => text.slice(0, at % (text.length + 1)),
  // A part is left out.
  (text, at, more) => replace(text, at % (text.length + 1), more % 40, ''),
  // A part comes twice.
  (text, at, more) => {
    const from = at % (text.length + 1);
    return replace(text, from, 0, text.slice(from, from + (more % 200)));
  },
  // It goes on as another one does.
  (text, at, more, texts) => {
    const other = texts[more % texts.length] ?? '';
    return text.slice(0, at % (text.length + 1)) + other.slice(more % (other.length + 1));
  },
  // Something odd is put in.
  (text, at, more) => replace(text, at % (text.length + 1), 0, odd(more)),
  // A value of JSON becomes something odd.
  (text, at, more) => replaceValue(text, at, odd(more)),
  // A value of JSON comes in many brackets.
  (text, at, more) => {
    const depth = [10, 200, 5_000, 60_000][more % 4] ?? 1;
    const [open, close] = more % 8 < 4 ? ['[', ']'] : ['{"a":', '}'];
    return replaceValue(text, at, `${open.repeat(depth)}1${close.repeat(depth)}`);
  },
  // One character many times.
  (text, at, more) =>
    replace(text, at % (text.length + 1), 0, (' "\\{[-0\n%=&<>:/?#@\u00e9'[more % 18] ?? 'x').repeat(more)),
];

function replace(text: string, at: number, length: number, by: string): string {
  return text.slice(0, at) + by + text.slice(at + length);
}

function turned(text: string, at: number, more: number): string {
  const index = at % (text.length + 1);
  return index < text.length ? String.fromCharCode(text.charCodeAt(index) ^ (1 << (more % 8))) : '';
}

/** Scalars and keys of JSON: texts in quotes, numbers and words. */
function replaceValue(text: string, at: number, by: string): string {
  const values = [...text.matchAll(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null/g)];
  const chosen = values[at % (values.length + 1)];
  return chosen === undefined ? by : replace(text, chosen.index, chosen[0].length, by);
}

function odd(number: number): string {
  return ODD[number % ODD.length] ?? '';
}

const ODD: readonly string[] = [
  ...['null', 'true', '""', '[]', '{}', '[[]]', '0', '-1', '1e400', '-0', '1e-400', '0x1', '01', '1.', '.5'],
  ...['9007199254740993', '99999999999999999999999999', '-2147483649', '4294967296', 'NaN', 'Infinity'],
  ...['"\\ud800"', '"\\u0000"', '"\u202e"', '"\\/"', '"__proto__"', '"constructor"', '{"__proto__":{"a":1}}'],
  ...[
    '"a\u0000b"',
    '\u0000',
    '\ufeff',
    '\u2028',
    '\ud800',
    '\udfff\ud83d',
    '\u00ff',
    '\r\n',
    '\t',
    '\\',
    '"',
    "'",
  ],
  ...[
    '../../etc/passwd',
    '/',
    '.',
    '..',
    '%2e%2e',
    '$(id)',
    '`id`',
    ';',
    '|',
    ',',
    ':',
    '//',
    '/*',
    '#',
    '=',
  ],
  ...[
    '"toString"',
    '"hasOwnProperty"',
    'undefined',
    'None',
    'True',
    '"1.0"',
    '"Ready"',
    '"error"',
    ']',
    '}',
    '{',
    '[',
  ],
];
