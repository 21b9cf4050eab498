import { describe, expect, it } from 'vitest';
import type { DownloadFailureKind } from './download-error.ts';
import { diskFailure, type Retry, refusalOf, transportFailure } from './failed-attempt.ts';

describe('a failed connection', () => {
  const failed = (code: string) => {
    const cause = Object.assign(new Error('https://h/?sig=canary'), { code });
    return new TypeError('fetch failed https://h/?sig=canary', { cause });
  };
  it.each<[string, 'request' | 'body', DownloadFailureKind, Retry, string]>([
    [
      'ECONNREFUSED',
      'request',
      'transport',
      'always',
      'cannot connect to h: the connection was refused (ECONNREFUSED)',
    ],
    ['ODD', 'request', 'transport', 'always', 'cannot connect to h: the connection failed (ODD)'],
    [
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'request',
      'transport',
      'never',
      'the certificate of h is not trusted by this VM (DEPTH_ZERO_SELF_SIGNED_CERT)',
    ],
    [
      'CERT_HAS_EXPIRED',
      'request',
      'transport',
      'never',
      'the certificate of h is not trusted by this VM (CERT_HAS_EXPIRED)',
    ],
    [
      'ERR_PROXY_TUNNEL',
      'request',
      'transport',
      'once',
      'cannot connect to h: the proxy does not let the request through (ERR_PROXY_TUNNEL)',
    ],
    ...['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER'].map(
      (code): [string, 'request', 'transport', 'once', string] => [
        ...([code, 'request', 'transport', 'once'] as const),
        `cannot connect to h: the other side speaks no TLS that this program knows, 1.2 or later, or asks for a certificate of its client (${code})`,
      ],
    ),
    [
      'EACCES',
      'request',
      'transport',
      'always',
      'cannot connect to h: a rule of this machine forbids the connection (EACCES)',
    ],
    ['ETIMEDOUT', 'request', 'timeout', 'always', 'h: no answer (ETIMEDOUT)'],
    ['UND_ERR_CONNECT_TIMEOUT', 'request', 'timeout', 'always', 'h: no answer (UND_ERR_CONNECT_TIMEOUT)'],
    [
      'UND_ERR_SOCKET',
      'body',
      'body',
      'always',
      'the response from h broke off before the file was complete (UND_ERR_SOCKET). Please try again',
    ],
    ...['Z_DATA_ERROR', 'ZlibError', 'BrotliDecompressionError', 'ZstdDecompressionError'].map(
      (code): [string, 'body', 'body', 'never', string] => [
        ...([code, 'body', 'body', 'never'] as const),
        `the response from h cannot be unpacked (${code}); correct the content encoding that the server names`,
      ],
    ),
    [
      'Z_BUF_ERROR',
      'body',
      'body',
      'once',
      'the response from h cannot be unpacked (Z_BUF_ERROR); correct the content encoding that the server names',
    ],
    ...[
      'Malformed_HTTP_Response',
      'UnrequestedUpgrade',
      'UND_ERR_HEADERS_OVERFLOW',
      'HPE_INVALID_CONTENT_LENGTH',
    ].map((code): [string, 'request', 'transport', 'never', string] => [
      ...([code, 'request', 'transport', 'never'] as const),
      `the answer of h is no valid HTTP or has too large headers (${code}); check the server and the URL`,
    ]),
  ])('%s in the %s is of the kind %s and tried again: %s', (code, during, kind, retry, detail) => {
    expect(transportFailure(failed(code), 'h', during)).toMatchObject({ details: { kind, detail }, retry });
  });

  it('names the proxy, which may be the one that cannot be reached', () => {
    expect(transportFailure(failed('ECONNREFUSED'), 'h', 'request', 'p:8080').message).toBe(
      'cannot connect to h through the proxy p:8080: the connection was refused (ECONNREFUSED)',
    );
  });

  it.each([
    'https://h/?sig=canary',
    new Error('canary'),
    Object.assign(new Error('x'), { code: 'canary sig=' }),
  ])('shows nothing of %s, which has no code', (thrown) => {
    expect(transportFailure(thrown, 'h', 'request').message).not.toContain('canary');
  });
});

it('a request id of the service is named only when it is well-formed', () => {
  const answer = (id: string) => new Response(null, { status: 404, headers: { 'x-ms-request-id': id } });
  expect(refusalOf(answer('ab-12'), new URL('http://h/'), 0).details).toMatchObject({
    serviceRequestId: 'ab-12',
    detail: 'h answered 404; check that the file exists (service request ID: ab-12)',
  });
  expect(refusalOf(answer('a b'), new URL('http://h/'), 0).details.serviceRequestId).toBeUndefined();
});

it.each([
  ['Nothing here', 'Nothing here'],
  ['no /a?b=1&sig=can%2Bary here', ''],
  ['can+ary', ''],
  [`${'long '.repeat(19)}can+ary`, ''],
  ['x'.repeat(200), 'x'.repeat(100)],
])('of the reason %j is shown %j', (statusText, shown) => {
  const { details } = refusalOf(
    new Response(null, { status: 404, statusText }),
    new URL('http://h/a?b=1&sig=can%2Bary'),
    0,
  );
  expect(details.statusText).toBe(shown);
  expect(details.detail).toBe(`h answered ${`404 ${shown}`.trim()}; check that the file exists`);
});

it.each<[string, DownloadFailureKind]>([
  ['ENOSPC', 'no-space'],
  ['EDQUOT', 'no-space'],
  ['EACCES', 'disk'],
])('%s is of the kind %s', (code, kind) => {
  const failure = diskFailure(Object.assign(new Error('canary'), { code }), 'h', '/vm/a');
  expect(failure.details).toMatchObject({
    kind,
    detail: expect.stringContaining(`cannot write /vm/a (${code})`),
  });
  expect(failure.retry).toBe('never');
});
