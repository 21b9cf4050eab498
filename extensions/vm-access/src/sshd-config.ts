/**
 * The text of a configuration file of sshd: its directives, and edits of single lines that leave every other byte as it
 * is. What sshd makes of it all is asked from sshd itself (see `effective-sshd.ts`). Source: sshd_config(5).
 */

/** One line that says something. */
export interface SshdDirective {
  /** In lower case: sshd reads keywords in any. */
  readonly keyword: string;
  /** Its words, without their quotes and without a comment at the end. */
  readonly args: readonly string[];
  /** Counted from 1. */
  readonly line: number;
  /** The line as it stands there, without its end. */
  readonly text: string;
}

/**
 * The directives of a file in their order, `Match` and `Include` among them. Understands what sshd does: `Keyword=value`,
 * quotes, comments. Refuses nothing: a line that sshd would refuse gives the words that can be made out.
 */
export function parseSshdConfig(text: string): readonly SshdDirective[] {
  return text.split('\n').flatMap((raw, index) => {
    const line = raw.replace(/[\s]+$/, '');
    const [keyword, rest] = takeKeyword(line);
    if (keyword === '' || keyword.startsWith('#')) return [];
    return [{ keyword: keyword.toLowerCase(), args: splitArguments(rest), line: index + 1, text: line }];
  });
}

/** The directives that stand before the first `Match`: they hold for everybody. */
export function globalDirectives(directives: readonly SshdDirective[]): readonly SshdDirective[] {
  const end = directives.findIndex(({ keyword }) => keyword === 'match');
  return end < 0 ? directives : directives.slice(0, end);
}

/**
 * Gives `text` with `directive` (`PasswordAuthentication yes`) for everybody, where it wins over the rest of the file and
 * over all that the file includes: in place of the first line of that keyword when no `Include` is before it, else before
 * the first directive. A replaced line stays as a comment.
 */
export function setGlobally(text: string, directive: string): string {
  const keyword = firstWord(directive);
  const directives = globalDirectives(parseSshdConfig(text));
  const own = directives.find((entry) => entry.keyword === keyword);
  const include = directives.find((entry) => entry.keyword === 'include');
  if (own !== undefined && (include === undefined || own.line < include.line)) {
    return replaceLine(text, own.line, [`${REPLACED}${own.text.trim()}`, directive]);
  }
  const first = parseSshdConfig(text)[0];
  if (first === undefined) return withFinalNewline(text) + endLines([directive]);
  return insertBefore(text, first.line, [ADDED, directive]);
}

/**
 * Gives `text` with a block of its own for one user, before every other `Match` of the file, so that it wins over them. A
 * block for just that user which says so already is not repeated.
 */
export function setForUser(text: string, user: string, directive: string): string {
  const directives = parseSshdConfig(text);
  const match = directives.find(({ keyword }) => keyword === 'match');
  const block = [`Match User ${user}`, `    ${directive}`];
  if (match === undefined) return withFinalNewline(text) + endLines(['', ...block]);
  const next = directives[directives.indexOf(match) + 1];
  if (match.text === block[0] && next?.text.trim() === directive) return text;
  return insertBefore(text, match.line, [...block, '']);
}

/** Gives `text` with one line, counted from 1, replaced by others. */
export function replaceLine(text: string, line: number, lines: readonly string[]): string {
  const all = text.split('\n');
  return [...all.slice(0, line - 1), ...lines, ...all.slice(line)].join('\n');
}

const ADDED = '# Added by VM Access (Handlerkit):';
const REPLACED = '# Replaced by VM Access (Handlerkit): ';
const SPACE = ' \t\r\n';

function insertBefore(text: string, line: number, lines: readonly string[]): string {
  const all = text.split('\n');
  return [...all.slice(0, line - 1), ...lines, ...all.slice(line - 1)].join('\n');
}

function firstWord(directive: string): string {
  return parseSshdConfig(directive)[0]?.keyword ?? '';
}

function endLines(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}

function withFinalNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

/** The keyword and what follows it. sshd skips one empty word before it, so that space or `=` may begin the line. */
function takeKeyword(line: string): readonly [string, string] {
  const [first, rest] = takeDelimited(line);
  return first === '' ? takeDelimited(rest) : [first, rest];
}

/** A word that ends at space, at one `=` or where its quotes close. */
function takeDelimited(text: string): readonly [string, string] {
  let end = 0;
  while (end < text.length && !`${SPACE}"=`.includes(text.charAt(end))) end++;
  if (text.charAt(end) === '"') {
    const close = text.indexOf('"', end + 1);
    if (close < 0) return ['', ''];
    return [text.slice(0, end) + text.slice(end + 1, close), text.slice(skipSpace(text, close + 1))];
  }
  let next = skipSpace(text, end + 1);
  if (text.charAt(end) !== '=' && text.charAt(next) === '=') next = skipSpace(text, next + 1);
  return [text.slice(0, end), text.slice(next)];
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && SPACE.includes(text.charAt(at))) at++;
  return at;
}

/** Words at space; either quote keeps space, a backslash keeps a quote, itself and, outside of quotes, a space. */
function splitArguments(text: string): readonly string[] {
  const words: string[] = [];
  let at = skipSpace(text, 0);
  while (at < text.length && text.charAt(at) !== '#') {
    let word = '';
    let quote = '';
    for (; at < text.length; at++) {
      const character = text.charAt(at);
      const next = text.charAt(at + 1);
      if (quote === '' && ' \t'.includes(character)) break;
      if (character === '\\' && next !== '' && (`'"\\`.includes(next) || (quote === '' && next === ' '))) {
        word += next;
        at++;
      } else if (quote === '' ? `'"`.includes(character) : character === quote) {
        quote = quote === '' ? character : '';
      } else {
        word += character;
      }
    }
    words.push(word);
    at = skipSpace(text, at);
  }
  return words;
}
