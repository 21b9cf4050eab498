import { describe, expect, it } from 'vitest';
import { ContractError } from './json.ts';
import { CERTIFICATE_LABEL, findPem, PRIVATE_KEY_LABEL, parseThumbprint } from './protected-settings.ts';

const THUMBPRINT = '00956CA49FD8641A0A022241847104267848 56FE'.replace(' ', '');

describe('parseThumbprint', () => {
  it.each([
    [THUMBPRINT, 'upper case, as the agent writes it'],
    [THUMBPRINT.toLowerCase(), 'lower case'],
    [THUMBPRINT.replaceAll('A', 'a'), 'mixed case'],
  ])('takes %s (%s) and gives the name of the file', (text) => {
    expect(parseThumbprint(text, '0.settings')).toBe(THUMBPRINT);
  });

  it.each([
    ['', 'empty'],
    [THUMBPRINT.slice(1), '39 digits'],
    [`${THUMBPRINT}0`, '41 digits'],
    [`${THUMBPRINT}\n`, 'a line break at the end'],
    [` ${THUMBPRINT}`, 'a space before it'],
    [`G${THUMBPRINT.slice(1)}`, 'a letter that is no hex digit'],
    [THUMBPRINT.replace(/../g, '$&:').slice(0, -1), 'colons'],
    ['0'.repeat(64), 'the length of SHA-256'],
    ['../'.repeat(13).padEnd(40, 'A'), 'a path of 40 characters'],
    [`../${THUMBPRINT}`, 'a path'],
    [`${THUMBPRINT.slice(0, 39)}\u0660`, 'a digit that is not ASCII'],
    [`${THUMBPRINT.slice(0, 39)}\0`, 'a NUL'],
  ])('refuses %j: %s', (text) => {
    const parse = () => parseThumbprint(text, '0.settings');
    expect(parse).toThrow(ContractError);
    expect(parse).toThrow(
      '0.settings: runtimeSettings[0].handlerSettings.protectedSettingsCertThumbprint must be the 40 hex digits',
    );
  });
});

describe('findPem', () => {
  const block = (label: string, body = 'AAAA') => `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----`;

  it('skips the attribute lines that the agent leaves before the block', () => {
    const text = `Bag Attributes\n    friendlyName: X\nsubject=DC = X\n${block('CERTIFICATE')}\n`;
    expect(findPem(text, CERTIFICATE_LABEL)).toBe(`${block('CERTIFICATE')}\n`);
  });

  it('takes the first block whose label matches, whatever stands before it', () => {
    const text = [block('CERTIFICATE'), block('PRIVATE KEY', 'BBBB'), block('PRIVATE KEY', 'CCCC')].join(
      '\n',
    );
    expect(findPem(text, PRIVATE_KEY_LABEL)).toBe(`${block('PRIVATE KEY', 'BBBB')}\n`);
  });

  it('takes a PKCS#1 key and lines that end in CR LF', () => {
    const text = block('RSA PRIVATE KEY').replaceAll('\n', '\r\n');
    expect(findPem(text, PRIVATE_KEY_LABEL)).toBe(`${text}\n`);
  });

  it.each([
    ['', 'empty'],
    ['Bag Attributes\n', 'attribute lines only'],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\n', 'no end'],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END CERTIFICATE-----', 'the end of another block'],
    [block('ENCRYPTED PRIVATE KEY'), 'a key with a password'],
    [block('CERTIFICATE'), 'no key'],
  ])('finds no key in %j: %s', (text) => {
    expect(findPem(text, PRIVATE_KEY_LABEL)).toBeUndefined();
  });
});
