import { describe, expect, it } from 'vitest';
import type { Ordered } from './dependency-levels.ts';
import { checkOrder, checkRemoval, dependencyLevels } from './dependency-levels.ts';

const one = (name: string, ...provisionAfter: readonly string[]): Ordered => ({
  name,
  provisionAfter,
  settings: {},
});

describe('the levels of extensions', () => {
  it.each<[readonly Ordered[], readonly number[], string]>([
    [[one('a'), one('b')], [0, 0], 'none waits'],
    [[one('a', 'b'), one('b')], [1, 0], 'the order of the list does not matter'],
    [[one('a'), one('b', 'a'), one('c', 'b'), one('d', 'a', 'c')], [0, 1, 2, 3], 'the highest counts'],
    [[one('Web', 'DB'), one('db')], [1, 0], 'names are compared in any case'],
    [[one('a', 'gone')], [0], 'a name that is not there counts for nothing'],
  ])('%j are %j: %s', (extensions, levels) => {
    expect(extensions.map(({ name }) => dependencyLevels(extensions).get(name))).toEqual(levels);
  });
});

describe('an order', () => {
  it.each<[Ordered, readonly Ordered[], string, string]>([
    [one('b', 'x'), [one('a')], 'DEPENDENCY_UNKNOWN', '"b" is to wait for "x", which is not on this VM.'],
    [
      one('b', 'a'),
      [{ name: 'a', settings: null }],
      'DEPENDENCY_WITHOUT_SETTINGS',
      '"b" is to wait for "a", which has no settings, so the agent would not wait for it.',
    ],
    [one('b', 'b'), [], 'DEPENDENCY_CYCLE', 'Extensions would wait for each other: b after b.'],
    [
      one('c', 'b'),
      [one('a', 'c'), one('b', 'a')],
      'DEPENDENCY_CYCLE',
      'Extensions would wait for each other: c after b after a after c.',
    ],
  ])('%j among %j is refused with %s', (extension, others, code, message) => {
    expect(() => checkOrder(extension, [...others, extension])).toThrow(
      expect.objectContaining({ code, message }),
    );
  });

  it('without a circle is allowed, also when two ways lead to one', () => {
    const extensions = [one('a'), one('b', 'a'), one('c', 'a'), one('d', 'b', 'c')];
    for (const extension of extensions) expect(() => checkOrder(extension, extensions)).not.toThrow();
  });
});

describe('taking an extension away', () => {
  it('is refused as long as another one waits for it', () => {
    expect(() => checkRemoval('A', [one('a'), one('b', 'a')])).toThrow(
      expect.objectContaining({
        code: 'DEPENDENCY_IN_USE',
        message: '"A" cannot go as long as "b" waits for it.',
      }),
    );
    expect(() => checkRemoval('b', [one('a'), one('b', 'a')])).not.toThrow();
  });
});
