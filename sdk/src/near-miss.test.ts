import { expect, it } from 'vitest';
import { editDistance, nearestName } from './near-miss.ts';

const KNOWN = ['commandToExecute', 'script', 'fileUris', 'protected-settings', 'list', 'id'];

it.each<[string, string | undefined]>([
  ['commandtoexecute', 'commandToExecute'],
  ['command_to_execute', 'commandToExecute'],
  ['comandToExecute', 'commandToExecute'],
  ['commandToExceute', 'commandToExecute'],
  ['scripts', 'script'],
  ['protectedSetings', 'protected-settings'],
  ['lsit', 'list'],
  ['ID', 'id'],
  ['it', undefined],
  ['command', undefined],
  ['', undefined],
  ['---', undefined],
  ['x'.repeat(100_000), undefined],
])('the name nearest to %.30s is %s', (name, expected) => {
  expect(nearestName(name, KNOWN)).toBe(expected);
});

it('takes the first of two names that are equally near', () => {
  expect(nearestName('cat', ['car', 'cut'])).toBe('car');
  expect(nearestName('cat', [])).toBeUndefined();
});

it.each<[string, string, number]>([
  ['', '', 0],
  ['', 'abc', 3],
  ['abc', 'abc', 0],
  ['abc', 'abd', 1],
  ['abc', 'acb', 1],
  ['abc', 'ab', 1],
  ['kitten', 'sitting', 3],
])('from %s to %s it takes %i changes', (a, b, expected) => {
  expect(editDistance(a, b)).toBe(expected);
  expect(editDistance(b, a)).toBe(expected);
});
