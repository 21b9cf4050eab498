/**
 * Servers and proxies that a packed handler must not trust or cannot speak to: wrong, expired and unknown certificates, an old TLS, no TLS,
 * and proxies that refuse, answer for others, or are not there.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { createCertificate } from '@handlerkit/sdk/testing';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { UnpackedPackage } from '../unpacked-handler.ts';
import { unpackPackage } from '../unpacked-handler.ts';
import { head, say, startRawServer } from './raw-server.ts';
import type { TriedDownload } from './tried-download.ts';
import { fewAtATime, tryToDownload } from './tried-download.ts';

const FILE = say(head('HTTP/1.1 200 OK', 'content-length: 2'), 'ok');
const PASSWORD = 'canary-password';

let probe: UnpackedPackage;
beforeAll(() => {
  probe = unpackPackage(inject('probeZip'));
});
afterAll(() => probe.remove());

/** What is looked at: is the file there, does the text fit, how often was the server asked, and is nothing told. */
const judge = (tried: TriedDownload, wanted: string, asked: number) => {
  const { content, message, broken } = tried;
  const isThere = content?.toString() === 'ok';
  const isRight = wanted === 'the file' ? isThere : content === undefined && message.includes(wanted);
  return {
    said: isRight ? wanted : message,
    asked,
    broken: message.includes(PASSWORD) ? [PASSWORD] : broken,
  };
};

