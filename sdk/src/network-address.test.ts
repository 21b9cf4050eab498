import { expect, it } from 'vitest';
import { isLoopback, isPlatformAddress } from './network-address.ts';

it.each<[string, boolean, boolean]>([
  ['169.254.169.254', true, false],
  ['0xa9.0xfe.0.1', true, false],
  ['2852039166', true, false],
  ['168.63.129.16', true, false],
  ['[fe80::1]', true, false],
  ['[febf::1]', true, false],
  ['[::ffff:169.254.169.254]', true, false],
  ['[::169.254.169.254]', true, false],
  ['[::ffff:0:169.254.169.254]', true, false],
  ['[64:ff9b::a9fe:a9fe]', true, false],
  ['169.254.169.254.', true, false],
  ['0251.0376.0251.0376', true, false],
  ['[fec0::1]', false, false],
  ['169.254.example', false, false],
  ['feature.example', false, false],
  ['fe80.example', false, false],
  ['169.253.0.1', false, false],
  ['10.0.0.1', false, false],
  ['127.0.0.1', false, true],
  ['127.8.9.1', false, true],
  ['127.0.0.1.example', false, false],
  ['localhost', false, true],
  ['LOCALHOST.', false, true],
  ['a.localhost', false, true],
  ['[::1]', false, true],
  ['[::ffff:127.0.0.1]', false, true],
  ['example.com', false, false],
])('%s is the platform: %s, loopback: %s', (written, isPlatform, isLoop) => {
  const { hostname } = new URL(`http://${written}/`);
  expect([isPlatformAddress(hostname), isLoopback(hostname)]).toEqual([isPlatform, isLoop]);
});
