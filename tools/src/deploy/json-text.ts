/**
 * JSON text that survives every door: only printable ASCII, so that no locale, byte order mark or code page can bend it,
 * and no typographic quote ends a string of PowerShell.
 */

/** One line of JSON; everything but printable ASCII is escaped. */
export function asciiJson(value: unknown): string {
  return escapeNonAscii(JSON.stringify(value));
}

/** JSON for people, two spaces deep, with a newline at the end; everything but printable ASCII is escaped. */
export function asciiJsonFile(value: unknown): string {
  return `${escapeNonAscii(JSON.stringify(value, null, 2))}\n`;
}

function escapeNonAscii(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
