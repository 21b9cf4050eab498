import { expect, it } from 'vitest';
import { keyPaths } from './json-shapes.ts';
import { readSteps } from './page.ts';
import { readTable } from './page-table.ts';

const block = (info: string, body: string) => `Words.\n\n\`\`\`${info}\n${body}\`\`\`\n`;

it('reads files, and commands with what they print and how they end', () => {
  const text =
    block('ts src/handler.ts', 'export {};\n') +
    block('console', '$ one \\\n  --two\nout\n\nmore\n$ three\nexit 1\n$ four\non\n^C\nexit 130\n') +
    block('text', 'a picture\n');
  const ended = { kind: 'command', exitCode: 0, isInterrupted: false };
  expect(readSteps('docs/x.md', text)).toEqual([
    { kind: 'file', line: 3, name: 'src/handler.ts', text: 'export {};\n' },
    { ...ended, line: 9, command: 'one \\\n  --two', output: ['out', 'more'] },
    { ...ended, line: 13, command: 'three', output: [], exitCode: 1 },
    { ...ended, line: 15, command: 'four', output: ['on'], exitCode: 130, isInterrupted: true },
  ]);
});

it.each([['sh'], [''], ['ts one two']])(
  'refuses a block %j, of which nobody could say whether it is true',
  (info) => {
    expect(() => readSteps('docs/x.md', block(info, 'x\n'))).toThrow('docs/x.md:3: a block is');
  },
);

it('reads the table below a heading, and no other', () => {
  const text =
    '# One\n\n| a | b |\n| - | - |\n| `x` | y \\| z |\n\n## Two\n\nWords.\n\n## Three\n| c |\n| - |\n';
  expect(readTable(text, 'One')).toEqual([['`x`', 'y | z']]);
  expect(readTable(text, 'Three')).toEqual([]);
  expect(() => readTable(text, 'Two')).toThrow('no table below the heading "Two"');
  expect(() => readTable(text, 'Four')).toThrow('no table below the heading "Four"');
});

it.each([
  [[{ a: 1, b: { c: null } }, { d: [] }], [], ['[].a', '[].b', '[].b.c', '[].d']],
  [{ a: [{ b: 1 }, { c: [1] }] }, [], ['a', 'a[].b', 'a[].c']],
  [{ settings: { own: { more: 1 }, other: 2 }, end: 3 }, ['settings.*'], ['end', 'settings', 'settings.*']],
  [[], [], []],
])('knows the keys of %j', (value, open, keys) => {
  expect(keyPaths(value, open)).toEqual(keys);
});
