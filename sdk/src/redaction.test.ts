import { describe, expect, it } from 'vitest';
import { createRedactor, HIDDEN, redactUrls } from './redaction.ts';

function hide(text: string, ...secrets: string[]): string {
  const redactor = createRedactor();
  for (const secret of secrets) redactor.addSecret(secret);
  return redactor.redact(text);
}

describe('a secret', () => {
  const secret = 'pä"ss\'w\\ör d&/+';
  it.each([
    [secret, 'itself'],
    [JSON.stringify(secret).slice(1, -1), 'in JSON'],
    [encodeURIComponent(secret), 'in a URL'],
    [secret.replaceAll("'", "'\\''"), 'in single quotes of a shell'],
    [Buffer.from(secret).toString('base64'), 'in base64'],
    [Buffer.from(secret).toString('base64url'), 'in base64 for URLs'],
  ])('is hidden as %s (%s)', (form) => {
    expect(hide(`a ${form} z`, secret)).toBe(`a ${HIDDEN} z`);
    expect(hide(form, secret)).toBe(HIDDEN);
    expect(hide(`${form}${form}`, secret)).toBe(`${HIDDEN}${HIDDEN}`);
  });

  it.each(['', 'a', 'on', 'yes'])(
    'of fewer than four characters (%j) would hide nothing and is left',
    (short) => {
      expect(hide('yes, it is on at a time', short)).toBe('yes, it is on at a time');
    },
  );

  it('of which only the rest is there is hidden at the beginning of a text that was cut', () => {
    const redactor = createRedactor();
    for (const one of [secret, 'line one\nline two\n', 'repeated-repeated-', 'd&/+x-overlap'])
      redactor.addSecret(one);
    const hideTail = (text: string): string => redactor.redact(text, { isTail: true });
    expect(hideTail('w\\ör d&/+ z')).toBe(`${HIDDEN} z`);
    expect(hideTail(`${Buffer.from(secret).toString('base64').slice(5)} z`)).toBe(`${HIDDEN} z`);
    expect(hideTail('ne one\nline two\nz')).toBe(`${HIDDEN}z`);
    expect(hideTail('peated-repeated-z')).toBe(`${HIDDEN}z`);
    expect(hideTail('peated-z')).toBe(`${HIDDEN}z`);
    expect(hideTail('d&/+')).toBe(HIDDEN);
    expect(hideTail(' d&/+x-overlap z')).toBe(`${HIDDEN} z`);
    expect(hideTail(`${secret.slice(5)}${secret}`)).toBe(`${HIDDEN}${HIDDEN}`);
    expect(hideTail('&/+ z')).toBe('&/+ z');
    expect(hideTail('z w\\ör d&/+')).toBe('z w\\ör d&/+');
    expect(redactor.redact('w\\ör d&/+ z')).toBe('w\\ör d&/+ z');
  });

  it('of four characters is hidden at both ends and in the middle', () => {
    expect(hide('abcd-abcd-abcd', 'abcd')).toBe(`${HIDDEN}-${HIDDEN}-${HIDDEN}`);
    expect(hide('abc', 'abcd')).toBe('abc');
  });

  it('of several lines is hidden whole and line by line', () => {
    const key = '-----BEGIN KEY-----\nMIIabcdefgh\r\nqwertzuiop\n-----END KEY-----\n';
    expect(hide(`x ${key} y`, key)).toBe(`x ${HIDDEN} y`);
    expect(hide('at line: qwertzuiop!', key)).toBe(`at line: ${HIDDEN}!`);
    expect(hide(`x ${key.trim()} y`, key)).toBe(`x ${HIDDEN} y`);
  });

  it('that contains another, or overlaps it, leaves nothing of either', () => {
    expect(hide('hunter2-long', 'hunter2', 'hunter2-long')).toBe(HIDDEN);
    expect(hide('hunter2-long', 'hunter2-long', 'hunter2')).toBe(HIDDEN);
    expect(hide('<abcdefgh>', 'abcdef', 'cdefgh')).toBe(`<${HIDDEN}>`);
    expect(hide('<abcdefgh>', 'cdef', 'abcdefg')).toBe(`<${HIDDEN}h>`);
  });

  it('that looks like the mark itself, or like a pattern, does no harm', () => {
    expect(hide('a secret1 b', 'secret1', 'hidden', '[hid')).toBe(`a ${HIDDEN} b`);
    expect(hide('a $& $1 .* b', '$& $1', '.*.*')).toBe(`a ${HIDDEN} .* b`);
  });

  it('is found at any depth of the settings, in values and not in keys', () => {
    const redactor = createRedactor();
    redactor.addSecrets({ keyname: [{ deep: ['value-one', 7, null, { x: 'value-two' }] }] });
    expect(redactor.redact('keyname value-one value-two')).toBe(`keyname ${HIDDEN} ${HIDDEN}`);
  });

  it('that is added later is hidden from then on', () => {
    const redactor = createRedactor();
    expect(redactor.redact('token-1')).toBe('token-1');
    redactor.addSecret('token-1');
    expect(redactor.redact('token-1')).toBe(HIDDEN);
  });

  it('more than ten thousand times in a megabyte takes a moment', () => {
    const redactor = createRedactor();
    const secrets = Array.from(
      { length: 10_000 },
      (_, i) => `AccountKey=${i.toString(36)}${'q'.repeat(i % 40)}==`,
    );
    redactor.addSecrets(secrets);
    const text = Array.from(
      { length: 20_000 },
      (_, i) => `AccountKey=no ${secrets[i % 10_000]} some more text `,
    ).join('');
    expect(text.length).toBeGreaterThan(1_000_000);
    const since = process.cpuUsage();
    const redacted = redactor.redact(text);
    expect(process.cpuUsage(since).user / 1000).toBeLessThan(5_000);
    expect(redacted).not.toContain('qqqq');
    expect(redacted.split(HIDDEN)).toHaveLength(20_001);
  });
});

