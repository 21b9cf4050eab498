/** The patterns of sshd's configuration: names with `*` and `?`, and the files that an `Include` means. Source: ssh_config(5), glob(7). */
import { posix } from 'node:path';

/** Whether `text` matches a pattern of `*` and `?`. */
export function matchesPattern(text: string, pattern: string): boolean {
  return toExpression(pattern, false).test(text);
}

/** Whether an entry of `AllowUsers` or `DenyUsers`, `name` or `name@from`, speaks of the user. */
export function matchesUser(entry: string, user: string): { readonly user: boolean; readonly from: string } {
  const at = entry.lastIndexOf('@');
  const pattern = at < 0 ? entry : entry.slice(0, at);
  return { user: matchesPattern(user, pattern), from: at < 0 ? '*' : entry.slice(at + 1) };
}

/**
 * Paths that a pattern of `Include` means, sorted as sshd reads them. `list` gives the names in a folder, none when there
 * is no such folder. Paths without a pattern are given as they are, there or not.
 */
export function expandInclude(
  pattern: string,
  list: (folder: string) => readonly string[],
): readonly string[] {
  const absolute = pattern.startsWith('/') ? pattern : posix.join(SSH_FOLDER, pattern);
  if (!MAGIC.test(absolute)) return [absolute];
  let paths: readonly string[] = ['/'];
  for (const part of absolute.split('/').filter(Boolean)) {
    paths = MAGIC.test(part)
      ? paths.flatMap((folder) => matchNames(part, list(folder)).map((name) => posix.join(folder, name)))
      : paths.map((folder) => posix.join(folder, part));
  }
  return paths.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Where sshd looks for what an `Include` names without a folder. */
export const SSH_FOLDER = '/etc/ssh';

const MAGIC = /[*?[\\]/;

function matchNames(pattern: string, names: readonly string[]): readonly string[] {
  const expression = toExpression(pattern, true);
  // A pattern must name a leading dot itself.
  return names.filter((name) => expression.test(name) && (!name.startsWith('.') || pattern.startsWith('.')));
}

function toExpression(pattern: string, isGlob: boolean): RegExp {
  let source = '';
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern.charAt(i);
    if (character === '*') source += '[^]*';
    else if (character === '?') source += '[^]';
    else if (isGlob && character === '\\' && i + 1 < pattern.length)
      source += escapeCharacter(pattern.charAt(++i));
    else if (isGlob && character === '[') {
      const set = /^\[([!^]?)(\]?[^\]]*)\]/.exec(pattern.slice(i));
      if (set === null) source += '\\[';
      else {
        source += `[${set[1] === '' ? '' : '^'}${(set[2] ?? '').replace(/[\]\\[^]/g, '\\$&')}]`;
        i += set[0].length - 1;
      }
    } else source += escapeCharacter(character);
  }
  return new RegExp(`^${source}$`, 'u');
}

function escapeCharacter(character: string): string {
  return character.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}
