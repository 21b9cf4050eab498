import type { DownloadFailureDetails } from '@handlerkit/sdk';
import { DownloadError } from '@handlerkit/sdk';
import { describe, expect, it } from 'vitest';
import { downloadFailure } from './failure.ts';

const P = 'CustomScript failed to download the file from h:81';
const INTO = 'failed to download response and write to file: /vm/a.sh: ';

const failed = (details: Partial<DownloadFailureDetails>) =>
  downloadFailure(
    new DownloadError('/vm/a.sh', { kind: 'refused', host: 'h:81', detail: 'what the SDK says', ...details }),
    '/vm/a.sh',
  );

describe('an answer other than 200', () => {
  it.each<[number, string, number, string]>([
    [
      400,
      'Bad Request',
      -41,
      `${P} because parts of the request were incorrectly formatted, missing, and/or invalid. The response code and message returned were: "400 Bad Request"`,
    ],
    [
      401,
      'Unauthorized',
      52,
      `${P} because access was denied. Please fix the blob permissions and try again, the response code and message returned were: "401 Unauthorized"`,
    ],
    [
      403,
      'Forbidden',
      54,
      `${P} because the server returned a response code and message of "403 Forbidden" Please verify the machine has network connectivity.`,
    ],
    [
      404,
      'Not Found',
      53,
      `${P} because it does not exist. Please create the blob and try again, the response code and message returned were: "404 Not Found"`,
    ],
    [
      500,
      'Internal Server Error',
      -1,
      `${P} due to an issue with storage. The response code and message returned were: "500 Internal Server Error"`,
    ],
    [
      503,
      '',
      54,
      `${P} because the server returned a response code and message of "503" Please verify the machine has network connectivity.`,
    ],
    [
      206,
      'Partial',
      54,
      `${P} because the server returned a response code and message of "206 Partial" Please verify the machine has network connectivity.`,
    ],
  ])('%i %s has the code %i and the published text', (status, statusText, code, message) => {
    const error = failed({ status, statusText });
    expect(error.message).toBe(INTO + message);
    expect(error.statusCode).toBe(code);
  });

  it('names the request id of the service', () => {
    const error = failed({ status: 404, statusText: '', serviceRequestId: 'ab-12' });
    expect(error.message).toMatch(/ \(Service request ID: ab-12\)$/);
  });
});

it.each<[DownloadFailureDetails['kind'], string, number, string]>([
  ['timeout', 'DOWNLOAD_TIMED_OUT', 56, `${INTO}http request timed out: what the SDK says`],
  ['transport', 'DOWNLOAD_FAILED', -40, `${INTO}http request failed: what the SDK says`],
  ['body', 'DOWNLOAD_CUT', 55, `${INTO}what the SDK says`],
  ['integrity', 'DOWNLOAD_CHECKSUM', 57, `${INTO}what the SDK says`],
  ['disk', 'DOWNLOAD_FAILED', -40, 'what the SDK says'],
  ['no-space', 'DOWNLOAD_FAILED', -40, 'what the SDK says'],
])('a failure of the kind %s is %s, code %i', (kind, code, statusCode, message) => {
  expect(failed({ kind })).toMatchObject({ code, statusCode, message });
});
