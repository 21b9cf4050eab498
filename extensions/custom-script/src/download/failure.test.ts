import { describe, expect, it } from 'vitest';
import { CLARIFICATION_CODES } from '../errors.ts';
import { parseRetryAfter, refusalOf, transportFailure } from './failure.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const P = 'CustomScript failed to download the file from h:81';

describe('an answer other than 200', () => {
  it.each<[number, string, number, string, string]>([
    [
      400,
      'Bad Request',
      -41,
      'never',
      `${P} because parts of the request were incorrectly formatted, missing, and/or invalid. The response code and message returned were: "400 Bad Request"`,
    ],
    [
      401,
      'Unauthorized',
      52,
      'never',
      `${P} because access was denied. Please fix the blob permissions and try again, the response code and message returned were: "401 Unauthorized"`,
    ],
    [
      403,
      'Forbidden',
      54,
      'never',
      `${P} because the server returned a response code and message of "403 Forbidden" Please verify the machine has network connectivity.`,
    ],
    [
      404,
      'Not Found',
      53,
      'never',
      `${P} because it does not exist. Please create the blob and try again, the response code and message returned were: "404 Not Found"`,
    ],
    [
      500,
      'Internal Server Error',
      -1,
      'always',
      `${P} due to an issue with storage. The response code and message returned were: "500 Internal Server Error"`,
    ],
    [
      503,
      '',
      54,
      'always',
      `${P} because the server returned a response code and message of "503" Please verify the machine has network connectivity.`,
    ],
    [
      429,
      'Slow',
      54,
      'always',
      `${P} because the server returned a response code and message of "429 Slow" Please verify the machine has network connectivity.`,
    ],
    [
      206,
      'Partial',
      54,
      'never',
      `${P} because the server returned a response code and message of "206 Partial" Please verify the machine has network connectivity.`,
    ],
  ])('%i %s has code %i and is tried again: %s', (status, statusText, code, retry, message) => {
    const failure = refusalOf(new Response(null, { status, statusText }), 'h:81', NOW);
    expect(failure.message).toBe(message);
    expect(CLARIFICATION_CODES[failure.errorName]).toBe(code);
    expect(failure.retry).toBe(retry);
  });

  it('names the request id of the service, and only a well-formed one', () => {
    const answer = (id: string) => new Response(null, { status: 404, headers: { 'x-ms-request-id': id } });
    expect(refusalOf(answer('ab-12'), 'h', NOW).message).toMatch(/ \(Service request ID: ab-12\)$/);
    expect(refusalOf(answer('a b'), 'h', NOW).message).not.toContain('Service request');
  });
});

it.each<[string | null, number]>([
  [null, 0],
  ['5', 5_000],
  [' 7 ', 7_000],
  ['0', 0],
  ['-3', 0],
  ['soon', 0],
  ['', 0],
  ['1e9', 0],
  ['Fri, 02 Jan 2026 03:04:15 GMT', 10_000],
  ['Fri, 02 Jan 2026 03:00:00 GMT', 0],
])('Retry-After %j asks for %i ms', (value, ms) => {
  expect(parseRetryAfter(value, NOW)).toBe(ms);
});

describe('a failed connection', () => {
  const failed = (code: string) => {
    const cause = Object.assign(new Error('https://h/?sig=canary'), { code });
    return new TypeError('fetch failed https://h/?sig=canary', { cause });
  };
  it.each<[string, 'request' | 'body', string, string, string]>([
    [
      'ECONNREFUSED',
      'request',
      'DOWNLOAD_FAILED',
      'always',
      'http request failed: cannot connect to h: the connection was refused (ECONNREFUSED)',
    ],
    [
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'request',
      'DOWNLOAD_FAILED',
      'never',
      'http request failed: the certificate of h is not trusted by this VM (DEPTH_ZERO_SELF_SIGNED_CERT)',
    ],
    [
      'CERT_HAS_EXPIRED',
      'request',
      'DOWNLOAD_FAILED',
      'never',
      'http request failed: the certificate of h is not trusted by this VM (CERT_HAS_EXPIRED)',
    ],
    [
      'ETIMEDOUT',
      'request',
      'DOWNLOAD_TIMED_OUT',
      'always',
      'http request timed out: h: no answer (ETIMEDOUT)',
    ],
    [
      'UND_ERR_SOCKET',
      'body',
      'DOWNLOAD_CUT',
      'always',
      'the response from h broke off before the file was complete (UND_ERR_SOCKET). Please try again',
    ],
  ])('%s in the %s is %s and tried again: %s', (code, during, errorName, retry, message) => {
    expect(transportFailure(failed(code), 'h', during)).toMatchObject({ errorName, retry, message });
  });

  it('shows nothing of an error that has no code', () => {
    expect(transportFailure('https://h/?sig=canary', 'h', 'request').message).not.toContain('canary');
  });
});
