/** When a request is made again: which answers are worth it, and how long to wait. Source: RFC 9110 10.2.3, 15. */

/** Answers that a later one can differ from: the server is busy, or its part behind it is. */
export const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Longest pause that a server may ask for, in milliseconds. */
export const LONGEST_PAUSE_MS = 120_000;

/**
 * Milliseconds before the next try. `attempt` is the one that failed, from 1; the pause doubles with each and lies between
 * half and all of that, so that many machines do not come back at once. `random` gives 0 to 1.
 */
export function pauseMs(
  attempt: number,
  firstPauseMs: number,
  retryAfterMs: number,
  random: () => number,
): number {
  const pause = firstPauseMs * 2 ** (attempt - 1) * (0.5 + random() / 2);
  return Math.round(Math.max(pause, Math.min(retryAfterMs, LONGEST_PAUSE_MS)));
}

/** `Retry-After`, seconds or a date, in milliseconds from now; 0 for none, for a past one and for nonsense. */
export function parseRetryAfter(value: string | null, nowMs: number): number {
  if (value === null) return 0;
  const text = value.trim();
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isFinite(ms) && ms > 0 && /^\d+$|[a-z]{3}/i.test(text) ? ms : 0;
}
