/**
 * Servers that answer wrongly, slowly or with traps, asked by a packed handler: whatever comes, the file is whole or is not there, the
 * error says what to do, a request is made again only where that can help, and nothing shows the secrets of the URL.
 */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { UnpackedPackage } from '../unpacked-handler.ts';
import { unpackPackage } from '../unpacked-handler.ts';
import type { RawAnswer, RawServer } from './raw-server.ts';
import { drip, head, inTurn, say, sayAndEnd, sayAndReset, startRawServer } from './raw-server.ts';
import type { DownloadSettings } from './tried-download.ts';
import { CANARY, fewAtATime, tryToDownload } from './tried-download.ts';

/** What is answered; the file that is there in the end, or a part of the error; and how many requests come. */
type Row = readonly [
  name: string,
  answer: RawAnswer,
  wanted: string | Buffer | RegExp,
  requests: number,
  settings?: DownloadSettings,
];

const OK = 'HTTP/1.1 200 OK';
const CHUNKED = head(OK, 'transfer-encoding: chunked');
const ok = (length: number, ...lines: readonly string[]): string =>
  head(OK, `content-length: ${length}`, ...lines);
const status = (code: number, ...lines: readonly string[]): RawAnswer =>
  say(head(`HTTP/1.1 ${code} Word`, 'content-length: 6', ...lines), 'nofile');
const bare = (code: number): RawAnswer => say(head(`HTTP/1.1 ${code} Word`));
const redirect = (to: string, code = 302): RawAnswer =>
  say(head(`HTTP/1.1 ${code} Found`, `location: ${to}`, 'content-length: 0'));
/** Paths on the same server, one after the other, and then the file. */
const chain = (...codes: readonly number[]): RawAnswer =>
  inTurn(
    ...codes.map(
      (code): RawAnswer =>
        ({ origin, ...exchange }) =>
          redirect(`${origin}/chain?again=${exchange.attempt}`, code)({ origin, ...exchange }),
    ),
    say(ok(2), 'ok'),
  );
const packed = gzipSync('hello world '.repeat(100));
const packedAnswer = (bytes: Buffer): RawAnswer => say(ok(bytes.length, 'content-encoding: gzip'), bytes);
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const BROKE_OFF = /broke off before the file was complete/;
const NO_HTTP = /is no valid HTTP or has too large headers \(\w+\); check the server and the URL/;
const NOT_UNPACKED = /cannot be unpacked \(\w+\); correct the content encoding that the server names/;
const RESET = /the connection was (?:reset|closed)/;
const PLATFORM = /redirects to an address of the platform or a link-local one, which is refused/;

const ANSWERS: readonly Row[] = [
  ['204', bare(204), /answered 204/, 1],
  ['206 that nobody asked for', status(206, 'content-range: bytes 0-5/6'), /answered 206/, 1],
  ['302 without a place', status(302), /answered 302/, 1],
  ['304', bare(304), /answered 304/, 1],
  ['401', status(401), /answered 401 Word; check that the URL or the credentials grant access/, 1],
  ['403', status(403), /answered 403 Word; check that .* have not expired/, 1],
  ['404', status(404), /answered 404 Word; check that the file exists/, 1],
  ['410', status(410), /answered 410/, 1],
  ['416', status(416), /answered 416/, 1],
  ['429', status(429), /answered 429/, 3],
  ['500', status(500), /answered 500/, 3],
  ['511', status(511), /answered 511 Word; the network wants to be signed in to/, 1],
  ['999', status(999), /answered 999/, 1],
  ['503 and a negative Retry-After', status(503, 'retry-after: -5'), /answered 503/, 3],
  ['503 and a Retry-After of the past', status(503, 'retry-after: Wed, 21 Oct 2015 07:28:00 GMT'), /503/, 3],
  ['503 and a Retry-After that is none', status(503, 'retry-after: soon'), /answered 503/, 3],
  [
    '503 and a Retry-After beyond the time that is left',
    status(503, 'retry-after: 99999999999999999999'),
    /answered 503 Word; try again later/,
    1,
    { totalMs: 5_000 },
  ],
  [
    '429, Retry-After in seconds, then the file',
    inTurn(status(429, 'retry-after: 1'), say(ok(2), 'ok')),
    'ok',
    2,
  ],
  [
    'a reason that repeats the query',
    sayAndEnd(head(`HTTP/1.1 404 no /file?sig=${CANARY}`, 'content-length: 0')),
    /answered 404; check/,
    1,
  ],
  ['the file after 100', say(head('HTTP/1.1 100 Continue'), ok(2), 'ok'), 'ok', 1],
  ['the file after 103', say(head('HTTP/1.1 103 Early Hints', 'link: </x>'), ok(2), 'ok'), 'ok', 1],
  [
    '101',
    sayAndEnd(head('HTTP/1.1 101 Switching Protocols', 'upgrade: x', 'connection: upgrade')),
    NO_HTTP,
    1,
  ],
];

