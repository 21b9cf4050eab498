import { expect, it } from 'vitest';
import { shownTail } from './shown-tail.ts';

const SHOWN_BYTES = 4096;

it.each<[string, number, string]>([
  ['short', 5, 'short'],
  ['ä'.repeat(SHOWN_BYTES), SHOWN_BYTES, 'ä'],
  [`ä${'x'.repeat(SHOWN_BYTES - 1)}`, SHOWN_BYTES - 1, 'x'],
  [`😀${'x'.repeat(SHOWN_BYTES - 1)}`, SHOWN_BYTES - 1, 'x'],
])('the tail of %.6s… has %i bytes and begins with a whole character', (text, bytes, first) => {
  const tail = shownTail(text, SHOWN_BYTES);
  expect(Buffer.byteLength(tail)).toBe(bytes);
  expect(tail.startsWith(first)).toBe(true);
});
