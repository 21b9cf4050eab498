/**
 * The day on which an account expires. The system counts whole days, in UTC, so of an ISO timestamp only the date
 * counts, as it is written.
 */

/** A day, in both forms that the system's tools take. */
export interface ExpirationDate {
  /** `YYYY-MM-DD`. */
  readonly text: string;
  /** Days since 1970-01-01, as the shadow file has them. */
  readonly days: number;
}

/** Reads `YYYY-MM-DD` or an ISO timestamp; gives what is wrong with it, without the value. `now` is the time of the VM. */
export function readExpiration(value: string, now: Date): ExpirationDate | { readonly problem: string } {
  const [, text] = FORM.exec(value.trim()) ?? [];
  const time = text === undefined ? Number.NaN : Date.parse(`${text}T00:00:00Z`);
  // Date.parse of some engines takes the 30th of February for a day in March.
  if (text === undefined || Number.isNaN(time) || new Date(time).toISOString().slice(0, 10) !== text) {
    return { problem: 'is no date; write YYYY-MM-DD, or an ISO timestamp such as 2030-12-31T00:00:00Z' };
  }
  const days = time / DAY_MS;
  if (days <= Math.floor(now.getTime() / DAY_MS)) {
    return { problem: 'is not in the future: the account could not be used; give a later day (UTC)' };
  }
  return { text, days };
}

const DAY_MS = 24 * 60 * 60 * 1000;
const FORM = /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;
