import { expect, it } from 'vitest';
import { chooseProxy } from './proxy.ts';

type Environment = Record<string, string>;
const P = { http_proxy: 'http://p:1', https_proxy: 'http://s:2' };

it.each<[string, Environment, string | undefined, string]>([
  ['http://h/', P, 'http://p:1/', 'by scheme'],
  ['https://h/', P, 'http://s:2/', 'by scheme'],
  ['https://h/', { HTTPS_PROXY: 'http://u:w@s:2' }, 'http://u:w@s:2/', 'upper case, with a user'],
  [
    'http://h/',
    { http_proxy: 'http://low:1', HTTP_PROXY: 'http://up:1' },
    'http://low:1/',
    'lower case first',
  ],
  ['http://h/', { http_proxy: '', HTTP_PROXY: 'http://up:1' }, 'http://up:1/', 'an empty one is none'],
  ['https://h/', { all_proxy: 'p:3128' }, 'http://p:3128/', 'for all, without a scheme'],
  ['http://h/', { http_proxy: 'https://p' }, 'https://p/', 'a proxy with TLS'],
  ['http://h/', { http_proxy: 'socks5://p:1' }, undefined, 'a kind that is not supported'],
  ['http://h/', { http_proxy: 'http://:::' }, undefined, 'no URL'],
  ['http://h/', {}, undefined, 'none named'],
  ['http://169.254.169.254/', P, undefined, 'link-local'],
  ['http://168.63.129.16/', P, undefined, 'the platform'],
  ['http://localhost:80/', P, undefined, 'loopback'],
  ['http://127.0.0.1/', P, undefined, 'loopback'],
  ['http://a.b.c/', { ...P, no_proxy: 'b.c' }, undefined, 'below the name'],
  ['http://b.c/', { ...P, no_proxy: ' x, .b.c ' }, undefined, 'a leading dot'],
  ['http://a.b.c/', { ...P, NO_PROXY: '*.b.c' }, undefined, 'a leading star'],
  ['http://ab.c/', { ...P, no_proxy: 'b.c' }, 'http://p:1/', 'only the end of a word'],
  ['http://h/', { ...P, no_proxy: '*' }, undefined, 'everything'],
  ['http://h:81/', { ...P, no_proxy: 'h:80' }, 'http://p:1/', 'another port'],
  ['http://h/', { ...P, no_proxy: 'h:80' }, undefined, 'the port that is not written'],
  ['http://10.1.2.3/', { ...P, no_proxy: '10.0.0.0/8' }, undefined, 'in the block'],
  ['http://11.1.2.3/', { ...P, no_proxy: '10.0.0.0/8' }, 'http://p:1/', 'outside of the block'],
  ['http://10.1.2.3/', { ...P, no_proxy: '0.0.0.0/0' }, undefined, 'in the block of all'],
  ['http://10.1.2.3/', { ...P, no_proxy: '10.0.0.0/x,/,10/8' }, 'http://p:1/', 'no blocks'],
  ['http://[fd00::1]/', { ...P, no_proxy: 'fd00::1' }, undefined, 'an IPv6 address'],
  ['http://[fd00::1]/', { ...P, no_proxy: '[fd00::1]:80' }, undefined, 'an IPv6 address with a port'],
])('%s with %j goes through %s: %s', (url, env, proxy) => {
  expect(chooseProxy(new URL(url), env)?.href).toBe(proxy);
});
