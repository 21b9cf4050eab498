import { expect, it } from 'vitest';
import { checkFileUris, readFileUris } from './file-uri.ts';

const SUM = 'Ab'.repeat(32);

it('a URL and an object with a checksum are both entries', () => {
  const list = ['https://h/a', { uri: 'https://h/b', sha256: SUM }, { uri: 'https://h/c' }];
  expect(checkFileUris(list)).toEqual([]);
  expect(readFileUris(list)).toEqual([
    'https://h/a',
    { uri: 'https://h/b', sha256: SUM.toLowerCase() },
    { uri: 'https://h/c' },
  ]);
});

it.each<[unknown, string]>([
  [null, 'fileUris.0: Invalid type. Expected: string, given: null'],
  [5, 'fileUris.0: Invalid type. Expected: string, given: integer'],
  [['https://h/a'], 'fileUris.0: Invalid type. Expected: string, given: array'],
  ['canary', "fileUris.0: Does not match format 'uri'"],
  [{}, 'fileUris.0: uri is required'],
  [{ uri: 'canary' }, "fileUris.0.uri: Does not match format 'uri'"],
  [{ uri: null }, 'fileUris.0.uri: Invalid type. Expected: string, given: null'],
  [{ uri: 'https://h/a', sha256: 'canary' }, "fileUris.0.sha256: Does not match pattern '^[0-9A-Fa-f]{64}$'"],
  [{ uri: 'https://h/a', sha256: `${SUM}\n` }, 'fileUris.0.sha256: Does not match pattern'],
  [{ uri: 'https://h/a', sha256: null }, 'fileUris.0.sha256: Invalid type. Expected: string, given: null'],
  [{ uri: 'https://h/a', sha1: 'canary' }, 'fileUris.0: Additional property sha1 is not allowed'],
])('%j: %s', (entry, text) => {
  const problems = checkFileUris([entry]);
  expect(problems).toHaveLength(1);
  expect(problems[0]?.text).toContain(text);
  expect(problems[0]?.text).not.toContain('canary');
});
