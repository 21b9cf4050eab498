/** The real servers on loopback, asked as an agent asks, and by the SDK's own code. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { createHost, getManagedIdentityToken, type Host, readInstanceMetadata } from '@handlerkit/sdk';
import { createCertificate } from '@handlerkit/sdk/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Fabric, startFabric } from './fabric.ts';
import { formatOrigin } from './fabric-addresses.ts';
import { createFileDeps, FABRIC_FILES, readStatusBlob, writeGoalState } from './fabric-files.ts';
import { createIdentity } from './fabric-identity.ts';
import { exampleGoalState } from './fixtures/example-goal-state.ts';
import { type FabricGoalState, GOAL_STATE_FILE } from './goal-state-file.ts';
import { formatTicks } from './ticks.ts';
import { unescapeXml } from './xml.ts';

const ANY = { host: '127.0.0.1', port: 0 };
const ENDPOINTS = { wireServer: ANY, hostPlugin: ANY, blobs: ANY, metadata: ANY };
const identity = createIdentity('seed');
const user = { clientId: 'u-client', objectId: 'u-object', resourceId: '/subscriptions/s/identities/u' };
const system = { clientId: 's-client', objectId: 's-object' };
const tenant = createCertificate();

const folder = mkdtempSync(join(tmpdir(), 'fabric-'));
const packageFile = join(folder, 'greeter.zip');
const privateKeyFile = join(folder, 'key.pem');
let goalState: FabricGoalState;
let fabric: Fabric;
let fastTrack: Fabric;
let transport = '';

beforeAll(async () => {
  writeFileSync(privateKeyFile, tenant.privateKeyFileText, { mode: 0o600 });
  writeFileSync(packageFile, Buffer.alloc(300_000, 'zip'));
  const subject = [
    '-subj',
    '/CN=LinuxTransport',
    '-newkey',
    'rsa:2048',
    '-keyout',
    join(folder, 'transport.key'),
  ];
  const pem = execFileSync('openssl', ['req', '-x509', '-nodes', ...subject], {
    timeout: 20_000,
    stdio: 'pipe',
  });
  transport = pem.toString().replace(/-----[^-]+-----|\s/g, '');
  const deps = createFileDeps(folder, () => new Date());
  fabric = await startFabric({ identity, endpoints: ENDPOINTS, identities: [system, user] }, deps);
  fastTrack = await startFabric({ identity, endpoints: ENDPOINTS, vmSettings: 'FastTrack' }, deps);
});
afterAll(async () => {
  await Promise.all([fabric.close(), fastTrack.close()]);
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  const extensions = exampleGoalState().extensions.map((one) => ({ ...one, packageFile }));
  const certificate = { certificatePem: tenant.certificatePem, privateKeyFile };
  goalState = exampleGoalState({ extensions, certificate });
  writeGoalState(folder, goalState);
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  readonly text: string;
}

/** One request on a connection of its own, with the target just as it stands. */
async function ask(
  method: string,
  url: string,
  headers: Readonly<Record<string, string>> = {},
  body?: string,
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const path = url.slice(url.indexOf('/', 'http://'.length));
  const options = { method, hostname, port, path, agent: false, timeout: 10_000 };
  const sent = request({ ...options, headers: { connection: 'close', ...headers } });
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve);
    sent.once('error', reject);
    sent.end(body);
  });
  const bytes = await buffer(answer);
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    body: bytes,
    text: bytes.toString('utf8'),
  };
}

const WIRE = { 'x-ms-agent-name': 'WALinuxAgent', 'x-ms-version': '2012-11-30' };
const wire = (path: string): string => `${formatOrigin(fabric.endpoints.wireServer)}${path}`;
const plugin = (path: string, of = fabric): string => `${formatOrigin(of.endpoints.hostPlugin)}${path}`;
const metadata = (path: string): string => `${formatOrigin(fabric.endpoints.metadata)}${path}`;

/** Text of the first element of that name. */
function element(document: string, name: string): string {
  const [, text = ''] = new RegExp(`<${name}[^>]*>([^<]*)</${name}>`).exec(document) ?? [];
  return unescapeXml(text);
}

async function readGoalStateDocument(): Promise<string> {
  return (await ask('GET', wire('/machine/?comp=goalstate'), WIRE)).text;
}

function upload(url: string, type: string, content: string): string {
  const headers = [{ headerName: 'x-ms-blob-type', headerValue: type }];
  return JSON.stringify({ requestUri: url, headers, content: Buffer.from(content).toString('base64') });
}

