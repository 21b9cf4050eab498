/**
 * A page of `docs` as its test sees it: files that a reader is told to write, and commands that a reader is told to run,
 * in the order of the page.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../handlerkit-command.ts';

/** One thing that a page tells its reader to do. */
export type PageStep =
  | { readonly kind: 'file'; readonly line: number; readonly name: string; readonly text: string }
  | {
      readonly kind: 'command';
      readonly line: number;
      readonly command: string;
      /** Lines that the command prints, in this order, perhaps with others between them. */
      readonly output: readonly string[];
      /** Exit code that the page promises with a last line `exit N`; 0 without it. */
      readonly exitCode: number;
      /** Whether the page shows `^C` behind the output: the command goes on until its reader ends it. */
      readonly isInterrupted: boolean;
    };

/** A page, read. */
export interface Page {
  /** Path in the repository, such as `docs/testing.md`. */
  readonly path: string;
  readonly text: string;
  readonly steps: readonly PageStep[];
}

/** All pages of `docs` that are written by hand, sorted by name. Throws for a block of code of which nobody can say whether it is true. */
export function readPages(): readonly Page[] {
  return readdirSync(join(REPOSITORY, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .sort()
    .map((name) => {
      const path = `docs/${name}`;
      const text = readFileSync(join(REPOSITORY, path), 'utf8');
      return { path, text, steps: readSteps(path, text) };
    });
}

/**
 * The steps of a page's blocks: `console` holds commands (after `$ `; a line that ends in `\` goes on) and what they print, with
 * `^C` where the reader ends a command that goes on; a language with a file name (`ts src/handler.ts`) is that file; `text` is a picture and says nothing that could be false.
 */
export function readSteps(path: string, text: string): readonly PageStep[] {
  const steps: PageStep[] = [];
  for (const match of text.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)) {
    const [, info = '', body = ''] = match;
    const line = text.slice(0, match.index).split('\n').length;
    const [language = '', name, ...rest] = info.trim().split(/\s+/);
    if (language === 'text') continue;
    if (language === 'console') steps.push(...readCommands(body, line));
    else if (name !== undefined && rest.length === 0) steps.push({ kind: 'file', line, name, text: body });
    else
      throw new Error(`${path}:${line}: a block is "console", "text", or has a language and a file's name`);
  }
  return steps;
}

function readCommands(body: string, blockLine: number): PageStep[] {
  const steps: PageStep[] = [];
  let line = blockLine;
  const lines = body.split('\n');
  for (let at = 0; at < lines.length; at++) {
    line++;
    const text = lines[at] ?? '';
    if (!text.startsWith('$ ')) continue;
    let command = text.slice(2);
    while (command.endsWith('\\')) command = `${command}\n${lines[++at] ?? ''}`;
    const end = lines.findIndex((other, index) => index > at && other.startsWith('$ '));
    const printed = lines.slice(at + 1, end === -1 ? undefined : end).filter((one) => one.trim() !== '');
    const exit = /^exit (\d+)$/.exec(printed.at(-1) ?? '');
    const shown = exit === null ? printed : printed.slice(0, -1);
    const isInterrupted = shown.at(-1) === '^C';
    const output = isInterrupted ? shown.slice(0, -1) : shown;
    steps.push({ kind: 'command', line, command, output, exitCode: Number(exit?.[1] ?? 0), isInterrupted });
  }
  return steps;
}
