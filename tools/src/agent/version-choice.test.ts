import { describe, expect, it } from 'vitest';
import { decideVersion } from './version-choice.ts';

describe('decideVersion', () => {
  it.each<[string, readonly string[], string | undefined]>([
    ['1.0.0', ['1.0.0'], '1.0.0'],
    ['1.0.0', ['1.0.0', '1.0.0.3', '1.0.1'], '1.0.0.3'],
    ['1', ['1.0.9', '1.3.0', '2.0.0', '1.2.11'], '1.3.0'],
    ['1.2', ['1.2.9', '1.2.11'], '1.2.11'],
    ['1.0', ['1.00.1'], '1.00.1'],
    ['1.0.0', ['1.0'], undefined],
    ['1.1', ['1.10.0'], undefined],
    ['2', [], undefined],
    ['1.0', ['1.0-rc1', '1.0'], '1.0'],
    ['1.0-rc1', ['1.0', '1.0-rc1', '1.0-rc2'], '1.0-rc1'],
  ])('%s of %j is %s', (requested, available, chosen) => {
    expect(decideVersion(requested, available)).toBe(chosen);
  });
});