describe('an agent that asks in its order', () => {
  it('gets all that it needs, each answer with its length', async () => {
    const answers: Answer[] = [];
    const get = async (url: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> => {
      const answer = await ask('GET', url, headers);
      answers.push(answer);
      return answer;
    };
    const versions = await get(wire('/?comp=versions'));
    expect(versions.text).toContain('<Version>2012-11-30</Version>');

    const document = (await get(wire('/machine/?comp=goalstate'), WIRE)).text;
    expect(element(document, 'Incarnation')).toBe('3');
    const ids = {
      'x-ms-version': '2015-09-01',
      'x-ms-containerid': element(document, 'ContainerId'),
      'x-ms-host-config-name': element(document, 'ConfigName'),
    };
    expect((await get(plugin('/vmSettings'), ids)).status).toBe(404);

    const hosting = await get(element(document, 'HostingEnvironmentConfig'), WIRE);
    expect(hosting.text).toMatch(
      /<Deployment name="[^"]+"[\s\S]*<Incarnation [^>]*instance="local-vm"[\s\S]*<Role [^>]*name="/,
    );
    expect((await get(element(document, 'SharedConfig'), WIRE)).text).toContain('<SharedConfig ');
    const certificates = await get(element(document, 'Certificates'), {
      ...WIRE,
      'x-ms-cipher-name': 'DES_EDE3_CBC',
      'x-ms-guest-agent-public-x509-cert': transport,
    });
    expect(element(certificates.text, 'Format')).toBe('Pkcs7BlobWithPfxContents');
    const config = (await get(element(document, 'ExtensionsConfig'), WIRE)).text;
    expect(config).toContain('goalStateIncarnation="3"');
    expect(config).toContain(formatTicks(new Date(goalState.createdOn)));

    const ready = '<?xml version="1.0"?><Health><State>Ready</State></Health>';
    answers.push(await ask('POST', wire('/machine?comp=health'), WIRE, ready));
    expect((await ask('POST', wire('/machine?comp=roleProperties'), WIRE, '<x/>')).status).toBe(202);

    const [, location = ''] =
      /<Plugin name="Contoso.Samples.Greeter"[^>]* location="([^"]+)"/.exec(config) ?? [];
    const manifest = await get(unescapeXml(location));
    expect(element(manifest.text, 'Version')).toBe('1.2.3');
    const zip = await get(element(manifest.text, 'Uri'));
    expect(zip.body.equals(readFileSync(packageFile))).toBe(true);

    expect((await get(plugin('/versions'), ids)).text).toContain('2015-09-01');
    const artifact = { ...ids, 'x-ms-artifact-location': element(manifest.text, 'Uri') };
    expect((await get(plugin('/extensionArtifact'), artifact)).body.equals(zip.body)).toBe(true);
    expect((await get(plugin('/health'), ids)).status).toBe(200);

    const blob = element(config, 'StatusUploadBlob');
    const put = await ask('PUT', plugin('/status'), ids, upload(blob, 'BlockBlob', '{"version":"1.1"}'));
    answers.push(put, await ask('POST', wire('/HealthService'), {}, '{}'));
    expect(readStatusBlob(folder)).toBe('{"version":"1.1"}');
    const event = '<Event id="7"><![CDATA[<Param Name="Name" Value="x" T="mt:wstr" />]]></Event>';
    const telemetry = `<TelemetryData version="1.0"><Provider id="P">${event}</Provider></TelemetryData>`;
    answers.push(await ask('POST', wire('/machine?comp=telemetrydata'), WIRE, telemetry));
    expect(JSON.parse(readFileSync(join(folder, FABRIC_FILES.telemetry), 'utf8'))).toEqual({
      providerId: 'P',
      eventId: '7',
      parameters: { Name: 'x' },
    });
    expect(answers.map(({ status }) => status).filter((status) => status !== 200)).toEqual([404]);
    expect(
      answers.map(({ headers, body }) => headers['content-length'] === String(body.length)),
    ).not.toContain(false);
  });

  it('is told in the log: no query, no secret', async () => {
    const document = await readGoalStateDocument();
    await ask('GET', wire('/nothing?sig=SECRET'), { 'x-secret': 'SECRET' });
    const log = readFileSync(join(folder, FABRIC_FILES.log), 'utf8');
    expect(log).toMatch(/^\S+Z wireserver GET \/machine 200 \d+ goal state$/m);
    expect(log).toMatch(/^\S+Z wireserver GET \/nothing 404 0 unknown$/m);
    expect(log).toMatch(/^\S+Z health Ready$/m);
    expect(log).not.toMatch(/SECRET|comp=|sig=|\?/);
    expect(document).toContain('<GoalState>');
  });
});

