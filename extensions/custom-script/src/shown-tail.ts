/** Cuts a text for the status. */

/** The last `bytes` of a text, never cut through a character. */
export function shownTail(text: string, bytes: number): string {
  const all = Buffer.from(text);
  let start = Math.max(0, all.length - bytes);
  while (start < all.length && ((all[start] ?? 0) & 0xc0) === 0x80) start++;
  return all.subarray(start).toString();
}