const REDIRECTS: readonly Row[] = [
  ['chain', chain(301, 302, 303, 307, 308), 'ok', 6],
  [
    'loop',
    (exchange) => redirect(`${exchange.origin}/loop?sig=${CANARY}`)(exchange),
    /more than 10 times/,
    11,
  ],
  ['file:', redirect('file:///etc/passwd'), /redirects to something that is not http or https/, 1],
  ['ftp:', redirect('ftp://127.0.0.1/file'), /redirects to something that is not http or https/, 1],
  ['no URL', redirect('http://[bad'), /redirects to an address that is not a valid URL/, 1],
  ['169.254.169.254', redirect('http://169.254.169.254/metadata/instance'), PLATFORM, 1],
  ['the same as one number', redirect('http://2852039166/'), PLATFORM, 1],
  ['the same in hexadecimal', redirect('http://0xA9FEA9FE/'), PLATFORM, 1],
  ['the same inside IPv6', redirect('http://[::ffff:169.254.169.254]/'), PLATFORM, 1],
  ['168.63.129.16', redirect('http://168.63.129.16/machine?comp=goalstate'), PLATFORM, 1],
];

const BODIES: readonly Row[] = [
  ['HTTP/1.0 without a length', sayAndEnd('HTTP/1.0 200 OK\r\n\r\nhello'), 'hello', 1],
  ['more bytes than the length', say(ok(5), 'hello and more'), 'hello', 1],
  ['fewer bytes than the length', sayAndEnd(ok(20), 'hello'), BROKE_OFF, 3],
  ['a negative length', sayAndEnd(ok(-5), 'hello'), NO_HTTP, 1],
  ['a length twice', sayAndEnd(ok(5, 'content-length: 5'), 'hello'), 'hello', 1],
  ['two lengths', sayAndEnd(ok(5, 'content-length: 3'), 'hello'), NO_HTTP, 1],
  ['a length of 64 bits', sayAndEnd(head(OK, 'content-length: 9223372036854775808'), 'hello'), BROKE_OFF, 3],
  ['a length for no disk', sayAndEnd(ok(999_999_999_999_999), 'hello'), /not enough free space/, 1],
  [
    'a length and chunks',
    sayAndEnd(ok(3, 'transfer-encoding: chunked'), '5\r\nhello\r\n0\r\n\r\n'),
    /has 5 bytes, but 3 were announced/,
    3,
  ],
  ['chunks with extension and trailer', say(CHUNKED, '5;a=b\r\nhello\r\n0\r\nx-a: b\r\n\r\n'), 'hello', 1],
  ['chunks without a last one', sayAndEnd(CHUNKED, '5\r\nhello\r\n'), BROKE_OFF, 3],
  ['a chunk without a size', sayAndEnd(CHUNKED, 'zz\r\nhello\r\n0\r\n\r\n'), BROKE_OFF, 3],
  ['a chunk of a size beyond 64 bits', sayAndEnd(CHUNKED, 'FFFFFFFFFFFFFFFFF\r\nhello\r\n'), BROKE_OFF, 3],
  ['a chunk longer than its size', sayAndEnd(CHUNKED, '5\r\nhello you\r\n0\r\n\r\n'), BROKE_OFF, 3],
  ['an unknown transfer encoding', sayAndEnd(head(OK, 'transfer-encoding: x'), 'hello'), NO_HTTP, 1],
  [
    'a transfer encoding that nobody asked for',
    sayAndEnd(
      head(OK, 'transfer-encoding: gzip, chunked'),
      `${packed.length.toString(16)}\r\n`,
      packed,
      '\r\n0\r\n\r\n',
    ),
    /packed for its way in a form that nobody asked for/,
    1,
  ],
  ['gzip', packedAnswer(packed), 'hello world '.repeat(100), 1],
  ['gzip that is cut', packedAnswer(packed.subarray(0, -12)), NOT_UNPACKED, 1],
  [
    'gzip with a wrong sum',
    packedAnswer(Buffer.concat([packed.subarray(0, -8), Buffer.alloc(8)])),
    NOT_UNPACKED,
    1,
  ],
  ['gzip that is none', say(ok(5, 'content-encoding: gzip'), 'hello'), NOT_UNPACKED, 1],
  ['gzip that is not declared', say(ok(packed.length), packed), packed, 1],
  [
    'gzip of more than is allowed',
    packedAnswer(gzipSync(Buffer.alloc(20_000_000))),
    /at most 1000000 are allowed/,
    1,
    { maxBytes: 1_000_000 },
  ],
  ['chunks of more than is allowed', say(CHUNKED, '5\r\nhello\r\n'), /at least 5 bytes/, 1, { maxBytes: 4 }],
  ['nothing', say(ok(0)), '', 1],
  ['nothing for a checksum', say(ok(0)), /does not have the SHA-256/, 1, { sha256: sha256('hello') }],
  [
    'a page to sign in to',
    say(ok(6, 'content-type: text/html'), '<html>'),
    /does not have the SHA-256 that was asked for/,
    1,
    { sha256: sha256('hello') },
  ],
  [
    'a wrong MD5',
    say(ok(2, 'content-md5: AAAAAAAAAAAAAAAAAAAAAA=='), 'ok'),
    /the MD5 that the server gave/,
    2,
  ],
];

