import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  canonicalJson,
  describeExposure,
  readSettingsArgument,
  settingsFile,
  settingsSource,
} from './settings-argument.ts';

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

  it.each([
    ['own.json', 'file'],
    ['@later', 'file'],
    ['{"a": 1}', 'text'],
    ['@-', 'stream'],
    ['@/dev/stdin', 'stream'],
    ['@/proc/self/fd/0', 'stream'],
    ['@pipe', 'stream'],
  ])('%s is a %s', (value, kind) => {
    spawnSync('mkfifo', [join(folder, 'pipe')]);
    expect(settingsSource(value, folder).kind).toBe(kind);
    expect(settingsFile(value, folder) !== undefined).toBe(kind === 'file');
  });

  it.each([
    [0o600, undefined],
    [0o400, undefined],
    [0o644, '0644'],
    [0o640, '0640'],
    [0o604, '0604'],
  ])('tells of a file of mode %o that others can read: %s', async (mode, shown) => {
    const file = join(folder, 'secret.json');
    await writeFile(file, '{}');
    await chmod(file, mode);
    const words = describeExposure('secret.json', folder);
    expect(words?.includes(`mode ${shown} `) ?? false).toBe(shown !== undefined);
    expect(words?.endsWith(`chmod 600 ${file}`) ?? false).toBe(shown !== undefined);
    expect(describeExposure('{"a": 1}', folder)).toBeUndefined();
  });

  it('refuses a whole number that would lose digits, and names file and path', async () => {
    await writeFile(join(folder, 'own.json'), '{"a": [{"id": 12345678901234567890}]}');
    expect(() => readSettingsArgument('settings', '@own.json', folder)).toThrow(
      expect.objectContaining({
        code: 'WRONG_USAGE',
        message: expect.stringMatching(
          `^${join(folder, 'own.json')} holds a number at \\.a\\[0\\]\\.id that`,
        ),
      }),
    );
    expect(readSettingsArgument('settings', '{"a": 9007199254740991}', folder)).toEqual({ a: 2 ** 53 - 1 });
  });

  it.each([['{'], ['null'], ['3'], ['"S3CRET"'], ['[]'], ['']])('refuses %j without quoting it', (value) => {
    expect(() => readSettingsArgument('settings', value, folder)).toThrow(
      expect.objectContaining({ code: 'WRONG_USAGE', message: expect.not.stringContaining('S3CRET') }),
    );
  });

  it('refuses what is nested so deeply that no program could write it down', () => {
    const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
    expect(readSettingsArgument('settings', nested(400), folder)).toHaveProperty('a.a.a');
    expect(() => readSettingsArgument('settings', nested(100_000), folder)).toThrow(
      expect.objectContaining({
        code: 'WRONG_USAGE',
        message: '--settings is nested more than 500 levels deep.',
      }),
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
