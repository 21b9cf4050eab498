import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { BlobSASPermissions } from '@azure/storage-blob';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import type { OperationOutcome, TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import type { Azurite, IdentityEndpoint } from './fixtures/azurite.ts';
import { ACCOUNT, BLOB_ORIGIN, startAzurite, startIdentityEndpoint } from './fixtures/azurite.ts';
import { handler } from './handler.ts';

const GUID = '00000000-1111-2222-3333-444444444444';
let azurite: Azurite;
let identity: IdentityEndpoint;
let machine: TestMachine;

beforeAll(async () => {
  azurite = await startAzurite();
  const { service } = azurite;
  await service.getContainerClient('private').create();
  await service.getContainerClient('public').create({ access: 'blob' });
  await service.getContainerClient('$root').create();
  for (const name of NAMES) await upload('private', name);
  await upload('public', 'open.bin');
  await upload('$root', 'at-root.bin');
}, 60_000);
afterAll(async () => azurite.stop());
beforeEach(async () => {
  identity = await startIdentityEndpoint();
  machine = createTestMachine({ extension, fetch: azurite.fetch });
  // Signatures and tokens have times, and Azurite looks at its own clock.
  await machine.advance(Date.now() - machine.host.now().getTime());
  azurite.requests.length = 0;
});
afterEach(async () => {
  machine.remove();
  await identity.stop();
});

const NAMES = [
  'plain.bin',
  'with two spaces.bin',
  'deep/er/nested.bin',
  'schön-日本.bin',
  '100%25 #1?x=y&z+w.bin',
  "quote'(1)!*.bin",
];
const contentOf = (name: string): Buffer => Buffer.from(`content of ${name}\r\n`);

async function upload(container: string, name: string): Promise<void> {
  const content = contentOf(name);
  await azurite.service
    .getContainerClient(container)
    .getBlockBlobClient(name)
    .upload(content, content.length);
}

function urlOf(container: string, name: string): string {
  return `${BLOB_ORIGIN}/${container}/${name.split('/').map(encodeURIComponent).join('/')}`;
}

function enable(open: object, hidden: object, sequence = 0): Promise<OperationOutcome> {
  return machine.enable(
    handler,
    { public: { commandToExecute: 'true', ...open }, protected: { ...hidden } },
    { sequence, env: { IDENTITY_ENDPOINT: identity.url } },
  );
}
const read = (name: string, sequence = 0): string =>
  readFileSync(machine.path(join(LIB_FOLDER, 'custom-script/download', String(sequence), name)), 'utf8');
const account = () => ({ storageAccountName: ACCOUNT, storageAccountKey: azurite.accountKey });
const sas = (container: string, name: string, permissions: string, expiresOn: Date): Promise<string> =>
  azurite.service
    .getContainerClient(container)
    .getAppendBlobClient(name)
    .generateSasUrl({ permissions: BlobSASPermissions.parse(permissions), expiresOn });
const inMinutes = (minutes: number): Date => new Date(Date.now() + minutes * 60_000);

describe('with an account key', () => {
  it('every private blob is downloaded, whatever its name, and the key is sent nowhere', async () => {
    const { status } = await enable({ fileUris: NAMES.map((name) => urlOf('private', name)) }, account());
    expect(status).toMatchObject({ status: 'success', code: 0 });
    for (const name of NAMES) {
      expect(read(name.slice(name.lastIndexOf('/') + 1))).toBe(contentOf(name).toString());
    }
    expect(azurite.requests).toHaveLength(NAMES.length);
    for (const { url, authorization } of azurite.requests) {
      expect([url.searchParams.get('sp'), url.searchParams.get('sr'), authorization]).toEqual([
        'r',
        'b',
        null,
      ]);
    }
    expect(machine.readLog()).not.toContain('sig=');
  });

  it('a blob without a container is that of $root; the account, scheme and query of the URL do not count', async () => {
    const { status } = await enable(
      { fileUris: ['http://other.blob.core.windows.net:8080/at-root.bin?sig=canary'] },
      account(),
    );
    expect(status?.status).toBe('success');
    expect(read('at-root.bin')).toBe(contentOf('at-root.bin').toString());
    expect(azurite.requests.map(({ url }) => url.origin)).toEqual([BLOB_ORIGIN]);
    expect(azurite.requests[0]?.url.search).not.toContain('canary');
  });

  it('that is wrong, the service refuses', async () => {
    const { status } = await enable(
      { fileUris: [urlOf('private', 'plain.bin')] },
      { ...account(), storageAccountKey: 'd3Jvbmc=' },
    );
    expect(status).toMatchObject({ status: 'error', code: 54 });
  });

  it('a blob that is not there is code 53', async () => {
    const { status } = await enable({ fileUris: [urlOf('private', 'missing')] }, account());
    expect(status).toMatchObject({ status: 'error', code: 53 });
  });

  it('a URL that is no blob is refused before anything is downloaded', async () => {
    const files = [urlOf('private', 'plain.bin'), 'https://example.com/a?sig=canary'];
    const { status } = await enable({ fileUris: files }, account());
    expect(status).toMatchObject({ status: 'error', code: 25 });
    expect(status?.message).toContain('file[1]: "https://example.com/[REDACTED]" is no URL of a blob');
    expect(azurite.requests).toEqual([]);
  });
});

describe('without credentials', () => {
  it('a public blob and a signed URL are downloaded', async () => {
    const signed = await sas('private', 'deep/er/nested.bin', 'r', inMinutes(10));
    const { status } = await enable({}, { fileUris: [urlOf('public', 'open.bin'), signed] });
    expect(status?.status).toBe('success');
    expect(read('open.bin') + read('nested.bin')).toBe(
      'content of open.bin\r\ncontent of deep/er/nested.bin\r\n',
    );
  });

  it('a signed URL that has expired is told as such, with its time and without its signature', async () => {
    const expiry = new Date('2026-01-05T06:07:08Z');
    const signed = await sas('private', 'plain.bin', 'r', expiry);
    const { status } = await enable({}, { fileUris: [signed] });
    expect(status).toMatchObject({ status: 'error', code: 51 });
    expect(status?.message).toContain('(SAS) of its URL expired at 2026-01-05T06:07:08Z');
    expect(status?.message).not.toContain('sig=');
  });

  it('a signed URL that has not expired, but grants nothing here, is refused as before', async () => {
    const signed = await sas('private', 'plain.bin', 'w', inMinutes(10));
    const { status } = await enable({}, { fileUris: [signed] });
    expect(status).toMatchObject({ status: 'error', code: 54 });
  });
});

describe('as a managed identity', () => {
  it.each<[object, string | null, string | null]>([
    [{}, null, null],
    [{ clientId: GUID }, GUID, null],
    [{ objectId: GUID }, null, GUID],
  ])(
    '%j: a private blob is asked for without and then with a token',
    async (managedIdentity, client, object) => {
      const name = 'with two spaces.bin';
      const { status } = await enable({ fileUris: [urlOf('private', name)] }, { managedIdentity });
      expect(status?.status).toBe('success');
      expect(read(name)).toBe(contentOf(name).toString());
      expect(azurite.requests.map(({ authorization }) => authorization)).toEqual([
        null,
        `Bearer ${identity.token}`,
      ]);
      const [asked] = identity.requests;
      const { searchParams } = new URL(asked?.url ?? '', identity.url);
      expect(asked?.headers.metadata).toBe('true');
      expect(searchParams.get('resource')).toBe('https://storage.azure.com/');
      expect([searchParams.get('client_id'), searchParams.get('object_id')]).toEqual([client, object]);
    },
  );

  it('a public blob needs no token, and several private ones need one', async () => {
    const first = await enable({ fileUris: [urlOf('public', 'open.bin')] }, { managedIdentity: {} });
    expect([first.status?.status, identity.requests.length]).toEqual(['success', 0]);
    const fileUris = NAMES.map((name) => urlOf('private', name));
    const second = await enable({ fileUris }, { managedIdentity: {} }, 1);
    expect([second.status?.status, identity.requests.length]).toEqual(['success', 1]);
  });

  it('the token is hidden when a program prints it', async () => {
    const { status } = await enable(
      { fileUris: [urlOf('private', 'plain.bin')], commandToExecute: `echo ${identity.token}` },
      { managedIdentity: {} },
    );
    expect(status?.status).toBe('success');
    expect(`${status?.message}${machine.readLog()}`).not.toContain('canarysignature');
  });

  it('no other host is sent a token, whatever it answers', async () => {
    const seen: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/c/b`;
    const { status } = await enable({ fileUris: [url] }, { managedIdentity: {} });
    await new Promise((resolve) => server.close(resolve));
    expect(status).toMatchObject({ status: 'error', code: 53 });
    expect([seen, identity.requests]).toEqual([[undefined], []]);
  });

  it('a blob that is not there is code 70', async () => {
    const { status } = await enable({ fileUris: [urlOf('private', 'no')] }, { managedIdentity: {} });
    expect(status).toMatchObject({ status: 'error', code: 70 });
    expect(status?.message).toContain(
      'please ensure that the blob location in the fileUri setting exists, and the specified Managed Identity has read permissions to the storage blob',
    );
  });

  it('an identity that the VM does not have is code 72', async () => {
    identity.status = 400;
    const { status } = await enable(
      { fileUris: [urlOf('private', 'plain.bin')] },
      { managedIdentity: { clientId: GUID } },
    );
    expect(status).toMatchObject({ status: 'error', code: 72 });
    expect(status?.message).toContain('Unable to get managed identity token: ');
    expect(status?.message).toContain('Please make sure that the user-assigned identity with this client id');
  });
});

describe('output blobs', () => {
  const content = async (name: string): Promise<string> =>
    (await azurite.fetch(await sas('private', name, 'r', inMinutes(10)))).text();
  // The test's clock stands still, so the copies are made at the beginning and at the end.
  const commandToExecute = 'yes 0123456789abcde | head -c 9000000; echo problem >&2';

  it('get the whole output by their SAS, in a new blob each time', async () => {
    const hidden = {
      outputBlobUri: await sas('private', 'logs/out.txt', 'acw', inMinutes(10)),
      errorBlobUri: await sas('private', 'logs/err.txt', 'acw', inMinutes(10)),
    };
    for (const sequence of [0, 1]) {
      const { status } = await enable({ commandToExecute }, hidden, sequence);
      expect(status?.status).toBe('success');
      expect(status?.message).toMatch(/\n\[stderr\]\nproblem\n$/);
      expect(await content('logs/out.txt')).toBe(read('stdout', sequence));
      expect(await content('logs/err.txt')).toBe('problem\n');
    }
    expect(identity.requests).toEqual([]);
  });

  it('get it as the managed identity, also when the command fails', async () => {
    const outputBlobUri = urlOf('private', 'logs/identity out.txt');
    const { status } = await enable(
      { commandToExecute: 'echo done; exit 3', outputBlobUri },
      { managedIdentity: {} },
    );
    expect(status?.status).toBe('error');
    expect(status?.message).toMatch(/exit status=3\n\[stdout\]\ndone\n\n\[stderr\]\n$/);
    expect(await content('logs/identity out.txt')).toBe('done\n');
    expect(identity.requests).toHaveLength(1);
  });

  it('that cannot be written are told, and the run goes on', async () => {
    const outputBlobUri = await sas('private', 'logs/out.txt', 'r', inMinutes(10));
    const { status } = await enable({ commandToExecute: 'echo done' }, { outputBlobUri });
    expect(status?.status).toBe('success');
    expect(status?.message).toMatch(
      /^Enable succeeded: \n\[stdout\]\ndone\n\n\[stderr\]\n\n\[outputBlobUri\]\nthe blob of 'outputBlobUri' on hkaccount\.blob\.core\.windows\.net does not hold the whole output: the service answered 403 \(\w+\)/,
    );
    expect(status?.message).not.toContain('sig=');
  });
});
