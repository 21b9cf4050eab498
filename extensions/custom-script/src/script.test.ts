import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decodeScript, SCRIPT_LIMIT_CHARACTERS, UNPACKED_LIMIT_BYTES } from './script.ts';

const SCRIPT = '#!/bin/sh\necho "täglich"\n';

describe('decodeScript', () => {
  it.each<[string, string]>([
    ['plain base64', Buffer.from(SCRIPT).toString('base64')],
    ['base64 with line breaks', `${Buffer.from(SCRIPT).toString('base64').replace(/.{8}/g, '$&\r\n')}\n`],
    ['gzip', gzipSync(SCRIPT).toString('base64')],
    [
      'gzip of two members',
      Buffer.concat([gzipSync(SCRIPT.slice(0, 9)), gzipSync(Buffer.from(SCRIPT).subarray(9))]).toString(
        'base64',
      ),
    ],
  ])('reads %s', async (_, encoded) => {
    expect((await decodeScript(encoded)).toString()).toBe(SCRIPT);
  });

  it('reads a script of exactly the longest length', async () => {
    const decoded = await decodeScript('QUFB'.repeat(SCRIPT_LIMIT_CHARACTERS / 4));
    expect(decoded).toHaveLength((SCRIPT_LIMIT_CHARACTERS / 4) * 3);
  });

  it.each<[string, string, string]>([
    [
      'one group more than allowed',
      'QUFB'.repeat(SCRIPT_LIMIT_CHARACTERS / 4 + 1),
      'at most 262144 are allowed',
    ],
    ['a letter that is no base64', 'YWJj*Q==', 'not valid base64'],
    ['base64 without its padding', 'YWJjZA', 'not valid base64'],
    ['padding in the middle', 'YQ==YQ==', 'not valid base64'],
    ['a plain script', 'echo hello', 'not valid base64'],
    ['gzip that was cut off', gzipSync(SCRIPT).subarray(0, -12).toString('base64'), 'damaged or cut off'],
    ['gzip with a damaged sum', flipByte(gzipSync(SCRIPT), -6).toString('base64'), 'damaged or cut off'],
    [
      'gzip of too much',
      gzipSync(Buffer.alloc(UNPACKED_LIMIT_BYTES + 1)).toString('base64'),
      `more than ${UNPACKED_LIMIT_BYTES} bytes`,
    ],
  ])('refuses %s', async (_, encoded, text) => {
    const error = await decodeScript(encoded).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'CONFIGURATION_INVALID', statusCode: -21, exitCode: 53 });
    expect(String(error)).toContain(text);
  });
});

function flipByte(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = copy.length + at;
  copy[index] = (copy[index] ?? 0) ^ 0xff;
  return copy;
}
