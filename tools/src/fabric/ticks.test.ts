import { expect, it } from 'vitest';
import { formatTicks } from './ticks.ts';

it.each([
  ['0001-01-01T00:00:00.000Z', '0'],
  ['1970-01-01T00:00:00.000Z', '621355968000000000'],
  ['2021-11-16T13:22:50.620Z', '637726657706200000'],
])('counts the steps to %s', (time, ticks) => {
  expect(formatTicks(new Date(time))).toBe(ticks);
});
