import { ContractError } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import { createBlobWriter, parseStatusUpload } from './status-upload.ts';

const URI = 'http://blobs.invalid/$system/vm?sig=SECRET';

function upload(headers: Readonly<Record<string, string>>, content?: string, uri = URI): string {
  const list = Object.entries(headers).map(([headerName, headerValue]) => ({ headerName, headerValue }));
  const encoded = content === undefined ? {} : { content: Buffer.from(content).toString('base64') };
  return JSON.stringify({ requestUri: uri, headers: list, ...encoded });
}

describe('a status upload', () => {
  it('gives a block blob at once', () => {
    const write = parseStatusUpload(upload({ 'x-ms-blob-type': 'BlockBlob' }, '{"é":1}'));
    expect(createBlobWriter().write(write)).toBe('{"é":1}');
  });

  it.each([
    ['spaces', ' '],
    ['NUL', '\0'],
  ])('gives a page blob when its last page is there, without the padding of %s', (_, padding) => {
    const writer = createBlobWriter();
    const text = `{"text":"${'x'.repeat(700)}"}`;
    const padded = text.padEnd(1024, padding);
    const make = { 'x-ms-blob-type': 'PageBlob', 'x-ms-blob-content-length': '1024' };
    expect(writer.write(parseStatusUpload(upload(make)))).toBeUndefined();
    const page = (from: number, to: number): string | undefined => {
      const headers = { 'x-ms-page-write': 'update', 'x-ms-range': `bytes=${from}-${to - 1}` };
      return writer.write(parseStatusUpload(upload(headers, padded.slice(from, to), `${URI}&comp=page`)));
    };
    expect(page(0, 512)).toBeUndefined();
    expect(page(512, 1024)).toBe(text);
  });

  it.each([
    ['{}', 'no address'],
    [upload({}, '', 'not a URL'), 'no URL'],
    ['{"requestUri":"http://a/","headers":{}}', 'headers that are no list'],
    ['{"requestUri":"http://a/","headers":[],"content":7}', 'content that is no text'],
    ['SECRET', 'no JSON'],
  ])('is refused without being quoted: %s', (body) => {
    expect(() => parseStatusUpload(body)).toThrow(ContractError);
    expect(() => parseStatusUpload(body)).not.toThrow(/SECRET/);
  });

  it.each<readonly [Readonly<Record<string, string>>, string, string]>([
    [
      { 'x-ms-blob-type': 'PageBlob', 'x-ms-blob-content-length': '513' },
      URI,
      'a size that is no multiple of 512',
    ],
    [{ 'x-ms-blob-type': 'PageBlob' }, URI, 'no size'],
    [{ 'x-ms-range': 'bytes=0-511' }, `${URI}&comp=page`, 'a page of no blob'],
  ])('is refused: %o, %s', (headers, uri) => {
    expect(() => createBlobWriter().write(parseStatusUpload(upload(headers, 'x', uri)))).toThrow(
      ContractError,
    );
  });

  it('is read in one pass, whatever it is padded with inside', () => {
    const text = `${'\0 '.repeat(300_000)}x`;
    const started = performance.now();
    const write = parseStatusUpload(upload({ 'x-ms-blob-type': 'BlockBlob' }, `${text} \0`));
    expect(createBlobWriter().write(write)).toBe(text);
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('is refused for a page outside of its blob', () => {
    const writer = createBlobWriter();
    const make = { 'x-ms-blob-type': 'PageBlob', 'x-ms-blob-content-length': '512' };
    writer.write(parseStatusUpload(upload(make)));
    const beyond = upload({ 'x-ms-range': 'bytes=512-1023' }, ' '.repeat(512), `${URI}&comp=page`);
    expect(() => writer.write(parseStatusUpload(beyond))).toThrow(ContractError);
  });
});
