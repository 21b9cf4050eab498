/** Chance that can be repeated: the same seed gives the same numbers. */

export interface SeededRandom {
  /** From 0 up to, and without, `limit`. */
  below(limit: number): number;
  /** One of them, each as likely. */
  pick<T>(items: readonly [T, ...T[]]): T;
  /** True in `share` of all cases, from 0 to 1. */
  happens(share: number): boolean;
}

/** Source: mulberry32, in the public domain; good enough to spread moments, and for nothing that must be secret. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    below: (limit) => next() * limit,
    pick: (items) => items[Math.floor(next() * items.length)] ?? items[0],
    happens: (share) => next() < share,
  };
}
