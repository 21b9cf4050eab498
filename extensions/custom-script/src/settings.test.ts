import { HandlerError } from '@handlerkit/sdk';
import { describe, expect, it } from 'vitest';
import { readScriptSettings } from './settings.ts';

type Half = Record<string, unknown>;
const GUID = '01234567-89ab-cdef-0123-456789ABCDEF';
const PUBLIC = 'json validation error: invalid public settings JSON: ';
const PROTECTED = 'json validation error: invalid protected settings JSON: ';
const TOGETHER = 'invalid configuration: ';

function refusal(open: Half, hidden: Half = {}): HandlerError {
  try {
    readScriptSettings(open, hidden);
  } catch (thrown) {
    if (thrown instanceof HandlerError) return thrown;
    throw thrown;
  }
  throw new Error('the settings were accepted');
}

it('the name of a protected variable is shown only when it looks like a name', () => {
  const command = { commandToExecute: 'id' };
  const environment = { 'pass word/31=': 5, GOOD_NAME: 5 };
  expect(refusal({}, { ...command, environment }).message).toContain(
    `${PROTECTED}environment.[hidden] (13 characters): Invalid type. Expected: string, given: integer`,
  );
  expect(refusal({}, { ...command, environment }).message).toContain('environment.GOOD_NAME: Invalid type');
  expect(refusal({}, { ...command, environment }).message).not.toContain('pass word');
  expect(refusal({ ...command, environment }).message).toContain('environment.pass word/31=: Invalid type');
});

describe('settings that go together', () => {
  it.each<[string, Half, Half, object]>([
    ['a public command', { commandToExecute: 'id' }, {}, { kind: 'command', text: 'id', isProtected: false }],
    [
      'a protected command',
      {},
      { commandToExecute: 'id' },
      { kind: 'command', text: 'id', isProtected: true },
    ],
    ['a public script', { script: 'aWQ=' }, {}, { kind: 'script', text: 'aWQ=', isProtected: false }],
    ['a protected script', {}, { script: 'aWQ=' }, { kind: 'script', text: 'aWQ=', isProtected: true }],
    [
      'an empty command beside a real one',
      { commandToExecute: '' },
      { commandToExecute: 'id' },
      { text: 'id' },
    ],
    [
      'an empty list beside a full one',
      { commandToExecute: 'id', fileUris: [] },
      { fileUris: ['https://h/a'] },
      { fileUris: ['https://h/a'] },
    ],
    ['a large timestamp', { commandToExecute: 'id', timestamp: 1e18 }, {}, { text: 'id' }],
    ['skipDos2Unix', { commandToExecute: 'id', skipDos2Unix: true }, {}, { skipDos2Unix: true }],
    ['no skipDos2Unix', { commandToExecute: 'id' }, {}, { skipDos2Unix: false }],
  ])('%s is accepted', (_, open, hidden, expected) => {
    expect(readScriptSettings(open, hidden)).toMatchObject(expected);
  });

  it.each<[number, string, Half, Half]>([
    [23, "'commandToExecute' is not specified", {}, {}],
    [
      23,
      "'commandToExecute' is not specified",
      { commandToExecute: '', script: '' },
      { fileUris: ['https://h/a'] },
    ],
    [
      20,
      "'commandToExecute' was specified both in public and protected settings; it must be specified only once",
      { commandToExecute: 'a' },
      { commandToExecute: 'b' },
    ],
    [
      28,
      "'script' was specified both in public and protected settings; it must be specified only once",
      { script: 'YQ==' },
      { script: 'YQ==' },
    ],
    [
      22,
      "'fileUris' were specified both in public and protected settings; it must be specified only once",
      { commandToExecute: 'a', fileUris: ['https://h/a'] },
      { fileUris: ['https://h/b'] },
    ],
    [
      29,
      "'commandToExecute' and 'script' were both specified, but only one is validate at a time",
      { commandToExecute: 'a' },
      { script: 'YQ==' },
    ],
    [
      30,
      "both 'storageAccountName' and 'storageAccountKey' must be specified",
      { commandToExecute: 'a' },
      { storageAccountName: 'account' },
    ],
    [
      30,
      "both 'storageAccountName' and 'storageAccountKey' must be specified",
      { commandToExecute: 'a' },
      { storageAccountKey: 'a2V5' },
    ],
    [
      26,
      "'storageAccountName' or 'storageAccountKey' must not be specified with 'managedServiceIdentity'",
      { commandToExecute: 'a' },
      { storageAccountName: 'account', storageAccountKey: 'a2V5', managedIdentity: {} },
    ],
    [
      27,
      "only one of 'clientId' or 'objectId' must be specified with 'managedServiceIdentity'",
      { commandToExecute: 'a' },
      { managedIdentity: { clientId: GUID, objectId: GUID } },
    ],
    [-21, "'commandToExecute' must not contain a NUL character", { commandToExecute: 'a\0b' }, {}],
  ])('code %i: %s', (code, text, open, hidden) => {
    const error = refusal(open, hidden);
    expect(error.message).toBe(TOGETHER + text);
    expect(error.statusCode).toBe(code);
    expect(error.exitCode).toBe(53);
  });
});

