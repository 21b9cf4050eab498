/** Finds the name that a misspelt one was probably meant to be: a key of a settings file, an option, a command. */

/**
 * The one of `known` that `name` is nearest to; `undefined` when none is near enough to be a slip. Case and all but
 * letters and digits do not count. A third of the letters may be wrong, three at most; of two equally near, the first.
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = fold(name);
  let best: { readonly name: string; readonly distance: number } | undefined;
  if (wanted.length > LONGEST_NAME) return undefined;
  for (const candidate of known) {
    const folded = fold(candidate);
    const limit = allowedSlips(Math.min(wanted.length, folded.length));
    if (Math.abs(wanted.length - folded.length) > limit) continue;
    const distance = editDistance(wanted, folded);
    if (distance <= limit && distance < (best?.distance ?? Infinity)) best = { name: candidate, distance };
  }
  return best?.name;
}

/**
 * How many letters have to be changed, added, left out or swapped with their neighbour to turn one text into the other.
 * Takes time in proportion to the product of the two lengths.
 */
export function editDistance(a: string, b: string): number {
  let previous: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (previous[j - 2] ?? 0) + 1);
      }
      next.push(cost);
    }
    previous = row;
    row = next;
  }
  return row[b.length] ?? 0;
}

/** A longer name is no slip of a known one, and would cost time. */
const LONGEST_NAME = 100;

/** Two letters may be anything; from three on, one of them may be wrong. */
function allowedSlips(length: number): number {
  return length < 3 ? 0 : Math.min(3, Math.floor(length / 3));
}

function fold(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}
