import { describe, expect, it } from 'vitest';
import { ContractError } from './json.ts';
import { formatSettings, NO_SETTINGS, parseSettings } from './settings.ts';

const THUMBPRINT = 'AB'.repeat(20);
const settingsText = (handlerSettings: unknown): string =>
  JSON.stringify({ runtimeSettings: [{ handlerSettings }] });

describe('parseSettings', () => {
  it.each([
    ['', 'a file of zero bytes, which the agent writes for a handler without settings'],
    [settingsText({}), 'no member at all'],
    [settingsText(null), 'no handlerSettings'],
    ['{"runtimeSettings":[{}]}', 'handlerSettings that are missing'],
    [
      settingsText({ publicSettings: null, protectedSettings: null, protectedSettingsCertThumbprint: null }),
      'the nulls that the agent writes',
    ],
    [
      settingsText({ publicSettings: {}, protectedSettings: '', protectedSettingsCertThumbprint: '' }),
      'empty texts',
    ],
  ])('takes %j for no settings: %s', (text) => {
    expect(parseSettings(text, '0.settings')).toEqual(NO_SETTINGS);
  });

  it('keeps public settings as they are, `__proto__` included', () => {
    const text = `{"runtimeSettings":[{"handlerSettings":{"publicSettings":{"__proto__":{"a":1},"b":[null]}}}]}`;
    const { publicSettings } = parseSettings(text, '0.settings');
    expect(JSON.stringify(publicSettings)).toBe('{"__proto__":{"a":1},"b":[null]}');
    expect(Object.getPrototypeOf(publicSettings)).toBe(Object.prototype);
  });

  it('reads a file with a byte order mark, and unknown members', () => {
    const text = `\uFEFF${settingsText({ publicSettings: { a: 1 }, other: true })}`;
    expect(parseSettings(text, '0.settings').publicSettings).toEqual({ a: 1 });
  });

  it('takes the thumbprint as it is, also without protected settings', () => {
    const text = settingsText({ protectedSettings: 'QUJD', protectedSettingsCertThumbprint: '../x' });
    expect(parseSettings(text, '0.settings')).toEqual({
      publicSettings: {},
      protectedSettings: 'QUJD',
      thumbprint: '../x',
    });
    expect(parseSettings(settingsText({ protectedSettingsCertThumbprint: THUMBPRINT }), 'f').thumbprint).toBe(
      THUMBPRINT,
    );
  });

  it.each([
    ['{}', 'runtimeSettings is missing; it must be an array'],
    ['[]', 'must be an object, but is an array'],
    ['null', 'must be an object, but is null'],
    ['"secret"', 'must be an object, but is a string'],
    ['{"runtimeSettings":{}}', 'runtimeSettings must be an array, but is an object'],
    ['{"runtimeSettings":[]}', 'runtimeSettings must have exactly one element, but has 0'],
    ['{"runtimeSettings":[{},{}]}', 'runtimeSettings must have exactly one element, but has 2'],
    ['{"runtimeSettings":["secret"]}', 'runtimeSettings[0] must be an object, but is a string'],
    [settingsText('secret'), 'runtimeSettings[0].handlerSettings must be an object, but is a string'],
    [
      settingsText({ publicSettings: 'secret' }),
      'runtimeSettings[0].handlerSettings.publicSettings must be an object, but is a string',
    ],
    [
      settingsText({ publicSettings: ['secret'] }),
      'runtimeSettings[0].handlerSettings.publicSettings must be an object, but is an array',
    ],
    [
      settingsText({ protectedSettings: { secret: 1 } }),
      'runtimeSettings[0].handlerSettings.protectedSettings must be a string, but is an object',
    ],
    [
      settingsText({ protectedSettings: 4711 }),
      'runtimeSettings[0].handlerSettings.protectedSettings must be a string, but is a number',
    ],
    [
      settingsText({ protectedSettings: 'secret', protectedSettingsCertThumbprint: 4711 }),
      'runtimeSettings[0].handlerSettings.protectedSettingsCertThumbprint must be a string, but is a number',
    ],
    [
      settingsText({ protectedSettings: 'secret' }),
      'runtimeSettings[0].handlerSettings.protectedSettingsCertThumbprint is missing, so the protected settings cannot be decrypted',
    ],
    [
      settingsText({ protectedSettings: 'secret', protectedSettingsCertThumbprint: null }),
      'runtimeSettings[0].handlerSettings.protectedSettingsCertThumbprint is missing',
    ],
    [' ', 'is empty'],
  ])('refuses %s: %s', (text, problem) => {
    const parse = () => parseSettings(text, '3.settings');
    expect(parse).toThrow(ContractError);
    expect(parse).toThrow(`3.settings: ${problem}`);
    expect(parse).not.toThrow(/secret|4711/);
  });

  it('refuses a file that is cut off at any byte but the first', () => {
    const text = formatSettings({
      publicSettings: { a: 'x' },
      protectedSettings: 'QUJD',
      thumbprint: THUMBPRINT,
    });
    for (let end = 1; end < text.length; end++) {
      expect(() => parseSettings(text.slice(0, end), 'f')).toThrow(ContractError);
    }
  });

  it('reads 10 MB', () => {
    const text = settingsText({ publicSettings: { script: 'x'.repeat(10_000_000) } });
    expect(String(parseSettings(text, 'f').publicSettings.script)).toHaveLength(10_000_000);
  });
});

describe('formatSettings', () => {
  it("escapes what Python's json.dumps escapes", () => {
    const publicSettings = {
      a: 'ü€😀\u007f\ud800 "\\/\n\t\u0001',
      b: [],
      c: {},
      d: [1, { e: null }],
      'f,\n g': ', ',
    };
    expect(formatSettings({ publicSettings, protectedSettings: null, thumbprint: null })).toBe(
      '{"runtimeSettings": [{"handlerSettings": {"publicSettings": {"a": "\\u00fc\\u20ac\\ud83d\\ude00\\u007f\\ud800 \\"\\\\/\\n\\t\\u0001", ' +
        '"b": [], "c": {}, "d": [1, {"e": null}], "f,\\n g": ", "}, "protectedSettings": null, "protectedSettingsCertThumbprint": null}}]}',
    );
  });
});