const HEADS: readonly Row[] = [
  ['no answer but an end', ({ socket }) => void socket.end(), RESET, 3],
  ['a reset', sayAndReset(), RESET, 3],
  ['half a head and a reset', sayAndReset('HTTP/1.1 200 OK\r\ncontent-le'), RESET, 3],
  ['HTTP/0.9', sayAndEnd('hello\r\n'), RESET, 3],
  ['a line without a colon', sayAndEnd(ok(2, 'no colon'), 'ok'), NO_HTTP, 1],
  ['a NUL', sayAndEnd(ok(2, 'x: a\0b'), 'ok'), NO_HTTP, 1],
  [
    'control characters',
    sayAndEnd(head('HTTP/1.1 404 \u001b[31mred\u0007', 'content-length: 0')),
    NO_HTTP,
    1,
  ],
  [
    'ten thousand lines',
    sayAndEnd(ok(2, ...Array.from({ length: 10_000 }, (_, n) => `x-${n}: y`)), 'ok'),
    NO_HTTP,
    1,
  ],
  ['a very long reason', sayAndEnd(head(`HTTP/1.1 404 ${'r'.repeat(9_000)}`)), /answered 404 r{100};/, 1],
];

const SLOW = /no answer in time\. Please verify the machine has network connectivity/;
const STOPPED = /the server stopped sending before the file was complete/;
const SLOWNESS: readonly Row[] = [
  ['silence', () => undefined, SLOW, 2, { headersMs: 400 }],
  ['a head byte by byte', drip('', `${ok(2)}ok`, 100), SLOW, 2, { headersMs: 400 }],
  [
    'interim answers for ever',
    ({ socket }) => {
      const timer = setInterval(() => socket.write(head('HTTP/1.1 100 Continue')), 20);
      socket.once('close', () => clearInterval(timer));
    },
    SLOW,
    2,
    { headersMs: 400 },
  ],
  [
    'redirects that each take their time',
    (exchange) =>
      void setTimeout(
        () => redirect(`${exchange.origin}/redirects-that-each-take-their-time`)(exchange),
        150,
      ),
    SLOW,
    -1,
    { headersMs: 400 },
  ],
  ['a body byte by byte', drip(ok(1_000), 'x'.repeat(1_000), 50), STOPPED, 2, { idleMs: 400 }],
  [
    'a body that is steady, but too long',
    ({ socket }) => {
      socket.write(ok(100_000_000));
      const timer = setInterval(() => socket.write(Buffer.alloc(4096)), 20);
      socket.once('close', () => clearInterval(timer));
    },
    /the file was not complete after 1 seconds/,
    1,
    { totalMs: 1_000 },
  ],
  [
    'a refusal byte by byte',
    drip(head('HTTP/1.1 403 No', 'content-length: 99'), 'x'.repeat(99), 50),
    /403/,
    1,
  ],
];

