import { describe, expect, it } from 'vitest';
import { addKeys, countKeys, findMissing, holdsOnlyKeys } from './authorized-keys-text.ts';
import { parseSshKeys } from './ssh-key.ts';

const DATA = 'AAAAC3NzaC1lZDI1NTE5AAAAIAzMYRvC786Z7+ifP4B/2pBgFge0pjQgM5IN+oQJzU+o';
const OTHER_DATA = 'AAAAC3NzaC1lZDI1NTE5AAAAIAzMYRvC786Z7+ifP4B/2pBgFge0pjQgM5IN+oQJzU+p';
const LINE = `ssh-ed25519 ${DATA} mine`;
const OTHER = `ssh-ed25519 ${OTHER_DATA} other`;

const add = (content: string, keys = LINE): string =>
  addKeys(Buffer.from(content, 'latin1'), parseSshKeys(keys)).content.toString('latin1');

describe('a key is added', () => {
  it.each<[string, string, string]>([
    ['to an empty file', '', `${LINE}\n`],
    ['behind a last line with its newline', `${OTHER}\n`, `${OTHER}\n${LINE}\n`],
    ['behind a last line without one (W25)', OTHER, `${OTHER}\n${LINE}\n`],
    ['behind bytes that are no text', '# \xff\xfe\0\r\n', `# \xff\xfe\0\r\n${LINE}\n`],
    ['behind a comment that names it', `# ${LINE}\n`, `# ${LINE}\n${LINE}\n`],
    ['behind a key that begins like it', `ssh-rsa ${DATA}\n`, `ssh-rsa ${DATA}\n${LINE}\n`],
    [
      'behind a line that only trusts it as an authority',
      `cert-authority ${LINE}\n`,
      `cert-authority ${LINE}\n${LINE}\n`,
    ],
    [
      'in front of a line with options of which sshd would apply the first',
      `${OTHER}\ncommand="x y",no-pty ${LINE}\n`,
      `${LINE}\n${OTHER}\ncommand="x y",no-pty ${LINE}\n`,
    ],
    [
      'in front of such a line without a newline',
      `from="192.0.2.1" ${LINE}`,
      `${LINE}\nfrom="192.0.2.1" ${LINE}`,
    ],
  ])('%s', (_, content, expected) => {
    expect(add(content)).toBe(expected);
    expect(add(expected)).toBe(expected);
  });

  it.each([
    ['as it is', `${LINE}\n`],
    ['with another comment', `ssh-ed25519 ${DATA} else\n`],
    ['without a newline at the end', `${OTHER}\nssh-ed25519\t${DATA}`],
    ['with white space in front and a Windows line end', `  \t${LINE}\r\n${OTHER}\r\n`],
    ['before one with options', `${LINE}\ncommand="x" ${LINE}\n`],
  ])('only if it is not there, which it is %s (W27)', (_, content) => {
    expect(add(content)).toBe(content);
    expect(addKeys(Buffer.from(content), parseSshKeys(LINE)).added).toEqual([]);
  });

  it('with its options, which are a part of what it may do', () => {
    const wanted = `command="a, b" ${LINE}\nfrom="192.0.2.1" ${LINE}`;
    const once = add(`${LINE}\n`, wanted);
    expect(once).toBe(`${wanted}\n${LINE}\n`);
    expect(add(once, wanted)).toBe(once);
    expect(findMissing(Buffer.from(once), parseSshKeys(wanted))).toEqual([]);
    expect(findMissing(Buffer.from(once), parseSshKeys(LINE))).toHaveLength(1);
  });

  it('and the ones that were restricted are named', () => {
    const edit = addKeys(Buffer.from(`command="x" ${LINE}\n`), parseSshKeys(`${OTHER}\n${LINE}`));
    expect(edit.added.map(({ data }) => data)).toEqual([OTHER_DATA, DATA]);
    expect(edit.restricted.map(({ data }) => data)).toEqual([DATA]);
    expect(edit.content.toString()).toBe(`${LINE}\ncommand="x" ${LINE}\n${OTHER}\n`);
  });
});

it('counts the lines with keys', () => {
  expect(countKeys(Buffer.from(`# a\n\n${LINE}\ncommand="x" ${OTHER}\nnonsense\n`))).toBe(2);
});

it.each([
  [true, `${LINE}\n\n${OTHER}`],
  [true, ''],
  [false, `${LINE}\n# secret\n`],
  [false, `command="secret" ${LINE}`],
  [false, 'the secret word'],
  [false, 'ssh-ed25519 c2VjcmV0'],
  [false, 'root:$6$salt$hash:1:0:99999:7:::\n'],
  [false, '-----BEGIN OPENSSH PRIVATE KEY-----\n'],
])('says %s to a file that holds only keys or more: %j', (expected, content) => {
  expect(holdsOnlyKeys(Buffer.from(content))).toBe(expected);
});