describe('a server over TLS', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'handlerkit-tls-'));
    make('authority', []);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const make = (name: string, words: readonly string[]): void => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-days', '2'];
    const out = ['-keyout', `${name}.key`, '-out', `${name}.pem`, '-subj', `/CN=${name}`];
    execFileSync('openssl', ['req', '-x509', ...key, ...words, ...out], { cwd: folder, stdio: 'ignore' });
  };
  const signed = (name: string, alternative: string): TlsOptions => {
    const authority = ['-CA', 'authority.pem', '-CAkey', 'authority.key'];
    make(name, [...authority, '-addext', `subjectAltName=${alternative}`]);
    const read = (kind: string): string => readFileSync(join(folder, `${name}.${kind}`), 'utf8');
    return { key: read('key'), cert: read('pem') };
  };

  it('A24: a certificate that does not fit is refused at once, and another TLS after a second try', async () => {
    const good = signed('good', 'IP:127.0.0.1');
    const { privateKeyPem, certificatePem } = createCertificate();
    const self = { key: privateKeyPem, cert: certificatePem };
    const weak = { ...good, ciphers: 'DEFAULT@SECLEVEL=0' };
    const known = { SSL_CERT_FILE: join(folder, 'authority.pem') };
    const notTrusted = (code: string): string => `is not trusted by this VM (${code})`;
    const otherTls =
      'the other side speaks no TLS that this program knows, 1.2 or later, or asks for a certificate';
    const rows: readonly (readonly [string, TlsOptions, Readonly<Record<string, string>>, string, number])[] =
      [
        ['right', good, known, 'the file', 1],
        ['TLS 1.2', { ...good, maxVersion: 'TLSv1.2' }, known, 'the file', 1],
        [
          'for another name',
          signed('other', 'DNS:other.example'),
          known,
          notTrusted('ERR_TLS_CERT_ALTNAME_INVALID'),
          0,
        ],
        ['of an unknown authority', good, {}, notTrusted('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 0],
        ['signed by itself', self, known, notTrusted('DEPTH_ZERO_SELF_SIGNED_CERT'), 0],
        ['TLS 1.0', { ...weak, minVersion: 'TLSv1', maxVersion: 'TLSv1' }, known, otherTls, 0],
        ['TLS 1.1', { ...weak, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' }, known, otherTls, 0],
        [
          'asks for a certificate',
          { ...good, requestCert: true, rejectUnauthorized: true },
          known,
          otherTls,
          0,
        ],
      ];
    const results = await fewAtATime(rows, async ([name, tls, env, wanted]) => {
      const server = await startRawServer(tls);
      try {
        const tried = await tryToDownload(probe, server.url('file', FILE), {}, { env });
        return { name, ...judge(tried, wanted, server.heads('file').length) };
      } finally {
        await server.close();
      }
    });
    expect(results).toEqual(rows.map(([name, , , said, asked]) => ({ name, said, asked, broken: [] })));
  });

  it('A24: an expired certificate is refused, and a redirect from https to http is not followed', async () => {
    const good = signed('redirecting', 'IP:127.0.0.1');
    const known = { SSL_CERT_FILE: join(folder, 'authority.pem') };
    const plain = await startRawServer();
    const redirecting = await startRawServer(good);
    // The machine's clock stays: what began and ended in 1970 has expired.
    const expired = await startRawServer(expiredCertificate());
    try {
      const to = head('HTTP/1.1 302 Found', `location: ${plain.url('file', FILE)}`, 'content-length: 0');
      const down = await tryToDownload(probe, redirecting.url('down', say(to)), {}, { env: known });
      expect(
        judge(down, 'redirects from https to http, which is refused', plain.heads('file').length),
      ).toMatchObject({
        said: 'redirects from https to http, which is refused',
        asked: 0,
        broken: [],
      });
      const old = await tryToDownload(probe, expired.url('file', FILE), {}, { env: known });
      expect(judge(old, '(CERT_HAS_EXPIRED)', expired.heads('file').length)).toMatchObject({
        said: '(CERT_HAS_EXPIRED)',
        asked: 0,
      });
    } finally {
      await Promise.all([plain, redirecting, expired].map((server) => server.close()));
    }
  });

  /** `openssl x509 -req` takes only days from now, but a negative number of them. */
  const expiredCertificate = (): TlsOptions => {
    const run = (...words: readonly string[]): void => {
      execFileSync('openssl', words, { cwd: folder, stdio: 'ignore' });
    };
    run('req', '-new', '-key', 'authority.key', '-subj', '/CN=expired', '-out', 'expired.csr');
    const signer = ['-CA', 'authority.pem', '-CAkey', 'authority.key', '-CAcreateserial'];
    run('x509', '-req', '-in', 'expired.csr', ...signer, '-days', '-1', '-out', 'expired.pem');
    const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
    return { key: read('authority.key'), cert: read('expired.pem') };
  };
});

/** A server that does one thing with each connection once something was said. */
const startOddServer = async (onData: (socket: Socket) => void) => {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on('error', () => socket.destroy());
    socket.once('data', () => onData(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    connections: () => connections,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
};
type OddRow = readonly [string, (socket: Socket) => void, string, number];
const answer =
  (text: string) =>
  (socket: Socket): void =>
    void socket.end(text);
const close = (socket: Socket): void => void socket.end();

it('A24: a server that is none of TLS is told as that, or as one that goes away', async () => {
  const rows: readonly OddRow[] = [
    [
      'HTTP where HTTPS is asked for',
      answer(head('HTTP/1.1 400 Bad')),
      'speaks no TLS that this program knows',
      2,
    ],
    [
      'an alert',
      (socket) => void socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, 40])),
      'speaks no TLS that',
      2,
    ],
    ['an end', close, 'the connection was reset', 3],
    ['a reset', (socket) => void socket.resetAndDestroy(), 'the connection was reset', 3],
    ['silence', () => undefined, 'no answer in time', 2],
  ];
  const results = await fewAtATime(rows, async ([name, onData, wanted]) => {
    const server = await startOddServer(onData);
    const tried = await tryToDownload(probe, `https://${server.host}/file`, { headersMs: 500 });
    await server.close();
    return { name, ...judge(tried, wanted, server.connections()) };
  });
  expect(results).toEqual(rows.map(([name, , said, asked]) => ({ name, said, asked, broken: [] })));
});

describe.each(['http', 'https'])('a proxy for %s', (scheme) => {
  it('A24: that refuses, fails, answers for others or is not there is told without its password', async () => {
    const http = (line: string, ...lines: readonly string[]) =>
      answer(head(line, 'content-length: 0', ...lines));
    const portal = answer(`${head('HTTP/1.1 200 OK', 'content-type: text/html', 'content-length: 6')}<html>`);
    const isTunnel = scheme === 'https';
    const refused = 'the proxy does not let the request through';
    const row = (
      name: string,
      onData: (socket: Socket) => void,
      plain: readonly [string, number],
      tunnel: readonly [string, number],
    ): OddRow => [name, onData, ...(isTunnel ? tunnel : plain)];
    const rows: readonly OddRow[] = [
      row(
        '407',
        http('HTTP/1.1 407 Proxy Authentication Required', 'proxy-authenticate: Basic'),
        ['check the user name and password of the proxy', 1],
        [refused, 2],
      ),
      row('403', http('HTTP/1.1 403 Forbidden'), ['answered 403 Forbidden', 1], [refused, 2]),
      row('502', http('HTTP/1.1 502 Bad Gateway'), ['answered 502 Bad Gateway', 3], [refused, 2]),
      row('a page to sign in to', portal, ['does not have the SHA-256', 1], ['speaks no TLS that', 2]),
      row('an end', close, ['the connection was reset', 3], ['the connection was reset', 3]),
      row('silence', () => undefined, ['no answer in time', 2], ['no answer in time', 2]),
    ];
    const download = (host: string) =>
      tryToDownload(
        probe,
        `${scheme}://files.example/file`,
        { headersMs: 500, sha256: '0'.repeat(64) },
        { env: { [`${scheme}_proxy`]: `http://user:${PASSWORD}@${host}` } },
      );
    const results = await fewAtATime(rows, async ([name, onData, wanted]) => {
      const proxy = await startOddServer(onData);
      const tried = await download(proxy.host);
      await proxy.close();
      return { name, ...judge(tried, wanted, proxy.connections()) };
    });
    expect(results).toEqual(rows.map(([name, , said, asked]) => ({ name, said, asked, broken: [] })));
    expect((await download('127.0.0.1:1')).message).toContain(
      'cannot connect to files.example through the proxy 127.0.0.1:1: the connection was refused',
    );
  });
});
