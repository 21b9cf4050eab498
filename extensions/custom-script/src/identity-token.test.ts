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
afterEach(async () => endpoint.stop());

function source(identity: { clientId?: string; objectId?: string } = {}): TokenSource {
  const host = {
    ...createHost({ IDENTITY_ENDPOINT: endpoint.url }),
    sleep: async (): Promise<void> => undefined,
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
