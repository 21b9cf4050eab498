/** The contract's words stay in `sdk/src/contract`: found elsewhere in product code, and the proof that each is found. */
import { describe, expect, test } from 'vitest';
import {
  type Exception,
  FOLDERS,
  findContractWords,
  KEYS,
  NUMBERS,
  PROSE_WORDS,
  SHARED_KEYS,
  SUFFIXES,
  TEXTS,
} from './contract-words.ts';
import { isProduct, readModules } from './repository.ts';

/** Every exception names its file, its words and why they are not the agent's there. */
const EXCEPTIONS: readonly Exception[] = [
  {
    file: 'sdk/src/extension-description.ts',
    words: ['updateMode', 'reportHeartbeat', 'continueOnUpdateFailure', 'supportsMultipleExtensions'],
    reason: "extension.json is ours; its section `manifest` has the manifest's names on purpose",
  },
  {
    file: 'tools/src/fabric/goal-state-settings.ts',
    words: ['runtimeSettings', 'handlerSettings', 'protectedSettingsCertThumbprint'],
    reason: 'the goal state is the contract of platform and agent; these names are in it, too, and only here',
  },
];

const CONTRACT = 'sdk/src/contract/';
const product = readModules().filter(({ path }) => isProduct(path));
const inContract = product.filter(({ path }) => path.startsWith(CONTRACT));
const outside = product.filter(({ path }) => !path.startsWith(CONTRACT));

describe('the words of the contract', () => {
  test('are spelled in sdk/src/contract only', () => {
    expect(outside.length).toBeGreaterThan(60);
    expect(outside.flatMap((module) => findContractWords(module, EXCEPTIONS))).toEqual([]);
  });

  test('are all spelled there, so that none of these rules is about nothing', () => {
    const spelled = inContract.flatMap((module) => findContractWords(module, [])).join('\n');
    const words = [
      ...TEXTS,
      ...KEYS,
      ...SHARED_KEYS,
      ...NUMBERS.map(String),
      ...SUFFIXES.map((one) => `.${one}`),
    ];
    expect(words.filter((word) => !spelled.includes(`spells ${word}`))).toEqual([]);
  });

  test('have no exception that nothing needs', () => {
    for (const { file, words } of EXCEPTIONS) {
      const spelled = outside
        .filter(({ path }) => path === file)
        .flatMap((module) => findContractWords(module, []));
      expect(words.filter((word) => !spelled.some((line) => line.endsWith(` ${word}`)))).toEqual([]);
    }
  });
});

describe('a word is found', () => {
  test.each([...TEXTS, ...KEYS, ...SHARED_KEYS, ...PROSE_WORDS])('in a string: %s', (word) => {
    expect(find(`const x = '${word}';`)).toContain(word);
  });

  test.each(KEYS)('as a property: %s', (word) => {
    for (const text of [
      `x.${word};`,
      `y({ ${word}: 1 });`,
      `const { ${word} } = x;`,
      `interface X { ${word}: 1 }`,
    ])
      expect(find(text), text).toEqual([word]);
  });

  test.each([...NUMBERS])('as a number: %d', (number) => {
    expect(find(`const x = ${number};`)).toEqual([String(number)]);
  });

  test.each([
    ['const x = 128 * 1024;', '131072'],
    ['const x = 2 ** 17;', '131072'],
    ['const x = 1 << 17;', '131072'],
    ['const x = 131_072;', '131072'],
    ['const x = `${sequence}.settings`;', '.settings'],
    ["const x = name.endsWith('.status');", '.status'],
    ['const x = /^\\d+\\.settings$/;', '.settings'],
    ["const x = '*.prv';", '.prv'],
    ['const x = `$LIB/${thumbprint}.crt`;', '.crt'],
    ["const x = join(base, 'config');", 'config/'],
    ["const x = machine.path(base, 'status', name);", 'status/'],
    ['const x = `${base}/status/${name}`;', 'status/'],
    ['const x = `{"substatus": []}`;', 'substatus'],
    ['const x = /HandlerManifest\\.json/;', 'HandlerManifest.json'],
    ['const x = `cat "$base/mrseq"`;', 'mrseq'],
    ["const x = settings['publicSettings'];", 'publicSettings'],
    ['const x = env.VERSION;', 'VERSION'],
  ])('in: %s', (text, word) => {
    expect(find(text)).toEqual([word]);
  });
});

describe('nothing is found', () => {
  test.each([
    ["import { HandlerState } from './handlerManifest.ts'; // reads HandlerManifest.json"],
    ['interface X { readonly publicSettings: string; readonly substatus: number }'],
    ['const x = settings.publicSettings ?? status.substatus;'],
    ["const x = 'the substatus of the run';"],
    ["type X = Pick<Settings, 'publicSettings'> & Status['substatus'];"],
    ["const x = member(root, 'status');"],
    ["const x = 'GIT_VERSION';"],
    ["const x = '/proc/self/status';"],
    ["const x = '/etc/ssh/sshd_config';"],
    ['const x = 3 * 1000;'],
    ["const x = result.status(); const y = 'statuses.status_code';"],
  ])('in: %s', (text) => {
    expect(find(text)).toEqual([]);
  });

  test('when the file is excepted, and only there', () => {
    const exceptions = [{ file: 'tools/src/a.ts', words: ['mrseq'], reason: 'a test' }];
    const text = "const x = 'mrseq';";
    expect(findContractWords({ path: 'tools/src/a.ts', text }, exceptions)).toEqual([]);
    expect(findContractWords({ path: 'tools/src/b.ts', text }, exceptions)).toEqual([
      'tools/src/b.ts:1 spells mrseq',
    ]);
  });

  test('by way of an imported name', () => {
    expect(FOLDERS.length).toBeGreaterThan(0);
    expect(
      find("import { CONFIG_FOLDER } from '@handlerkit/sdk/contract'; join(base, CONFIG_FOLDER);"),
    ).toEqual([]);
  });
});

function find(text: string): string[] {
  return findContractWords({ path: 'tools/src/example.ts', text }, []).map((line) =>
    line.replace(/^.* spells /, ''),
  );
}
