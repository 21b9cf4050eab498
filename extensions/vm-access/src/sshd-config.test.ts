import { describe, expect, it } from 'vitest';
import { parseSshdConfig, replaceLine, setForUser, setGlobally } from './sshd-config.ts';

const YES = 'PasswordAuthentication yes';

describe('parseSshdConfig', () => {
  it.each([
    ['PasswordAuthentication no', 'passwordauthentication', ['no']],
    ['passwordauthentication NO', 'passwordauthentication', ['NO']],
    ['   \tPasswordAuthentication   no  ', 'passwordauthentication', ['no']],
    ['PasswordAuthentication=no', 'passwordauthentication', ['no']],
    ['PasswordAuthentication = no', 'passwordauthentication', ['no']],
    ['"PasswordAuthentication" no', 'passwordauthentication', ['no']],
    ['PasswordAuthentication "no"', 'passwordauthentication', ['no']],
    ['PasswordAuthentication no # never say yes', 'passwordauthentication', ['no']],
    ['PasswordAuthentication no\r', 'passwordauthentication', ['no']],
    ['AllowUsers alice bob@10.0.0.0/8', 'allowusers', ['alice', 'bob@10.0.0.0/8']],
    [`Match Exec 'true "x"' User "a b"`, 'match', ['Exec', 'true "x"', 'User', 'a b']],
    ['Banner /etc/my\\ banner#1', 'banner', ['/etc/my banner#1']],
    ['ForceCommand echo \\"hi\\"', 'forcecommand', ['echo', '"hi"']],
  ])('reads %j as sshd does (W31)', (line, keyword, args) => {
    expect(parseSshdConfig(line)).toMatchObject([{ keyword, args, line: 1 }]);
  });

  it.each([
    ['# PasswordAuthentication no'],
    ['#PasswordAuthentication no'],
    ['  # Match all'],
    [''],
    [' \t'],
    ['"open quote'],
  ])('finds nothing in %j (W31)', (line) => {
    expect(parseSshdConfig(line)).toEqual([]);
  });

  it('counts lines as sshd does in its messages', () => {
    const text = '# one\n\nPort 22\nMatch all\n  X11Forwarding no';
    expect(parseSshdConfig(text).map(({ line }) => line)).toEqual([3, 4, 5]);
  });
});

describe('setGlobally', () => {
  it.each([
    ['replaces the line that decides', 'Port 22\nPasswordAuthentication no # never\nUsePAM yes\n', 2],
    ['finds the keyword in any case and form', 'Port 22\n\t"passwordauthentication"=no\nUsePAM yes\n', 2],
  ])('%s (W31)', (_what, text, line) => {
    const lines = text.split('\n');
    const replaced = `# Replaced by VM Access (Handlerkit): ${lines[line - 1]?.trim()}`;
    const expected = [...lines.slice(0, line - 1), replaced, YES, ...lines.slice(line)];
    expect(setGlobally(text, YES)).toBe(expected.join('\n'));
  });

  it.each([
    ['an included file comes before', 'Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n'],
    ['the only such line is in a Match', 'Match User bob\n  PasswordAuthentication no\n'],
    ['the only such line is a comment', '#PasswordAuthentication no\nPort 22\n'],
  ])('adds a line before everything when %s (W31)', (_what, text) => {
    const [first, second, ...rest] = setGlobally(text, YES)
      .split('\n')
      .filter((line) => !/^#Pass/.test(line));
    expect([first, second]).toEqual(['# Added by VM Access (Handlerkit):', YES]);
    expect(rest.join('\n')).toBe(text.replace(/^#Pass.*\n/, ''));
  });

  it('mends a missing newline at the end of a file that says nothing', () => {
    expect(setGlobally('# nothing', YES)).toBe(`# nothing\n${YES}\n`);
  });
});

describe('setForUser', () => {
  it('puts the block of the user before every other Match (W31)', () => {
    const text = 'Port 22\nMatch Group staff\n  PasswordAuthentication no\n';
    const block = 'Match User alice\n    PasswordAuthentication yes\n';
    expect(setForUser(text, 'alice', YES)).toBe(text.replace('Match Group', `${block}\nMatch Group`));
  });

  it('adds it at the end where there is none, and once only', () => {
    const once = setForUser('Port 22', 'alice', YES);
    expect(once).toBe('Port 22\n\nMatch User alice\n    PasswordAuthentication yes\n');
    expect(setForUser(once, 'alice', YES)).toBe(once);
  });
});

it('replaces one line and no other byte', () => {
  expect(replaceLine('a\r\nb\n\nc', 2, ['x', 'y'])).toBe('a\r\nx\ny\n\nc');
});
