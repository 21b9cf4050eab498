import { describe, expect, it } from 'vitest';
import { checkExtensionName, readExtensionNames } from './extension-name.ts';

describe('the name of an extension', () => {
  it.each([['a/b'], ['..'], [''], ['x'.repeat(81)], ['ä'], ['a b'], ['a\n']])('is not %j', (name) => {
    expect(() => checkExtensionName('name', name)).toThrow('--name ');
  });

  it.each([['A.b-c_1'], ['x'.repeat(80)], ['.a']])('can be %j', (name) => {
    expect(checkExtensionName('name', name)).toBe(name);
  });

  it('counts once in a list, in the case in which it comes first', () => {
    expect(readExtensionNames('provision-after', ' B,A ,b,,A')).toEqual(['B', 'A']);
    expect(readExtensionNames('provision-after', '')).toEqual([]);
    expect(() => readExtensionNames('provision-after', 'a,b c')).toThrow('--provision-after "b c"');
  });
});
