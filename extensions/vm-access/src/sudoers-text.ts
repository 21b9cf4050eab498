/** Lines of sudoers: the rules of one user, and taking a user's rules out of a file of several. */

/** The name of the file with a user's rules. Files with a dot in their name are not read, and the last file wins. */
export function ownSudoersFile(username: string): string {
  // No user name has a plus, so no two users have the same file.
  return `zz-vm-access-${username.replaceAll('.', '+')}`;
}

/** The rules: every command as anybody. `ownPassword`: sudo would otherwise ask for another user's. */
export function formatRules(
  username: string,
  { passwordless, ownPassword }: { readonly passwordless: boolean; readonly ownPassword: boolean },
): string {
  const rule = `${username} ALL=(ALL:ALL) ${passwordless ? 'NOPASSWD: ' : ''}ALL`;
  const defaults = `Defaults:${username} !targetpw, !rootpw, !runaspw`;
  return `# Written by VM Access.\n${ownPassword ? `${defaults}\n` : ''}${rule}\n`;
}

/** A text without the rules that are for this user alone; everything else stays byte for byte. */
export function withoutUser(text: string, username: string): string {
  return splitRules(text)
    .filter((rule) => firstWord(rule) !== username && !isDefaultsOf(rule, username))
    .join('');
}

/** True when a rule of the text names the user: alone, in a list, or in an alias. */
export function namesUser(text: string, username: string): boolean {
  return splitRules(text).some((rule) => {
    const bare = rule.replace(/^\s*#.*/, '').replace(/\s#.*/, '');
    return bare.split(/[\s,=:"!()]+/).includes(username);
  });
}

/** Rules with their line ends; a line that ends with a backslash goes on in the next one. */
function splitRules(text: string): readonly string[] {
  return text.match(/(?:[^\\\n]|\\[\s\S])*\n|(?:[^\\\n]|\\[\s\S])+\\?$|\\$/g) ?? [];
}

/** A list (`alice, bob ALL=…`) has another first word or a comma behind it. */
function firstWord(rule: string): string | undefined {
  return /^\s*"?([^\s,"]+)"?\s+(?!,)\S/.exec(rule)?.[1];
}

function isDefaultsOf(rule: string, username: string): boolean {
  return /^\s*Defaults:\s*(\S+)\s/.exec(rule)?.[1] === username;
}
