/** What the linter does not check: names, sizes and headers of files, unfinished work, and the origin of golden files. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  isTest,
  listFiles,
  REPOSITORY,
  readModules,
  readWorkspaces,
  type SourceModule,
} from './repository.ts';

/** Names that say nothing of what is inside. */
const EMPTY_NAMES = ['utils', 'util', 'helpers', 'helper', 'common', 'types', 'manager', 'misc', 'shared'];
const MOST_LINES = 400;
/** Put together, so that this file does not find itself. */
const UNFINISHED = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`);
/** Names of this project's making that a reader outside could not follow. */
const MACHINE_PATHS = new RegExp(`(^|[\\s'"\`(])/(${['work', 'root'].join('|')})/[a-z]`, 'm');

describe('the repository', () => {
  const modules = readModules();
  const files = readWorkspaces().flatMap(({ folder }) => listFiles(join(REPOSITORY, folder)));

  test('has files to look at', () => {
    expect(modules.length).toBeGreaterThan(100);
  });

  test('names its modules and folders in kebab-case, each after one subject', () => {
    expect(modules.flatMap(({ path }) => checkName(path))).toEqual([]);
  });

  test(`has no module of more than ${MOST_LINES} lines, tests aside`, () => {
    expect(modules.flatMap((module) => checkLength(module))).toEqual([]);
  });

  test('begins every module with a comment that says what it is, unit tests aside', () => {
    expect(modules.flatMap((module) => checkHeader(module))).toEqual([]);
  });

  test('leaves nothing unfinished and names no path of a developer', () => {
    expect(modules.flatMap((module) => checkText(module))).toEqual([]);
  });

  test('names the origin of its golden files in a README beside them', () => {
    expect(goldenFoldersWithoutReadme(files, (path) => existsSync(join(REPOSITORY, path)))).toEqual([]);
    for (const folder of goldenFolders(files)) {
      expect(readFileSync(join(REPOSITORY, folder, 'README.md'), 'utf8').length, folder).toBeGreaterThan(80);
    }
  });
});

describe('a file is refused', () => {
  test.each([
    'sdk/src/statusFile.ts',
    'sdk/src/Status.ts',
    'tools/src/vm_files/disk.ts',
    'sdk/src/http-utils.ts',
  ])('for its name: %s', (path) => {
    expect(checkName(path)).toHaveLength(1);
  });

  test('for its length', () => {
    const text = 'x\n'.repeat(MOST_LINES + 1);
    expect(checkLength({ path: 'sdk/src/a.ts', text })).toHaveLength(1);
    expect(checkLength({ path: 'sdk/src/a.test.ts', text })).toEqual([]);
  });

  test.each(['import x from "y";\n/** Late. */', '/** */\nimport "y";', '// x\n'])(
    'for its beginning: %j',
    (text) => {
      expect(checkHeader({ path: 'sdk/src/a.ts', text })).toHaveLength(1);
    },
  );

  test.each([`// ${'TO' + 'DO'}: later`, `/* ${'FIX' + 'ME'} */`, `const x = '/${'root'}/notes';`])(
    'for its text: %s',
    (text) => {
      expect(checkText({ path: 'sdk/src/a.ts', text })).toHaveLength(1);
    },
  );

  test('for having no README beside it, when it is golden', () => {
    const files = ['sdk/src/contract/fixtures/golden/0.status', 'sdk/src/contract/fixtures/other/0.status'];
    expect(goldenFoldersWithoutReadme(files, () => false)).toEqual(['sdk/src/contract/fixtures/golden']);
    expect(goldenFoldersWithoutReadme(files, () => true)).toEqual([]);
  });
});

function checkName(path: string): string[] {
  const parts = path.replace(/(\.test|\.d)?\.ts$/, '').split('/');
  const isKebab = parts.every((part) => /^[a-z0-9]+(-[a-z0-9]+)*$/.test(part));
  // A package manager is a thing of the field.
  const words = (parts.at(-1) ?? '').replace('package-manager', 'apt').split('-');
  if (!isKebab) return [`${path} is not in kebab-case`];
  return words.some((word) => EMPTY_NAMES.includes(word)) ? [`${path} has a name that says nothing`] : [];
}

function checkLength({ path, text }: SourceModule): string[] {
  const lines = text.split('\n').length - 1;
  return lines > MOST_LINES && !isTest(path) ? [`${path} has ${lines} lines`] : [];
}

function checkHeader({ path, text }: SourceModule): string[] {
  const comment = /^(?:#!.*\n|\/\/\/ <reference.*\n)*\s*(?:\/\*\*([\s\S]*?)\*\/|((?:\/\/.*\n)+))/.exec(text);
  const words = (comment?.[1] ?? comment?.[2] ?? '').split(/\s+/).filter((word) => /[a-z]/i.test(word));
  return words.length < 3 && !path.endsWith('.test.ts')
    ? [`${path} does not begin with a comment that says what it is`]
    : [];
}

function checkText({ path, text }: SourceModule): string[] {
  return text
    .split('\n')
    .flatMap((line, index) =>
      UNFINISHED.test(line) || MACHINE_PATHS.test(line) ? [`${path}:${index + 1} ${line.trim()}`] : [],
    );
}

function goldenFolders(files: readonly string[]): string[] {
  return [...new Set(files.filter((path) => dirname(path).endsWith('/golden')).map((path) => dirname(path)))];
}

function goldenFoldersWithoutReadme(files: readonly string[], exists: (path: string) => boolean): string[] {
  return goldenFolders(files).filter((folder) => !exists(`${folder}/README.md`));
}
