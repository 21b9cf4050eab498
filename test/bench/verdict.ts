/** How a bench tells whether a target of the design is reached: one line, of which `run.ts` makes its list. */

/** The end of a line about a target that is not reached. */
export const MISSED = 'MISSED';

/** `what: 0.47, target at most 1: met`. */
export function verdict(what: string, value: number, bound: 'least' | 'most', limit: number): string {
  const isMet = bound === 'most' ? value <= limit : value >= limit;
  return `${what}: ${shown(value)}, target at ${bound} ${shown(limit)}: ${isMet ? 'met' : MISSED}`;
}

function shown(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}