describe('a server over HTTP', () => {
  let probe: UnpackedPackage;
  let server: RawServer;
  beforeAll(async () => {
    probe = unpackPackage(inject('probeZip'));
    server = await startRawServer();
  });
  afterAll(async () => {
    await server.close();
    probe.remove();
  });

  const pathOf = (name: string): string => name.replaceAll(/[^\w]+/g, '-');
  /** Downloads from all, and gives what came of it in the words of {@link wantedOf}. */
  const outcomes = (rows: readonly Row[]) =>
    fewAtATime(rows, async ([name, answer, wanted, requests, settings]) => {
      const url = server.url(pathOf(name), answer);
      const tried = await tryToDownload(probe, url, settings);
      const seen = requests === -1 ? -1 : server.heads(pathOf(name)).length;
      const { content, message, status: verdict, exitCode, broken } = tried;
      const isRight =
        wanted instanceof RegExp
          ? content === undefined && wanted.test(message)
          : content?.equals(Buffer.from(wanted)) === true;
      return { name, verdict, exitCode, seen, broken, isRight, message: isRight ? '' : message };
    });
  const wantedOf = (rows: readonly Row[]) =>
    rows.map(([name, , wanted, requests]) => {
      const [verdict, exitCode] = wanted instanceof RegExp ? ['error', 1] : ['success', 0];
      return { name, verdict, exitCode, seen: requests, broken: [], isRight: true, message: '' };
    });

  it.each([
    ['A25: answers of every status are taken, refused or asked for again as they should be', ANSWERS],
    ['A25: redirects are followed to their end, and never to a file, a loop or the platform', REDIRECTS],
    ['A25: a body is whole or there is no file, however it is framed and packed', BODIES],
    ['A25: a head that is none is an error that says so', HEADS],
    ['A26: a server that is slow in any part of its answer is given up in time', SLOWNESS],
  ])('%s', async (_, rows) => {
    expect(await outcomes(rows)).toEqual(wantedOf(rows));
  });

  it('A25: a redirect to another host takes neither credentials nor the headers of Azure along', async () => {
    const other = await startRawServer();
    try {
      const target = other.url('target', say(ok(2), 'ok'));
      const url = server.url('cross', redirect(target.replace('127.0.0.1', 'localhost')));
      const { content, message, broken } = await tryToDownload(
        probe,
        url.replace('//', '//user:canary-password@'),
      );
      expect({ content: content?.toString(), message, broken }).toMatchObject({ content: 'ok', broken: [] });
      expect(server.heads('cross').join('\n')).toMatch(/^authorization: Basic /im);
      expect(other.heads('target')).toHaveLength(1);
      expect(other.heads('target').join('\n')).not.toMatch(/authorization|x-ms-|referer|sig=/i);
    } finally {
      await other.close();
    }
  });
});
