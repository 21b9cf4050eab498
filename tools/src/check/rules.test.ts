import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ALL_RULES } from './rules.ts';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

/** What a reader can find without this repository's authors: each with what it is. */
const PUBLIC: readonly [RegExp, string][] = [
  [/^[a-z_.-]+\(\d\)$/, 'a manual page'],
  [/^WALinuxAgent 2\.15 (ga|common)\/[\w/]+\.py /, 'a file of the agent, and the function'],
  [/^common\/[\w/]+\.py \w/, 'one more file of the agent'],
  [/^CPython (3\.12 )?Lib\/zipfile/, "Python's own zipfile"],
  [/^PKWARE APPNOTE\.TXT [\d., ]+$/, 'the definition of the zip format'],
  [/^Azure\/azure-linux-extensions docs\/[\w-]+\.md$/, 'a page of a public repository'],
  [/learn\.microsoft\.com\/azure\/[\w/-]+$/, "a page of Microsoft's documentation"],
];

describe('the rules of check', () => {
  it.each(Object.entries(ALL_RULES))('%s names sources that a reader can open', (_id, { source }) => {
    for (const one of source.split('; ')) {
      const page = /^Handlerkit (\S+)$/.exec(one)?.[1];
      if (page === undefined)
        expect(
          PUBLIC.some(([form]) => form.test(one)),
          one,
        ).toBe(true);
      else expect(existsSync(`${REPOSITORY}${page}`), one).toBe(true);
    }
  });
});