describe('the wire server', () => {
  it('serves a new goal state as soon as it is there, and says of the old documents that they are gone', async () => {
    const old = await readGoalStateDocument();
    writeGoalState(folder, { ...goalState, incarnation: 4 });
    const document = await readGoalStateDocument();
    expect(element(document, 'Incarnation')).toBe('4');
    expect((await ask('GET', element(old, 'ExtensionsConfig'), WIRE)).status).toBe(410);
    expect((await ask('GET', element(document, 'ExtensionsConfig'), WIRE)).status).toBe(200);
  });

  it('gives the same bytes for one incarnation, the certificates too', async () => {
    const document = await readGoalStateDocument();
    const headers = {
      ...WIRE,
      'x-ms-cipher-name': 'AES128_CBC',
      'x-ms-guest-agent-public-x509-cert': transport,
    };
    for (const name of ['ExtensionsConfig', 'Certificates']) {
      const [first, second] = [
        await ask('GET', element(document, name), headers),
        await ask('GET', element(document, name), headers),
      ];
      expect(first.status).toBe(200);
      expect(second.text).toBe(first.text);
    }
  });

  it.each([
    ['no header', {}],
    ['an unknown cipher', { 'x-ms-cipher-name': 'ROT13', 'x-ms-guest-agent-public-x509-cert': 'AAAA' }],
  ])('refuses a request for certificates with %s', async (_, headers) => {
    const url = element(await readGoalStateDocument(), 'Certificates');
    expect((await ask('GET', url, { ...WIRE, ...headers })).status).toBe(400);
  });

  it('names no certificates when the goal state has none', async () => {
    writeGoalState(folder, { ...goalState, certificate: null });
    expect(await readGoalStateDocument()).not.toContain('<Certificates>');
  });

  it('says 404 for certificates whose key is gone', async () => {
    const certificate = { certificatePem: tenant.certificatePem, privateKeyFile: join(folder, 'gone') };
    writeGoalState(folder, { ...goalState, certificate });
    const headers = { 'x-ms-cipher-name': 'AES128_CBC', 'x-ms-guest-agent-public-x509-cert': transport };
    const url = element(await readGoalStateDocument(), 'Certificates');
    expect((await ask('GET', url, { ...WIRE, ...headers })).status).toBe(404);
  });

  it('serves an empty goal state before there is one, and says 500 for one that is damaged, and why in the log', async () => {
    rmSync(join(folder, GOAL_STATE_FILE));
    expect(element(await readGoalStateDocument(), 'Incarnation')).toBe('0');
    writeFileSync(join(folder, GOAL_STATE_FILE), '{"SECRET":');
    expect((await ask('GET', wire('/machine/?comp=goalstate'), WIRE)).status).toBe(500);
    const log = readFileSync(join(folder, FABRIC_FILES.log), 'utf8');
    expect(log).toMatch(/ 500 0 unknown: .*goal-state\.json: is not valid JSON/);
    expect(log).not.toContain('SECRET');
  });

  it.each([
    ['GET', '/'],
    ['GET', '/machine/?comp=other'],
    ['GET', '/machine/x?comp=config&type=fullConfig'],
    ['POST', '/machine?comp=other'],
    ['DELETE', '/machine/?comp=goalstate'],
  ])('does not know %s %s', async (method, path) => {
    expect((await ask(method, wire(path), WIRE)).status).toBe(404);
  });
});

describe('the host plugin', () => {
  it('says 410 to an agent that knows another container', async () => {
    const headers = { 'x-ms-containerid': '00000000-0000-0000-0000-000000000000' };
    expect((await ask('GET', plugin('/versions'), headers)).status).toBe(410);
    expect((await ask('GET', plugin('/versions'))).status).toBe(200);
  });

  it('gives vmSettings with a tag, and says 304 while nothing has changed', async () => {
    const first = await ask('GET', plugin('/vmSettings', fastTrack));
    const etag = String(first.headers.etag);
    expect(JSON.parse(first.text)).toMatchObject({ inSvdSeqNo: 3, extensionGoalStatesSource: 'FastTrack' });
    const again = await ask('GET', plugin('/vmSettings', fastTrack), { 'if-none-match': etag });
    expect([again.status, again.text]).toEqual([304, '']);
    writeGoalState(folder, { ...goalState, incarnation: 4 });
    const next = await ask('GET', plugin('/vmSettings', fastTrack), { 'if-none-match': etag });
    expect(next.status).toBe(200);
    expect(next.headers.etag).not.toBe(etag);
  });

  it.each([
    ['http://other.invalid/x', 404],
    ['not a URL', 400],
  ])('does not fetch %s', async (location, status) => {
    const answer = await ask('GET', plugin('/extensionArtifact'), { 'x-ms-artifact-location': location });
    expect(answer.status).toBe(status);
  });

  it('refuses a status for another blob, and one that is none', async () => {
    const blobs = formatOrigin(fabric.endpoints.blobs);
    expect((await ask('PUT', plugin('/status'), {}, upload(`${blobs}/x`, 'BlockBlob', '{}'))).status).toBe(
      404,
    );
    expect(
      (await ask('PUT', plugin('/status'), {}, upload('http://a.invalid/', 'BlockBlob', '{}'))).status,
    ).toBe(404);
    expect((await ask('PUT', plugin('/status'), {}, 'nothing')).status).toBe(400);
  });
});

