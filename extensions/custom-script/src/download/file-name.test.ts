import { expect, it } from 'vitest';
import { planDownloads } from './file-name.ts';

const SAS = '?sv=2018-03-28&sig=canary%3D';

it.each<[string, string]>([
  ['https://h/a.sh', 'a.sh'],
  [`https://h/c/dir/a.sh${SAS}`, 'a.sh'],
  ['https://h:8443/a%20b.sh', 'a b.sh'],
  ['https://h/a b.sh', 'a b.sh'],
  ['https://h/c/dir%2Fa.sh', 'a.sh'],
  ['https://h/..%2f..%2fetc%2fpasswd', 'passwd'],
  ['https://h/%E2%82%AC.sh#part', '€.sh'],
  ['HTTPS://user:pass@H/a%3Fb', 'a?b'],
  [`https://h/${'n'.repeat(255)}`, 'n'.repeat(255)],
  ['https://h/a%5Cb', 'a\\b'],
])('%.60s becomes the file %.20s', (uri, name) => {
  expect(planDownloads([uri])).toMatchObject([{ index: 0, name }]);
});

it.each<[string, string]>([
  ['https://h', 'cannot extract file name from URL: "https://h/[REDACTED]"'],
  [`https://u:canary@h/dir/${SAS}`, 'cannot extract file name from URL: "https://h/[REDACTED]"'],
  ['https://h/#canary', 'cannot extract file name'],
  ['https://h/a/..', 'cannot extract file name'],
  ['https://h/a%2f..', 'the name is a folder'],
  ['https://h/a%2f.', 'the name is a folder'],
  ['https://h/a%00.sh', 'the name holds a control character'],
  ['https://h/a%0A.sh', 'the name holds a control character'],
  ['https://h/%ff', 'its path is not valid UTF-8'],
  [`https://h/${'%C3%A4'.repeat(128)}`, 'has 256 bytes, but at most 255'],
  ['https://h/stdout', 'the name is stdout, which Custom Script uses itself'],
  ['https://h/stderr', 'the name is stderr'],
  ['https://h/x/script.sh', 'the name is script.sh'],
  [`ftp://h/canary${SAS}`, '[REDACTED] is not a valid url: its scheme must be http or https, but is ftp'],
  ['file:///etc/canary', '[REDACTED] is not a valid url'],
  ...[
    ...[
      '169.254.169.254',
      '2852039166',
      '0xA9FEA9FE',
      '0251.254.169.254',
      '169.254.169.254.',
      '168.63.129.16',
    ],
    ...['[fe80::1]', '[FEBF::1]', '[::ffff:169.254.169.254]', '[::ffff:a9fe:a9fe]', 'user:canary@169.254.1'],
  ].map((host): [string, string] => [`http://${host}/canary${SAS}`, 'its host is a link-local address']),
  ['http:canary', '[REDACTED] is not a valid url: it names no host'],
  ['canary', 'unable to parse URL: "[REDACTED]"'],
])('%.60s is refused before any download', (uri, text) => {
  const attempt = () => planDownloads(['https://h/first', uri]);
  expect(attempt).toThrow(`processing file downloads failed: failed to download file[1]: `);
  expect(attempt).toThrow(text);
  expect(attempt).toThrow(expect.objectContaining({ code: 'FILE_INVALID', statusCode: 25 }));
  expect(attempt).not.toThrow(/canary|sig=/);
});

it('two URLs of one file name are refused: one file would be lost', () => {
  const attempt = () => planDownloads(['https://h/a/run.sh', 'https://h/b', 'https://h/c/run%2Esh']);
  expect(attempt).toThrow('failed to download file[2]: its file name is the same as that of file[0]');
});
