import { createHost } from '@handlerkit/sdk';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { IdentityEndpoint } from './fixtures/azurite.ts';
import { startIdentityEndpoint } from './fixtures/azurite.ts';
import type { TokenSource } from './identity-token.ts';
import { createTokenSource } from './identity-token.ts';

let endpoint: IdentityEndpoint;
let secrets: string[];

beforeEach(async () => {
  endpoint = await startIdentityEndpoint();
  secrets = [];
});
afterEach(() => endpoint.stop());

let elapsedMs = 0;
function source(identity: { clientId?: string; objectId?: string } = {}): TokenSource {
  const host = {
    ...createHost({ IDENTITY_ENDPOINT: endpoint.url }),
    sleep: async (): Promise<void> => undefined,
    elapsedMs: () => elapsedMs,
  };
  return createTokenSource(host, identity, (secret) => void secrets.push(secret));
}
const { signal } = new AbortController();

it('a token is asked for once, however many files need it at once, and is a secret', async () => {
  const tokens = source();
  const all = await Promise.all([tokens(signal), tokens(signal), tokens(signal)]);
  expect(all).toEqual([endpoint.token, endpoint.token, endpoint.token]);
  expect(await tokens(signal)).toBe(endpoint.token);
  expect([endpoint.requests.length, secrets]).toEqual([1, [endpoint.token]]);
});

it('a token is asked for anew when the run is longer than tokens may be valid', async () => {
  const tokens = source();
  await tokens(signal);
  elapsedMs += 14 * 60_000;
  await tokens(signal);
  expect(endpoint.requests).toHaveLength(1);
  elapsedMs += 60_000;
  await Promise.all([tokens(signal), tokens(signal)]);
  expect(endpoint.requests).toHaveLength(2);
});

it('after a failure it is asked for again', async () => {
  const tokens = source();
  endpoint.status = 400;
  await expect(tokens(signal)).rejects.toMatchObject({ code: 'IDENTITY_UNUSABLE' });
  endpoint.status = 200;
  expect(await tokens(signal)).toBe(endpoint.token);
});

it.each<[number, string, number]>([
  [400, 'IDENTITY_UNUSABLE', 72],
  [403, 'IDENTITY_UNUSABLE', 72],
  [404, 'IDENTITY_UNUSABLE', 72],
  [429, 'IDENTITY_UNUSABLE', 72],
  [500, 'IDENTITY_SERVICE_FAILED', -30],
  [503, 'IDENTITY_SERVICE_FAILED', -30],
])('an endpoint that answers %i is the error %s, code %i', async (status, code, statusCode) => {
  endpoint.status = status;
  await expect(source()(signal)).rejects.toMatchObject({ code, statusCode });
});

it.each([500, 502, 503, 504, 429])(
  'an endpoint that answers %i is asked again until it gives the token',
  async (status) => {
    endpoint.firstStatuses.push(status, status);
    expect(await source()(signal)).toBe(endpoint.token);
    expect(endpoint.requests).toHaveLength(3);
  },
);

it('an endpoint that stays down is asked nine times, and the error blames the service and not the identity', async () => {
  endpoint.status = 503;
  const error = await source({ clientId: 'c' })(signal).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'IDENTITY_SERVICE_FAILED', statusCode: -30, exitCode: 1 });
  expect(String(error)).toContain(
    `Unable to get managed identity token: ${new URL(endpoint.url).host} gave no token of the managed identity (503): the service is not available at the moment; try again in some minutes`,
  );
  expect(String(error)).not.toContain('Please make sure');
  expect(endpoint.requests).toHaveLength(9);
});

it.each(['{}', '{"access_token":""}', '{"access_token":7}', '<html>'])(
  'an answer without a token (%s) is code 72',
  async (body) => {
    endpoint.body = body;
    await expect(source()(signal)).rejects.toMatchObject({ code: 'IDENTITY_UNUSABLE', statusCode: 72 });
    expect(secrets).toEqual([]);
  },
);

it('an endpoint that is not there is code 72', async () => {
  const tokens = source();
  await endpoint.stop();
  await expect(tokens(signal)).rejects.toMatchObject({ code: 'IDENTITY_UNUSABLE', statusCode: 72 });
  await expect(tokens(signal)).rejects.toThrow('check that nothing on the VM blocks this address');
});

it.each<[{ clientId?: string; objectId?: string }, string]>([
  [{}, 'the VM has a system-assigned identity'],
  [{ clientId: 'c' }, 'the user-assigned identity with this client id is assigned to the VM'],
  [{ objectId: 'o' }, 'the user-assigned identity with this object id is assigned to the VM'],
])('the error for %j says what to check', async (identity, text) => {
  endpoint.status = 400;
  await expect(source(identity)(signal)).rejects.toThrow(`Please make sure that ${text}`);
});

it('a signal that ends the run gives its own reason', async () => {
  const stop = new AbortController();
  const reason = new Error('ended');
  stop.abort(reason);
  await expect(source()(stop.signal)).rejects.toBe(reason);
});
