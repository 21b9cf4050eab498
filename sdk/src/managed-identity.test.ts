import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeServers, serve, status, whole } from './fixtures/scripted-server.ts';
import type { Host } from './host.ts';
import { createHost } from './host.ts';
import type { ManagedIdentityRequest } from './managed-identity.ts';
import { getManagedIdentityToken } from './managed-identity.ts';

const RESOURCE = 'https://storage.azure.com/';
const KEYS = '/var/opt/azcmagent/tokens';
const TOKEN = whole('{"access_token":"canary.token-1"}');

let root: string;
let asked: URL[];
let pauses: number[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-identity-'));
  mkdirSync(join(root, KEYS), { recursive: true });
  asked = [];
  pauses = [];
});
afterEach(async () => {
  await closeServers();
  rmSync(root, { recursive: true, force: true });
});

/** A host on which every address leads to `base`. */
function hostWith(base: string, env: Record<string, string> = {}): Host {
  return {
    ...createHost(env),
    path: (absolute) => join(root, absolute),
    sleep: async (ms) => void pauses.push(ms),
    fetch: (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      asked.push(url);
      return globalThis.fetch(base + url.pathname + url.search, init);
    },
  };
}
const get = (host: Host, more: Partial<ManagedIdentityRequest> = {}): Promise<string> =>
  getManagedIdentityToken(host, {
    resource: RESOURCE,
    signal: new AbortController().signal,
    random: () => 1,
    ...more,
  });

describe('on Azure', () => {
  it.each<[Partial<ManagedIdentityRequest>, string]>([
    [{}, ''],
    [{ clientId: 'c 1' }, '&client_id=c+1'],
    [{ objectId: 'o1' }, '&object_id=o1'],
  ])('asks for the identity %j', async (which, query) => {
    const { url, seen } = await serve(TOKEN);
    expect(await get(hostWith(url), which)).toBe('canary.token-1');
    expect(asked[0]?.href).toBe(
      `http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F${query}`,
    );
    expect(seen[0]?.headers.metadata).toBe('true');
  });

  it.each([404, 410, 429, 500])('asks again after %i', async (code) => {
    const { url } = await serve(status(code), TOKEN);
    expect(await get(hostWith(url))).toBe('canary.token-1');
    expect(pauses).toEqual([1000]);
  });

  const several =
    '{"error":"invalid_request","error_description":"Multiple user assigned identities exist, canary"}';
  it.each<[number, string, Partial<ManagedIdentityRequest>, string]>([
    [400, several, {}, 'the VM has several identities; name one by its client id or object id'],
    [
      400,
      '{"error_description":"Identity not found"}',
      {},
      'assign a system-assigned identity, and check the resource',
    ],
    [400, '', { clientId: 'c' }, 'assign that client id'],
    [404, 'canary', {}, 'the VM has no managed identity; assign a system-assigned identity'],
    [404, '', { objectId: 'o' }, 'assign that object id'],
    [403, 'canary', {}, 'the endpoint refuses the request'],
    [429, '', {}, 'too many requests'],
    [503, '', {}, 'not available at the moment'],
  ])('%i %j for %j says what to do: %s', async (code, body, which, text) => {
    const { url } = await serve((_, response) => response.writeHead(code).end(body));
    const failed = get(hostWith(url), which);
    await expect(failed).rejects.toMatchObject({ code: 'MANAGED_IDENTITY_FAILED' });
    await expect(failed).rejects.toThrow(`169.254.169.254 gave no token of the managed identity (${code}): `);
    await expect(failed).rejects.toThrow(text);
    await expect(failed).rejects.not.toThrow('canary');
  });

  it.each([
    '{}',
    '{"access_token":""}',
    '{"access_token":"a b"}',
    '{"access_token":"a\\r\\nx: y"}',
    '[]',
    'canary',
  ])('the answer %s holds no token', async (body) => {
    const { url } = await serve(whole(body));
    await expect(get(hostWith(url))).rejects.toMatchObject({ code: 'MANAGED_IDENTITY_FAILED' });
  });
});

describe('on an Azure Arc machine', () => {
  const env = { IDENTITY_ENDPOINT: 'http://localhost:40342/metadata/identity/oauth2/token' };
  const challenge = (path: string): RequestListener =>
    status(401, { 'www-authenticate': `Basic realm=${path}` });

  it('answers the challenge with the content of the key file', async () => {
    writeFileSync(join(root, KEYS, 'a-1.key'), 'the-key\n');
    const { url, seen } = await serve(challenge(`${KEYS}/a-1.key`), TOKEN);
    expect(await get(hostWith(url, env))).toBe('canary.token-1');
    expect(asked[0]?.origin).toBe('http://localhost:40342');
    expect(asked[0]?.searchParams.get('api-version')).toBe('2020-06-01');
    expect(seen[0]?.headers.authorization).toBeUndefined();
    expect(seen[1]?.headers).toMatchObject({ authorization: 'Basic the-key', metadata: 'true' });
  });

  it('needs no challenge', async () => {
    const { url } = await serve(TOKEN);
    expect(await get(hostWith(url, env))).toBe('canary.token-1');
  });

  it.each<[string, string]>([
    ['/etc/shadow', 'names no key file'],
    ['/etc/a.key', 'names no key file'],
    [`${KEYS}/../secret.key`, 'names no key file'],
    [`${KEYS}/sub/a.key`, 'names no key file'],
    [`${KEYS}/a.txt`, 'names no key file'],
    ['', 'names no key file'],
    [`${KEYS}/absent.key`, 'cannot be read'],
    [`${KEYS}/link.key`, 'cannot be read'],
    [`${KEYS}/large.key`, 'more than 4096 bytes'],
    [`${KEYS}/empty.key`, 'is empty or holds no text'],
    [`${KEYS}/lines.key`, 'is empty or holds no text'],
  ])('a challenge that names %j is refused: %s', async (path, text) => {
    writeFileSync(join(root, 'secret.key'), 'canary');
    symlinkSync(join(root, 'secret.key'), join(root, KEYS, 'link.key'));
    writeFileSync(join(root, KEYS, 'large.key'), 'x'.repeat(4097));
    writeFileSync(join(root, KEYS, 'empty.key'), '\n');
    writeFileSync(join(root, KEYS, 'lines.key'), 'a\r\ncanary: b');
    const { url, seen } = await serve(challenge(path));
    const failed = get(hostWith(url, env));
    await expect(failed).rejects.toThrow(text);
    await expect(failed).rejects.not.toThrow('canary');
    expect(seen).toHaveLength(1);
  });

  it('a key that does not help is an error, and not tried for ever', async () => {
    writeFileSync(join(root, KEYS, 'a.key'), 'k');
    const { url, seen } = await serve(challenge(`${KEYS}/a.key`));
    await expect(get(hostWith(url, env))).rejects.toThrow(
      'localhost:40342 gave no token of the managed identity (401)',
    );
    expect(seen).toHaveLength(2);
  });

  it.each([
    'http://example.com/token',
    'ftp://localhost/',
    'http://u:canary@localhost/',
    'canary',
    '//localhost',
  ])('the endpoint %s is refused before anything is asked', async (endpoint) => {
    const failed = get(hostWith('', { IDENTITY_ENDPOINT: endpoint }));
    await expect(failed).rejects.toThrow('IDENTITY_ENDPOINT names no address of this machine');
    await expect(failed).rejects.not.toThrow('canary');
    expect(asked).toEqual([]);
  });
});