describe('secrets by the hundred thousand', () => {
  const cpuMs = (work: () => void): number => {
    const since = process.cpuUsage();
    work();
    return process.cpuUsage(since).user / 1000;
  };
  const addMs = (count: number): number => {
    const secrets = Array.from({ length: count }, (_, i) => `${Math.imul(i, 2654435761).toString(36)}-q${i}`);
    return cpuMs(() => createRedactor().addSecrets(secrets));
  };

  it('take time in proportion to their number', () => {
    addMs(10_000);
    const [some, many] = [addMs(10_000), addMs(40_000)];
    expect(many / some).toBeLessThan(12);
  });
});

describe('a URL', () => {
  it.each([
    ['https://a.example/b?sig=1&x=2', 'https://a.example/b?[hidden]', 'its query'],
    ['https://a.example/b#part', 'https://a.example/b?[hidden]', 'its fragment'],
    ['https://user:pw@a.example/b', 'https://[hidden]@a.example/b', 'its user information'],
    ['https://token@a.example?x#y', 'https://[hidden]@a.example?[hidden]', 'all of them'],
    ['"https://a.example/b?sig=1" then', '"https://a.example/b?[hidden]" then', 'in quotes'],
    ["'https://a.example/b?sig=1', then", "'https://a.example/b?[hidden]', then", 'in single quotes'],
    ['<https://a.example/b?sig=1>', '<https://a.example/b?[hidden]>', 'in angle brackets'],
    ['HTTPS://A.EXAMPLE/B?SIG=1', 'HTTPS://A.EXAMPLE/B?[hidden]', 'in capitals'],
    ['azblob+https://a/b?c', 'azblob+https://a/b?[hidden]', 'of a scheme with a sign'],
    ['x=https://a/b?c=https://d/e?f', 'x=https://a/b?[hidden]', 'that holds another'],
    ['https://a/b,https://u:p@c/d', 'https://a/b,https://[hidden]@c/d', 'beside another'],
    ['https://a.example/b', 'https://a.example/b', 'nothing, when nothing is secret'],
    ['what? it is 5:30 // # no', 'what? it is 5:30 // # no', 'nothing in a text without one'],
  ])('%s becomes %s: hidden is %s%s', (url, expected) => {
    expect(redactUrls(url)).toBe(expected);
    expect(createRedactor().redact(url)).toBe(expected);
  });

  it.each([
    ['ab://'.repeat(200_000), 'schemes in a row'],
    [`https://${'a'.repeat(1_000_000)}`, 'a long one'],
    ['a.'.repeat(500_000), 'what might become a scheme'],
    ['https://a/?'.repeat(90_000), 'queries in a row'],
  ])('in a megabyte takes a moment (%#)', (text) => {
    const since = process.cpuUsage();
    redactUrls(text);
    redactUrls(`https://x ${text}`);
    expect(process.cpuUsage(since).user / 1000).toBeLessThan(2_000);
  });
});
