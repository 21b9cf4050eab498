import { expect, it } from 'vitest';
import { parseRetryAfter, pauseMs } from './retry-schedule.ts';

it.each<[string | null, number]>([
  [null, 0],
  ['5', 5_000],
  [' 7 ', 7_000],
  ['0', 0],
  ['-3', 0],
  ['soon', 0],
  ['', 0],
  ['1e9', 0],
  ['Fri, 02 Jan 2026 03:04:15 GMT', 10_000],
  ['Fri, 02 Jan 2026 03:00:00 GMT', 0],
])('Retry-After %j asks for %i ms', (value, ms) => {
  expect(parseRetryAfter(value, Date.UTC(2026, 0, 2, 3, 4, 5))).toBe(ms);
});

it.each<[number, number, number, number]>([
  [1, 0, 1, 1000],
  [1, 0, 0, 500],
  [3, 0, 1, 4000],
  [1, 3000, 1, 3000],
  [4, 3000, 1, 8000],
  [1, 1e12, 0, 120_000],
])('after try %i, asked for %i ms, with chance %d the pause is %i ms', (attempt, asked, chance, ms) => {
  expect(pauseMs(attempt, 1000, asked, () => chance)).toBe(ms);
});
