import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canonicalJson, readSettingsArgument } from './settings-argument.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'handlerkit-settings-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('a settings argument', () => {
  it.each([['@own.json'], ['own.json'], ['@./own.json']])('reads the file %s', async (value) => {
    await writeFile(join(folder, 'own.json'), '\uFEFF{"a": "ä"}');
    expect(readSettingsArgument('settings', value, folder)).toEqual({ a: 'ä' });
  });

  it('reads JSON, even when it ends like a file name', () => {
    expect(readSettingsArgument('settings', '{"file": "x.json"}', folder)).toEqual({ file: 'x.json' });
  });

  it.each([['{'], ['null'], ['3'], ['"S3CRET"'], ['[]'], ['']])('refuses %j without quoting it', (value) => {
    expect(() => readSettingsArgument('settings', value, folder)).toThrow(
      expect.objectContaining({ code: 'WRONG_USAGE', message: expect.not.stringContaining('S3CRET') }),
    );
  });

  it('names a file that is missing or no JSON', async () => {
    expect(() => readSettingsArgument('settings', '@none.json', folder)).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
    await writeFile(join(folder, 'bad.json'), 'S3CRET');
    expect(() => readSettingsArgument('settings', '@bad.json', folder)).toThrow(
      expect.objectContaining({ message: `${join(folder, 'bad.json')} is not valid JSON.` }),
    );
  });

  it('has one text for what means the same', () => {
    expect(canonicalJson(JSON.parse('{"b": [{"d": 1, "c": 2}], "a": null}'))).toBe(
      canonicalJson({ a: null, b: [{ c: 2, d: 1 }] }),
    );
    expect(canonicalJson({ a: [1, 2] })).not.toBe(canonicalJson({ a: [2, 1] }));
    expect(canonicalJson(JSON.parse('{"__proto__": 1}'))).toBe('{"__proto__":1}');
  });
});
