import { expect, it } from 'vitest';
import { shownProtectedKey } from './protected-key.ts';

it.each<[string, string]>([
  ['pasword', 'pasword'],
  ['api-key_2', 'api-key_2'],
  ['n'.repeat(40), 'n'.repeat(40)],
  ['n'.repeat(41), '[hidden] (41 characters)'],
  ['storage account key', 'storage account key'],
  ['AccountKey=Zm9v', '[hidden] (15 characters)'],
  ['correct horse battery', '[hidden] (21 characters)'],
  ['1f2e3d', '[hidden] (6 characters)'],
  ['pass\nword', '[hidden] (9 characters)'],
  ['', '[hidden] (0 characters)'],
])('of the key %j is shown: %s', (key, shown) => {
  expect(shownProtectedKey(key, ['password', 'storageAccountKey'])).toBe(shown);
});