describe('one half of the settings', () => {
  const command = { commandToExecute: 'a' };
  it.each<[Half, Half, string]>([
    [
      { commandToExecute: 1 },
      {},
      `${PUBLIC}commandToExecute: Invalid type. Expected: string, given: integer`,
    ],
    [
      { commandToExecute: 1.5 },
      {},
      `${PUBLIC}commandToExecute: Invalid type. Expected: string, given: number`,
    ],
    [
      { commandToExecute: null },
      {},
      `${PUBLIC}commandToExecute: Invalid type. Expected: string, given: null`,
    ],
    [{ script: ['a'] }, {}, `${PUBLIC}script: Invalid type. Expected: string, given: array`],
    [
      { ...command, fileUris: 'https://h/a' },
      {},
      `${PUBLIC}fileUris: Invalid type. Expected: array, given: string`,
    ],
    [
      { ...command, fileUris: ['https://h/a', 5] },
      {},
      `${PUBLIC}fileUris.1: Invalid type. Expected: string, given: integer`,
    ],
    [{ ...command, fileUris: ['a.sh'] }, {}, `${PUBLIC}fileUris.0: Does not match format 'uri'`],
    [{ ...command, fileUris: ['https://h\\a'] }, {}, `${PUBLIC}fileUris.0: Does not match format 'uri'`],
    [{ ...command, fileUris: [' https://h/a'] }, {}, `${PUBLIC}fileUris.0: Does not match format 'uri'`],
    [{ ...command, fileUris: ['https://h/%zz'] }, {}, `${PUBLIC}fileUris.0: Does not match format 'uri'`],
    [{ ...command, fileUris: [''] }, {}, `${PUBLIC}fileUris.0: Does not match format 'uri'`],
    [
      { ...command, skipDos2Unix: 'true' },
      {},
      `${PUBLIC}skipDos2Unix: Invalid type. Expected: boolean, given: string`,
    ],
    [
      { ...command, timestamp: '1' },
      {},
      `${PUBLIC}timestamp: Invalid type. Expected: integer, given: string`,
    ],
    [
      { ...command, timestamp: 1.5 },
      {},
      `${PUBLIC}timestamp: Invalid type. Expected: integer, given: number`,
    ],
    [
      { ...command, fileUri: [] },
      {},
      `${PUBLIC}(root): Additional property fileUri is not allowed (did you mean 'fileUris'?)`,
    ],
    [{ ...command, other: 1 }, {}, `${PUBLIC}(root): Additional property other is not allowed`],
    [
      { ...command, managedIdentity: {} },
      {},
      `${PUBLIC}(root): Additional property managedIdentity is not allowed (it belongs to the protected settings)`,
    ],
    [
      command,
      { timestamp: 1 },
      `${PROTECTED}(root): Additional property timestamp is not allowed (it belongs to the public settings)`,
    ],
    [
      command,
      { storageAccountName: 'Account', storageAccountKey: 'a2V5' },
      `${PROTECTED}storageAccountName: Does not match pattern '^[a-z0-9]{3,24}$'`,
    ],
    [
      command,
      { comandToExecute: 'id' },
      `${PROTECTED}(root): Additional property comandToExecute is not allowed (did you mean 'commandToExecute'?)`,
    ],
    [
      command,
      { 'AccountKey=canary': 'x' },
      `${PROTECTED}(root): Additional property [hidden] (17 characters) is not allowed`,
    ],
    [
      command,
      { managedIdentity: [] },
      `${PROTECTED}managedIdentity: Invalid type. Expected: object, given: array`,
    ],
    [
      command,
      { managedIdentity: null },
      `${PROTECTED}managedIdentity: Invalid type. Expected: object, given: null`,
    ],
    [
      JSON.parse('{"commandToExecute":"a","__proto__":1}'),
      {},
      `${PUBLIC}(root): Additional property __proto__ is not allowed`,
    ],
  ])('%j with protected %j is refused with code -21', (open, hidden, text) => {
    const error = refusal(open, hidden);
    expect(error.message).toBe(text);
    expect(error.statusCode).toBe(-21);
  });

  it.each(['', 'a2V', 'a2V5=', 'a2V5\n', 'a===', '!!!!'])(
    'the storage key %j is refused',
    (storageAccountKey) => {
      const error = refusal(command, { storageAccountName: 'account', storageAccountKey });
      expect(error.message).toContain("storageAccountKey: Does not match pattern '");
    },
  );

  it.each(['', 'no-guid', GUID.slice(1), `${GUID} `])('the client id %j is refused', (clientId) => {
    expect(refusal(command, { managedIdentity: { clientId } }).message).toContain(
      'managedIdentity.clientId: ',
    );
  });

  it('a null entry of fileUris has a code of its own', () => {
    const error = refusal({ ...command, fileUris: ['https://h/a', null] });
    expect(error.message).toBe(`${PUBLIC}fileUris.1: Invalid type. Expected: string, given: null`);
    expect(error.statusCode).toBe(24);
  });
});

it('every problem of both halves is listed, and none shows a value', () => {
  const error = refusal(
    { commandToexecute: 'canary-1', timestamp: 'canary-2', fileUris: ['canary-3'] },
    { storageAccountName: 'Canary-4', skipDos2Unix: true },
  );
  expect(error.message.split('\n')).toHaveLength(7);
  expect(error.message).toContain("commandToexecute is not allowed (did you mean 'commandToExecute'?)");
  expect(error.message).toContain("'commandToExecute' is not specified");
  expect(error.message).not.toMatch(/canary/i);
});

it.each<[Half, unknown]>([
  [{}, undefined],
  [{ managedIdentity: {} }, { kind: 'identity' }],
  [{ managedIdentity: { clientId: GUID, extra: 1 } }, { kind: 'identity', clientId: GUID }],
  [{ managedIdentity: { objectId: GUID } }, { kind: 'identity', objectId: GUID }],
  [
    { storageAccountName: 'account', storageAccountKey: 'a2V5' },
    { kind: 'account-key', accountName: 'account', accountKey: 'a2V5' },
  ],
])('%j gives the credentials %j', (hidden, credentials) => {
  expect(readScriptSettings({ commandToExecute: 'a' }, hidden).credentials).toEqual(credentials);
});
