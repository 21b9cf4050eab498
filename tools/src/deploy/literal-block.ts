/** Objects and lists as Bicep and HCL lay them out: one member a line, without commas of their own. */

/** `open`, the members two spaces deeper than `indent`, `close`; on one line when there are none. */
export function formatBlock(open: string, members: readonly string[], close: string, indent: number): string {
  if (members.length === 0) return `${open}${close}`;
  const inner = ' '.repeat(indent + 2);
  return `${open}\n${members.map((member) => `${inner}${member}`).join('\n')}\n${' '.repeat(indent)}${close}`;
}
