/** Blobs that the service refuses to a managed identity: a real server on the loopback, in the place of the storage service. */
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:http';
import type { OperationOutcome, TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import type { IdentityEndpoint } from './fixtures/azurite.ts';
import { BLOB_ORIGIN, startIdentityEndpoint } from './fixtures/azurite.ts';
import { handler } from './handler.ts';

const HOST = new URL(BLOB_ORIGIN).host;
const READ_PERMISSION = 'the specified Managed Identity has read permissions to the storage blob';

let identity: IdentityEndpoint;
let machine: TestMachine;
let requests: IncomingMessage[];
/** What the service answers to a request without, and with a token. */
let answers: { readonly open: number; readonly token: number };
const service = createServer((request, response) => {
  requests.push(request);
  const status = request.headers.authorization === undefined ? answers.open : answers.token;
  response.writeHead(status, { 'x-ms-request-id': 'request-7' }).end('content');
});

beforeEach(async () => {
  requests = [];
  identity = await startIdentityEndpoint();
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const address = service.address();
  const port = typeof address === 'object' ? address?.port : 0;
  machine = createTestMachine({
    extension,
    fetch: (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      return fetch(url.host === HOST ? `http://127.0.0.1:${port}${url.pathname}` : url, init);
    },
  });
});
afterEach(async () => {
  machine.remove();
  service.closeAllConnections();
  await new Promise((resolve) => service.close(resolve));
  await identity.stop();
});

/** Applies the settings, with a clock that runs a thousand times as fast. */
async function enable(): Promise<OperationOutcome> {
  let isDone = false;
  const running = machine
    .enable(
      handler,
      {
        public: { commandToExecute: 'true', fileUris: [`${BLOB_ORIGIN}/private/a.bin`] },
        protected: { managedIdentity: {} },
      },
      { env: { IDENTITY_ENDPOINT: identity.url } },
    )
    .finally(() => {
      isDone = true;
    });
  while (!isDone) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    await machine.advance(5_000);
  }
  return running;
}

it.each<[number, number, string]>([
  [400, 72, 'the token of the managed identity was not accepted'],
  [401, 72, 'the token of the managed identity was not accepted'],
  [403, 71, `please ensure that ${READ_PERMISSION}`],
  [404, 70, `please ensure that the blob location in the fileUri setting exists, and ${READ_PERMISSION}`],
  [409, 72, 'the token of the managed identity was not accepted'],
])('a service that answers %i to the token is code %i', async (token, code, text) => {
  answers = { open: 404, token };
  const { status, exitCode } = await enable();
  expect([status?.status, status?.code, exitCode]).toEqual(['error', code, 1]);
  expect(status?.substatus).toMatchObject([{ name: 'ErrorClarification', status: 'error', code }]);
  expect(status?.message).toMatch(
    /^Enable failed: processing file downloads failed: failed to download file\[0\]: failed to download response and write to file: \S+\/download\/0\/a\.bin: CustomScript failed to download the file from hkaccount\.blob\.core\.windows\.net, the response code and message returned were: "\d+ [\w ]+" \(Service request ID: request-7\): /,
  );
  expect(status?.message).toContain(`"${token} `);
  expect(status?.message).toContain(text);
  expect(requests.map(({ headers }) => headers.authorization)).toEqual([
    undefined,
    `Bearer ${identity.token}`,
  ]);
  expect(`${status?.message}${machine.readLog()}`).not.toContain('canarysignature');
});

it.each<[number, number, string]>([
  [500, -1, 'due to an issue with storage'],
  [503, 54, 'because the server returned a response code and message of "503 '],
  [429, 54, 'because the server returned a response code and message of "429 '],
])(
  'a service that goes on answering %i to the token has trouble of its own: code %i',
  async (token, code, text) => {
    answers = { open: 404, token };
    const { status } = await enable();
    expect([status?.status, status?.code]).toEqual(['error', code]);
    expect(status?.message).toContain(text);
    expect(status?.message).not.toContain('Managed Identity');
    expect([requests.length, identity.requests.length]).toEqual([8, 1]);
  },
);

it.each([401, 403, 404, 409])('a token is asked for after the answer %i', async (open) => {
  answers = { open, token: 200 };
  expect((await enable()).status?.status).toBe('success');
  expect([requests.length, identity.requests.length]).toEqual([2, 1]);
  expect(requests[1]?.headers['x-ms-version']).toBe('2018-03-28');
});

it('a token is of no use after an answer that no token changes', async () => {
  answers = { open: 400, token: 200 };
  expect((await enable()).status).toMatchObject({ status: 'error', code: -41 });
  expect(identity.requests).toEqual([]);
});

it.each<[number, number]>([
  [400, 72],
  [500, -30],
  [503, -30],
])(
  'a token endpoint that goes on answering %i is code %i, and the blob is not asked for again',
  async (status, code) => {
    answers = { open: 404, token: 200 };
    identity.status = status;
    const outcome = await enable();
    expect(outcome.status).toMatchObject({ status: 'error', code });
    expect(outcome.status?.message).toContain('Unable to get managed identity token: ');
    expect(outcome.status?.message).toContain(`gave no token of the managed identity (${status})`);
    expect(identity.requests).toHaveLength(status === 400 ? 1 : 9);
    expect(requests).toHaveLength(1);
  },
);

it('a token endpoint that is down for a moment delays the download only', async () => {
  answers = { open: 404, token: 200 };
  identity.firstStatuses.push(503, 500);
  expect((await enable()).status?.status).toBe('success');
  expect([requests.length, identity.requests.length]).toEqual([2, 3]);
});
