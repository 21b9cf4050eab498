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
    ...['Malformed_HTTP_Response', 'UND_ERR_HEADERS_OVERFLOW', 'HPE_INVALID_CONTENT_LENGTH'].map(
      (code): [string, 'request', 'transport', 'never', string] => [
        ...([code, 'request', 'transport', 'never'] as const),
        `the answer of h is no valid HTTP or has too large headers (${code}); check the server and the URL`,
      ],
    ),
  ])('%s in the %s is of the kind %s and tried again: %s', (code, during, kind, retry, detail) => {
    expect(transportFailure(failed(code), 'h', during)).toMatchObject({ details: { kind, detail }, retry });
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
  expect(refusalOf(answer('ab-12'), 'h', 0).details).toMatchObject({
    serviceRequestId: 'ab-12',
    detail: 'h answered 404; check that the file exists (service request ID: ab-12)',
  });
  expect(refusalOf(answer('a b'), 'h', 0).details.serviceRequestId).toBeUndefined();
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
