import { expect, it } from 'vitest';
import { readSteps } from './page.ts';

const block = (info: string, body: string) => `Words.\n\n\`\`\`${info}\n${body}\`\`\`\n`;

it('reads files, and commands with what they print and how they end', () => {
  const text =
    block('ts src/handler.ts', 'export {};\n') +
    block('console', '$ one \\\n  --two\nout\n\nmore\n$ three\nexit 1\n') +
    block('text', 'a picture\n');
  expect(readSteps('docs/x.md', text)).toEqual([
    { kind: 'file', line: 3, name: 'src/handler.ts', text: 'export {};\n' },
    { kind: 'command', line: 9, command: 'one \\\n  --two', output: ['out', 'more'], exitCode: 0 },
    { kind: 'command', line: 13, command: 'three', output: [], exitCode: 1 },
  ]);
});

it.each([['sh'], [''], ['ts one two']])(
  'refuses a block %j, of which nobody could say whether it is true',
  (info) => {
    expect(() => readSteps('docs/x.md', block(info, 'x\n'))).toThrow('docs/x.md:3: a block is');
  },
);
