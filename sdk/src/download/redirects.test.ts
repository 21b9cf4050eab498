import { afterEach, describe, expect, it } from 'vitest';
import { closeServers, serve, status, whole } from '../fixtures/scripted-server.ts';
import { createHost } from '../host.ts';
import { redirectTarget, requestFile } from './redirects.ts';

afterEach(closeServers);

const SECRETS = {
  authorization: 'Bearer canary',
  cookie: 'canary',
  'x-ms-version': '2018-03-28',
  'x-api-key': 'canary',
  accept: 'text/plain',
  'user-agent': 'test',
};
const request = (url: string, headers: Record<string, string> = {}, range: Record<string, string> = {}) =>
  requestFile(createHost({}), new URL(url), headers, range, new AbortController().signal);

it.each([301, 302, 303, 307, 308])('%i is followed', async (code) => {
  const { url, seen } = await serve(status(code, { location: '/b' }), whole('there'));
  expect(await (await request(`${url}/a`)).text()).toBe('there');
  expect(seen.map(({ url }) => url)).toEqual(['/a', '/b']);
});

it('secrets stay with their host, and come back with it; a range goes everywhere', async () => {
  const range = { range: 'bytes=5-', 'if-range': '"a"' };
  const home = await serve((incoming, response) => {
    if (incoming.url === '/back') response.end('ok');
    else response.writeHead(302, { location: incoming.url === '/a' ? '/b' : `${other.url}/c` }).end();
  });
  const other = await serve(status(302, { location: `${home.url.replace('//', '//x:y@')}/back` }));
  await request(`${home.url}/a`, SECRETS, range);
  expect(home.seen.map(({ url }) => url)).toEqual(['/a', '/b', '/back']);
  for (const { headers } of home.seen) expect(headers).toMatchObject({ ...SECRETS, ...range });
  expect(other.seen[0]?.headers).toMatchObject({ accept: 'text/plain', 'user-agent': 'test', ...range });
  expect(JSON.stringify(other.seen[0]?.headers)).not.toMatch(/canary|x-ms/);
});

it('user information becomes a header, for its own host', async () => {
  const other = await serve(whole('ok'));
  const { url, seen } = await serve(status(302, { location: `${other.url.replace('//', '//x:y@')}/b` }));
  await request(`${url.replace('//', '//us%40er:pa%3Ass@')}/a`);
  expect(seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from('us@er:pa:ss').toString('base64')}`);
  expect(other.seen[0]?.headers.authorization).toBeUndefined();
});

it('a loop ends, and is not tried again', async () => {
  const { url, seen } = await serve(status(302, { location: '/a?sig=canary' }));
  await expect(request(`${url}/a`)).rejects.toMatchObject({
    retry: 'never',
    message: `${url.slice(7)} redirects more than 10 times`,
  });
  expect(seen).toHaveLength(11);
});

describe('redirectTarget', () => {
  const from = new URL('https://user:pass@h/a?sig=canary');

  it.each<[string, string]>([
    ['/b', 'https://h/b'],
    ['b?x=1#part', 'https://h/b?x=1'],
    ['//other/c', 'https://other/c'],
    ['https://u:p@other/c', 'https://other/c'],
  ])('%s leads to %s', (location, expected) => {
    expect(redirectTarget(from, location).href).toBe(expected);
  });

  it.each<[string, string]>([
    ['http://h/a?sig=canary', 'from https to http, which is refused'],
    ['file:///etc/canary', 'to something that is not http or https'],
    ['ftp://h/canary', 'to something that is not http or https'],
    ['https://:99999/canary', 'not a valid URL'],
    ['\\\\canary', 'not a valid URL'],
    ['https://h\\canary', 'not a valid URL'],
    ['https://169.254.169.254/canary', 'link-local'],
    ['https://0xa9fea9fe/canary', 'link-local'],
    ['https://[::ffff:169.254.169.254]/canary', 'link-local'],
    ['https://[fe80::1]/canary', 'link-local'],
    ['https://168.63.129.16/canary', 'an address of the platform'],
  ])('%s is refused: %s', (location, text) => {
    expect(() => redirectTarget(from, location)).toThrow(text);
    expect(() => redirectTarget(from, location)).not.toThrow('canary');
  });

  it('allows the way from http to https', () => {
    expect(redirectTarget(new URL('http://h/a'), 'https://h/a').protocol).toBe('https:');
  });
});
