import { expect, it } from 'vitest';
import { checkOutputBlobs, readOutputBlobs } from './output-blob-settings.ts';

const BLOB = 'https://a.blob.core.windows.net/c/out.txt';
const SIGNED = `${BLOB}?sv=1&sig=canary`;
type Half = Record<string, unknown>;

it.each<[Half, Half]>([
  [{}, {}],
  [{ outputBlobUri: '', errorBlobUri: '' }, {}],
  [{ outputBlobUri: SIGNED }, { errorBlobUri: SIGNED }],
  [{ outputBlobUri: BLOB, errorBlobUri: BLOB }, { managedIdentity: {} }],
  [{}, { outputBlobUri: 'https://a.blob.other.example/c/b?sig=x', managedIdentity: {} }],
])('%j and protected %j have no problem', (open, hidden) => {
  expect(checkOutputBlobs(open, hidden)).toEqual([]);
});

it.each<[Half, Half, string]>([
  [{ outputBlobUri: SIGNED }, { outputBlobUri: SIGNED }, "'outputBlobUri' was specified both"],
  [{ errorBlobUri: 'canary' }, {}, "'errorBlobUri' must be the https URL of a blob"],
  [{ errorBlobUri: SIGNED.replace('https', 'http') }, {}, "'errorBlobUri' must be the https URL"],
  [{ outputBlobUri: 'https://example.com/c/b?sig=canary' }, {}, 'must be the https URL of a blob'],
  [{ outputBlobUri: BLOB }, {}, "'outputBlobUri' must hold a SAS"],
  [
    { outputBlobUri: 'https://a.blob.core.canary.example/c/b' },
    { managedIdentity: {} },
    "'outputBlobUri' names no storage host of Azure",
  ],
])('%j and protected %j: %s', (open, hidden, text) => {
  const problems = checkOutputBlobs(open, hidden);
  expect(problems).toEqual([expect.stringContaining(text)]);
  expect(problems.join()).not.toContain('canary');
});

it('gives the URL of each output, from whichever half', () => {
  expect(readOutputBlobs({ outputBlobUri: BLOB }, { errorBlobUri: SIGNED })).toEqual({
    stdout: new URL(BLOB),
    stderr: new URL(SIGNED),
  });
  expect(readOutputBlobs({}, { errorBlobUri: '' })).toEqual({ stdout: undefined, stderr: undefined });
});