describe('the blob store', () => {
  it('takes a status from an agent that comes by itself, in one piece or in pages', async () => {
    const document = await readGoalStateDocument();
    const blob = element(
      (await ask('GET', element(document, 'ExtensionsConfig'), WIRE)).text,
      'StatusUploadBlob',
    );
    expect((await ask('PUT', blob, { 'x-ms-blob-type': 'BlockBlob' }, '{"a":1}')).status).toBe(201);
    expect(readStatusBlob(folder)).toBe('{"a":1}');
    const make = { 'x-ms-blob-type': 'PageBlob', 'x-ms-blob-content-length': '512' };
    expect((await ask('PUT', blob, make)).status).toBe(201);
    expect(readStatusBlob(folder)).toBe('{"a":1}');
    const page = { 'x-ms-page-write': 'update', 'x-ms-range': 'bytes=0-511' };
    expect((await ask('PUT', `${blob}&comp=page`, page, '{"b":2}'.padEnd(512, '\0'))).status).toBe(201);
    expect(readStatusBlob(folder)).toBe('{"b":2}');
    expect((await ask('PUT', `${blob}&comp=page`, { 'x-ms-range': 'bytes=7-3' }, 'x')).status).toBe(400);
  });

  it('lists all versions that can be had, gives the package of each, and says when the VM is on hold', async () => {
    const packages = ['1.2.3', '1.2.10'].map((version) => {
      const file = join(folder, `${version}.zip`);
      writeFileSync(file, `zip of ${version}`);
      return { version, packageFile: file };
    });
    const extensions = goalState.extensions.map((one) => ({ ...one, packages }));
    writeGoalState(folder, { ...goalState, extensions, onHold: true });
    const blobs = formatOrigin(fabric.endpoints.blobs);
    const manifest = (await ask('GET', `${blobs}/manifests/Contoso.Samples.Greeter`)).text;
    expect(manifest.match(/<Version>[^<]*/g)).toEqual(['<Version>1.2.3', '<Version>1.2.10']);
    const url = `${blobs}/packages/Contoso.Samples.Greeter__1.2.10`;
    expect((await ask('GET', url)).text).toBe('zip of 1.2.10');
    const config = await ask('GET', element(await readGoalStateDocument(), 'ExtensionsConfig'), WIRE);
    const profile = await ask('GET', element(config.text, 'InVMArtifactsProfileBlob'));
    expect(JSON.parse(profile.text)).toEqual({ onHold: true });
  });

  it.each(['/manifests/Other.Type', '/packages/Contoso.Samples.Greeter__9.9.9', '/other'])(
    'does not know %s',
    async (path) => {
      expect((await ask('GET', `${formatOrigin(fabric.endpoints.blobs)}${path}`)).status).toBe(404);
    },
  );

  it('says 404 for a package that is gone', async () => {
    const extensions = goalState.extensions.map((one) => ({ ...one, packageFile: join(folder, 'gone.zip') }));
    writeGoalState(folder, { ...goalState, extensions });
    const url = `${formatOrigin(fabric.endpoints.blobs)}/packages/Contoso.Samples.Greeter__1.2.3`;
    expect((await ask('GET', url)).status).toBe(404);
  });

  it('outlives a reader that goes away in the middle of a package', async () => {
    writeFileSync(packageFile, Buffer.alloc(8_000_000, 'zip'));
    const { host, port } = fabric.endpoints.blobs;
    const socket = connect(port, host);
    socket.write('GET /packages/Contoso.Samples.Greeter__1.2.3 HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => socket.once('data', resolve));
    socket.destroy();
    const url = `${formatOrigin(fabric.endpoints.blobs)}/packages/Contoso.Samples.Greeter__1.2.3`;
    expect((await ask('GET', url)).body.length).toBe(8_000_000);
  });
});

describe('the instance metadata service', () => {
  /** The SDK's own code, with the service's address led to the test's. */
  const host: Host = {
    ...createHost({}),
    fetch: (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      return fetch(metadata(`${url.pathname}${url.search}`), init);
    },
  };
  const { signal } = new AbortController();
  const ASK = { metadata: 'true' };
  const TOKEN = '/metadata/identity/oauth2/token?api-version=2018-02-01';

  it('tells the SDK what the VM is', async () => {
    const known = await readInstanceMetadata(host, { signal });
    const { vmId, subscriptionId } = identity;
    expect(known).toMatchObject({
      vmId,
      name: 'local-vm',
      azEnvironment: 'AzurePublicCloud',
      subscriptionId,
    });
  });

  it.each([
    [{}, system],
    [{ clientId: 'u-client' }, user],
    [{ objectId: 'u-object' }, user],
  ])('gives the SDK the token of an identity: %o', async (named, wanted) => {
    const resource = 'https://storage.azure.com/';
    const token = await getManagedIdentityToken(host, { resource, ...named, signal });
    const [header = '', claims = ''] = token.split('.');
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toMatchObject({ alg: 'none' });
    expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({
      aud: resource,
      appid: wanted.clientId,
      oid: wanted.objectId,
    });
  });

  it('tells the SDK that there is no such identity', async () => {
    const asked = getManagedIdentityToken(host, {
      resource: 'https://vault.azure.net',
      clientId: 'x',
      signal,
    });
    await expect(asked).rejects.toThrow(/assign that client id/);
  });

  it('gives a token in the form of a real one, for the identity that its resource id names', async () => {
    const answer = await ask(
      'GET',
      metadata(`${TOKEN}&resource=r&msi_res_id=${user.resourceId.toUpperCase()}`),
      ASK,
    );
    const token: unknown = JSON.parse(answer.text);
    expect(token).toMatchObject({
      client_id: 'u-client',
      resource: 'r',
      token_type: 'Bearer',
      expires_in: '86400',
    });
    expect(token).toMatchObject({
      expires_on: expect.stringMatching(/^\d+$/),
      not_before: expect.any(String),
    });
  });

  it.each([
    [`${TOKEN}&resource=r`, {}, 400, 'invalid_request'],
    [`${TOKEN}&resource=r`, { ...ASK, 'x-forwarded-for': '10.0.0.1' }, 400, 'invalid_request'],
    [TOKEN, ASK, 400, 'invalid_request'],
    ['/metadata/identity/oauth2/token?resource=r', ASK, 400, 'invalid_request'],
    [`${TOKEN}&resource=r&client_id=a&object_id=b`, ASK, 400, 'invalid_request'],
    ['/metadata/instance', ASK, 400, 'newest-versions'],
    ['/metadata/instance?api-version=2021-02-01', {}, 400, 'Required metadata header'],
    ['/metadata/instance/nothing?api-version=2021-02-01', ASK, 404, 'Not found'],
    ['/metadata/instance/compute/name?api-version=2021-02-01', ASK, 400, 'Bad request'],
    ['/metadata/other', ASK, 404, 'Not found'],
  ])('refuses %s with %o', async (path, headers, status, text) => {
    const answer = await ask('GET', metadata(path), headers);
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(text)]);
    expect(typeof JSON.parse(answer.text)).toBe('object');
  });

  it.each([
    ['/metadata/instance/compute/name?api-version=2021-02-01&format=text', 'local-vm'],
    ['/metadata/instance?api-version=2021-02-01&format=text', 'compute/\nnetwork/'],
    ['/metadata/scheduledevents?api-version=2020-07-01', '{"DocumentIncarnation":1,"Events":[]}'],
  ])('answers %s', async (path, text) => {
    expect((await ask('GET', metadata(path), ASK)).text).toBe(text);
  });

  it('has what the agent checks of the network', async () => {
    const { text } = await ask('GET', metadata('/metadata/instance?api-version=2018-02-01'), {
      metadata: 'True',
    });
    expect(JSON.parse(text).network.interface[0]).toMatchObject({
      macAddress: expect.any(String),
      ipv4: { ipAddress: [{ privateIpAddress: expect.any(String) }] },
    });
  });
});

it('starts all servers or none, and says which address it could not have', async () => {
  const endpoints = { ...ENDPOINTS, metadata: fabric.endpoints.metadata };
  const deps = createFileDeps(folder, () => new Date());
  await expect(startFabric({ identity, endpoints }, deps)).rejects.toThrow(/EADDRINUSE/);
});
