/**
 * Text counted as the agent counts it: Python's `len` and slices see characters (code points), where JavaScript sees
 * UTF-16 units. The two differ for text beyond the basic plane, such as emoji.
 */

/** How many characters `text` has; a lone surrogate counts as one. */
export function countCharacters(text: string): number {
  let count = text.length;
  for (let i = 0; i + 1 < text.length; i++) {
    if (isPair(text, i)) {
      count--;
      i++;
    }
  }
  return count;
}

/** The first `count` characters. */
export function firstCharacters(text: string, count: number): string {
  if (text.length <= count) return text;
  let end = 0;
  for (let taken = 0; taken < count && end < text.length; taken++) end += isPair(text, end) ? 2 : 1;
  return text.slice(0, end);
}

/** The last `count` characters. */
export function lastCharacters(text: string, count: number): string {
  if (text.length <= count) return text;
  let start = text.length;
  for (let taken = 0; taken < count && start > 0; taken++) start -= isPair(text, start - 2) ? 2 : 1;
  return text.slice(start);
}

function isPair(text: string, at: number): boolean {
  return isBetween(text.charCodeAt(at), 0xd800, 0xdbff) && isBetween(text.charCodeAt(at + 1), 0xdc00, 0xdfff);
}

function isBetween(unit: number, first: number, last: number): boolean {
  return unit >= first && unit <= last;
}
