/** A table of a page, read, so that a test can hold it against what it speaks of. */

/** The rows of the first table behind a heading, without its head. Throws when there is none. */
export function readTable(page: string, heading: string): readonly (readonly string[])[] {
  const lines = page.split('\n');
  const from = lines.findIndex((line) => line.replace(/^#+ /, '') === heading && line.startsWith('#'));
  const start = lines.findIndex((line, index) => index > from && line.startsWith('|'));
  const next = lines.findIndex((line, index) => index > from && line.startsWith('#'));
  if (from === -1 || start === -1 || (next !== -1 && next < start))
    throw new Error(`the page has no table below the heading "${heading}"`);
  const length = lines.slice(start).findIndex((line) => !line.startsWith('|'));
  return lines.slice(start + 2, length === -1 ? undefined : start + length).map(readRow);
}

function readRow(line: string): readonly string[] {
  return line
    .trim()
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((one) => one.trim().replaceAll('\\|', '|'));
}
