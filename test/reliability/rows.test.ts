/** The table of README.md is whole, and what it names is there: a row whose test was renamed or deleted is found. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { REPOSITORY } from '../handlerkit-command.ts';

const FAULTS = Array.from({ length: 30 }, (_, index) => `A${index + 1}`);
const BAD_INPUTS = ['JSON', 'Schema', 'CSE', 'VMAccess', 'Symlink', 'Packager', 'HandlerEnvironment'].map(
  (group) => `B ${group}`,
);

const rows = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\| (?:A\d|B )/.test(line))
  .map((line) => {
    const [name = '', promise = '', where = ''] = line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim());
    return { name, promise, where };
  });

it('has one row for each fault and each group of bad inputs', () => {
  expect(rows.map(({ name }) => name)).toEqual([...FAULTS, ...BAD_INPUTS]);
});

it.each(rows)('$name is promised, and is tested or says why it cannot be', ({ promise, where }) => {
  expect(promise).not.toBe('');
  const files = [...where.matchAll(/`([^`]+\.ts)`((?:,? "[^"]+")*)/g)].map(([, file = '', titles = '']) => ({
    file,
    titles: [...titles.matchAll(/"([^"]+)"/g)].map(([, title = '']) => title),
  }));
  if (files.length === 0) expect(where).toMatch(/^Cannot be made here: .{20,}/);
  for (const { file, titles } of files) {
    const path = [join(import.meta.dirname, file), join(REPOSITORY, file)].find((one) => existsSync(one));
    expect(path, `${file} is neither here nor in the repository`).toBeDefined();
    const text = readFileSync(path ?? '', 'utf8');
    for (const title of titles) expect(text, `of ${file}`).toContain(title);
  }
});
