/** B JSON and B Schema: what is no settings, or no JSON, or more than anybody sends, at the door of a packed handler. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import type { UnpackedPackage } from '../unpacked-handler.ts';
import { unpackPackage } from '../unpacked-handler.ts';
import type { BadInput } from './bad-input-runs.ts';
import { INPUT_CANARY, tryInputs } from './bad-input-runs.ts';

let unpacked: UnpackedPackage;
beforeAll(() => {
  unpacked = unpackPackage(inject('probeZip'));
});
afterAll(() => unpacked.remove());

const withSettings = (publicSettings: string, envelope = 'null', thumbprint = 'null'): string =>
  `{"runtimeSettings": [{"handlerSettings": {"publicSettings": ${publicSettings}, "protectedSettings": ${envelope}, "protectedSettingsCertThumbprint": ${thumbprint}}}]}`;
const file = (name: string, text: string | Buffer, refusal?: RegExp): BadInput => ({
  name,
  refusal,
  lay: (handler) => writeFileSync(handler.settingsFile(0), text),
});
const NO_JSON = /0\.settings: is not valid JSON \(cut off or malformed\); apply the settings again/;
const TOO_DEEP = /0\.settings: \w+Settings: is nested more than 100 levels deep/;
const deep = (depth: number): string => `${'{"a":'.repeat(depth)}"${INPUT_CANARY}"${'}'.repeat(depth)}`;
const greeting = (text: string): string => withSettings(`{"greeting": "${text}"}`);
const protectedValue = (value: string): string => withSettings('{}', value, `"${'A'.repeat(40)}"`);

const TEXTS: readonly BadInput[] = [
  file('a byte order mark alone', '\uFEFF', /is empty/),
  file('blanks alone', ' \r\n\t', /is empty/),
  file('a trailing comma', withSettings('{"greeting": "x",}'), NO_JSON),
  file('a comment', `// why\n${withSettings('{}')}`, NO_JSON),
  file('NaN', withSettings('{"steps": NaN}'), NO_JSON),
  file('a bare NUL', greeting('a\0b'), NO_JSON),
  file('UTF-16', Buffer.from(`\uFEFF${withSettings('{}')}`, 'utf16le'), NO_JSON),
  file('bytes that are no UTF-8', Buffer.from(greeting('\xff\xfe'), 'latin1')),
  file('a lone surrogate', greeting('\\ud800')),
  file('a NUL that is escaped', greeting('\\u0000')),
  file(
    'constructor as a key',
    withSettings('{"constructor": {"prototype": {}}}'),
    /unknown key `constructor`/,
  ),
  file(
    '__proto__ as a key deep inside',
    withSettings('{"steps": [{"__proto__": {}}]}'),
    /must not be called __proto__/,
  ),
  file('a number beyond 2^53', withSettings('{"greeting": 9007199254740993}'), /publicSettings\.greeting: /),
  file('a number beyond all', withSettings('{"greeting": 1e400}'), /publicSettings\.greeting: /),
  file(
    'an array of settings',
    withSettings(`["${INPUT_CANARY}"]`),
    /publicSettings must be an object, but is an array/,
  ),
  file('runtimeSettings that are empty', '{"runtimeSettings": []}', /exactly one element, but has 0/),
  file('runtimeSettings that are an object', '{"runtimeSettings": {}}', /runtimeSettings must be an array/),
  file(
    'protectedSettings that are a number',
    protectedValue('7'),
    /protectedSettings must be a string, but is a number/,
  ),
  file('protectedSettings without a certificate', protectedValue('"TUlJ"'), /A{40}\.crt is missing/),
  file(
    'a thumbprint of 64 digits',
    withSettings('{}', '"TUlJ"', `"${'A'.repeat(64)}"`),
    /must be the 40 hex digits/,
  ),
  file(
    'a thumbprint that is a path',
    withSettings('{}', '"TUlJ"', '"../../../../etc/shadow"'),
    /must be the 40 hex digits/,
  ),
  file(
    'a thumbprint with a line break',
    withSettings('{}', '"TUlJ"', `"${'A'.repeat(40)}\\n"`),
    /must be the 40 hex digits/,
  ),
];

const LARGE: readonly BadInput[] = [
  file('100,000 levels of objects', withSettings(deep(100_000)), TOO_DEEP),
  file(
    '100,000 levels of arrays',
    withSettings(`{"steps": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
    TOO_DEEP,
  ),
  file('100,000 brackets that are not closed', '['.repeat(100_000), NO_JSON),
  {
    name: '100,000 levels in the protected half',
    refusal: TOO_DEEP,
    lay: (handler) => handler.writeSettings(0, { protected: deep(100_000) }),
  },
  file('10 MB', greeting('x'.repeat(10_000_000))),
  file('a key of 10 MB', withSettings(`{"${'k'.repeat(10_000_000)}": 1}`), /unknown key `k{64}…`/),
  file(
    '200,000 unknown keys',
    withSettings(`{${Array.from({ length: 200_000 }, (_, n) => `"k${n}":${n}`).join()}}`),
    /unknown key `k0`[\s\S]+\nand \d+ more/,
  ),
];

const SCHEMA: readonly BadInput[] = [
  ['GREETING', 'unknown key `GREETING`; did you mean `greeting`\\?'],
  ['greeting ', 'unknown key `greeting `; did you mean `greeting`\\?'],
  ['gr\u0435eting', 'unknown key `gr\u0435eting`; did you mean `greeting`\\?'],
  ['secret', 'unknown key `secret`; it belongs in protectedSettings'],
  ['toString', 'unknown key `toString`'],
].map(([key = '', problem = '']) =>
  file(`the key ${key}`, withSettings(JSON.stringify({ [key]: INPUT_CANARY })), new RegExp(problem)),
);

const failed = (tried: Awaited<ReturnType<typeof tryInputs>>) =>
  tried.filter(({ broken }) => broken.length > 0);

it('B JSON: what is no JSON, or of another form, is refused with its place, and odd characters are taken', async () => {
  expect(failed(await tryInputs(unpacked, TEXTS))).toEqual([]);
});

it('B JSON: depth and size end in an answer, in bounded memory', async () => {
  expect(failed(await tryInputs(unpacked, LARGE))).toEqual([]);
});

it('B JSON: 100 MB of settings are taken in bounded memory', async () => {
  const inputs = [file('whole', greeting('x'.repeat(100_000_000)))];
  expect(failed(await tryInputs(unpacked, inputs, { memoryMiB: 800 }))).toEqual([]);
});

it('B Schema: keys that are nearly right, of the other half, or of every object are refused with a hint', async () => {
  expect(failed(await tryInputs(unpacked, SCHEMA))).toEqual([]);
});
