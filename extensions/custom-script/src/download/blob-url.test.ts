import { describe, expect, it } from 'vitest';
import { formatBlobUrl, isAzureBlobUrl, parseBlobUrl } from './blob-url.ts';

const CLOUD = '.blob.core.windows.net';

describe('the URL of a blob', () => {
  it.each<[string, string, string, string]>([
    ['https://a.blob.core.windows.net/c/b', CLOUD, 'c', 'b'],
    ['http://a.blob.core.windows.net:8080/c/b?sig=x#f', CLOUD, 'c', 'b'],
    ['https://A.BLOB.core.windows.net/c/b', CLOUD, 'c', 'b'],
    ['https://a.blob.core.windows.net/b', CLOUD, '$root', 'b'],
    ['https://a.blob.core.windows.net/$root/b', CLOUD, '$root', 'b'],
    ['https://a.blob.core.windows.net/c/d/e/b.sh', CLOUD, 'c', 'd/e/b.sh'],
    ['https://a.blob.core.windows.net/c%2Fd%2Fb', CLOUD, 'c', 'd/b'],
    ['https://a.blob.core.windows.net/c//b', CLOUD, 'c', '/b'],
    ['https://a.blob.core.windows.net//c/b', CLOUD, 'c', 'b'],
    ['https://a.blob.core.windows.net/c/a b+c%23%3F%25.sh', CLOUD, 'c', 'a b+c#?%.sh'],
    ['https://a-secondary.blob.core.chinacloudapi.cn/c/b', '.blob.core.chinacloudapi.cn', 'c', 'b'],
    ['https://a.z12.blob.storage.azure.net/c/b', '.z12.blob.storage.azure.net', 'c', 'b'],
    ['https://a.blob.east.contoso.example/c/b', '.blob.east.contoso.example', 'c', 'b'],
  ])('%s is of %s, container %s, blob %s', (url, suffix, container, blob) => {
    expect(parseBlobUrl(new URL(url))).toEqual({ suffix, container, blob });
  });

  it.each<[string, string]>([
    ['https://example.com/c/b', 'another host'],
    ['https://blob.core.windows.net/c/b', 'no account'],
    ['https://a.file.core.windows.net/c/b', 'another service'],
    ['https://a.b.blob.core.windows.net/c/b', 'a name before that is no zone'],
    ['https://127.0.0.1/c/b', 'an address'],
    ['https://a.blob.core.windows.net/', 'no blob'],
    ['https://a.blob.core.windows.net/c/', 'a container only'],
    ['https://a.blob.core.windows.net/c/%ff', 'not UTF-8'],
  ])('%s is refused: %s', (url) => {
    expect(parseBlobUrl(new URL(url))).toBeUndefined();
  });

  it.each<[string, string]>([
    ['b', 'https://key.blob.core.windows.net/c/b'],
    ['d/a b#?%+ä.sh', 'https://key.blob.core.windows.net/c/d/a%20b%23%3F%25%2B%C3%A4.sh'],
    ['/b', 'https://key.blob.core.windows.net/c//b'],
  ])('of the blob %s is %s, and says the same again', (blob, text) => {
    const address = { suffix: CLOUD, container: 'c', blob };
    const url = formatBlobUrl('key', address);
    expect(url.href).toBe(text);
    expect(parseBlobUrl(url)).toEqual(address);
  });
});

describe('a token may be sent to', () => {
  it.each([
    'https://a.blob.core.windows.net/c/b',
    'https://a.blob.core.windows.net:443/c/b',
    'https://a.blob.core.chinacloudapi.cn/c/b',
    'https://a.blob.core.usgovcloudapi.net/c/b',
    'https://a.z7.blob.storage.azure.net/c/b',
    'https://a.blob.local.azurestack.external/c/b',
  ])('%s', (url) => expect(isAzureBlobUrl(new URL(url))).toBe(true));

  it.each<[string, string]>([
    ['http://a.blob.core.windows.net/c/b', 'in clear'],
    ['https://a.blob.core.windows.net:8443/c/b', 'another port'],
    ['https://a.blob.core.windows.net.attacker.example/c/b', 'the name inside another'],
    ['https://a.blob.core.attacker.example/c/b', 'the beginning only'],
    ['https://a.blob.azurestack.attacker.example/c/b', 'the beginning only'],
    ['https://xblob.core.windows.net/c/b', 'no dot before the end'],
    ['https://x.y.blob.core.windows.net/c/b', 'two names before'],
    ['https://user@a.blob.core.windows.net/c/b', 'user information'],
    ['https://a.blob.core.windows.net./c/b', 'a trailing dot'],
    ['https://a.queue.core.windows.net/c/b', 'another service'],
  ])('no other host: %s (%s)', (url) => expect(isAzureBlobUrl(new URL(url))).toBe(false));
});
