/** Words of a POSIX shell. Source: POSIX.1-2024, Shell Command Language 2.2.2 (single quotes keep every character). */

/** `text` as one word of any POSIX shell. A NUL cannot be in one and must not be in `text`. */
export function quoteShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A command over several lines: the program, then each option with its words, quoted unless marked as {@link expression}. */
export function formatCommand(
  program: string,
  options: readonly (readonly [string, ...(string | ShellExpression)[]])[],
): string {
  const lines = options.map(([name, ...words]) =>
    [name, ...words.map((word) => (typeof word === 'string' ? quoteShell(word) : word.expression))].join(' '),
  );
  return [program, ...lines].join(' \\\n  ');
}

/** Text that the shell is to expand; whoever makes one has quoted it. */
export interface ShellExpression {
  readonly expression: string;
}

/** Marks shell text that is no literal. */
export function expression(text: string): ShellExpression {
  return { expression: text };
}

/** Text for a comment line. */
export function commentText(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ');
}
