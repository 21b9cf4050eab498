import { execFileSync } from 'node:child_process';
import { constants, createPrivateKey, createPublicKey, publicEncrypt } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseEnvelope } from './contract/envelope.ts';
import { CIPHER_KEY_LENGTHS, type CipherName } from './contract/envelope-algorithms.ts';
import { formatCertificateFiles, LIB_FOLDER } from './contract/package-layout.ts';
import { decryptProtectedSettings } from './decrypt.ts';
import { HandlerError } from './errors.ts';
import { createHost, type Host } from './host.ts';
import { createCertificate } from './testing/certificates.ts';
import { type EnvelopeOptions, encryptProtectedSettings } from './testing/envelopes.ts';

const SECRET = 'pa55 wörd-7f3a';
const SETTINGS = { commandToExecute: `echo ${SECRET}`, nested: { list: [1, null, '\u{1F512}'] } };
const TEXT = JSON.stringify(SETTINGS);

const folder = mkdtempSync(join(tmpdir(), 'decrypt-'));
const own = createCertificate();
const other = createCertificate();
const files = formatCertificateFiles(own.thumbprint);
const certificateFile = join(folder, LIB_FOLDER, files.certificate);
const keyFile = join(folder, LIB_FOLDER, files.privateKey);
const otherFile = join(folder, 'other.pem');

/** The real machine, except that the agent's folder lies in `folder`. */
const host: Host = { ...createHost(), root: folder, path: (absolute) => join(folder, absolute) };
/** A machine without openssl: what is decrypted on it is decrypted by the SDK itself. */
const bare: Pick<Host, 'exec' | 'path'> = {
  path: host.path,
  exec: async (argv) => {
    throw new HandlerError('COMMAND_NOT_STARTED', `${argv[0]} is not installed`);
  },
};

beforeAll(() => {
  mkdirSync(join(folder, LIB_FOLDER), { recursive: true });
  writeFileSync(certificateFile, own.certificateFileText);
  writeFileSync(keyFile, own.privateKeyFileText, { mode: 0o600 });
  writeFileSync(otherFile, other.certificateFileText);
});
afterAll(() => rmSync(folder, { recursive: true }));

const decrypt = (envelope: string, change: Partial<Parameters<typeof decryptProtectedSettings>[0]> = {}) =>
  decryptProtectedSettings({
    envelope,
    thumbprint: own.thumbprint,
    certificateText: own.certificateFileText,
    privateKeyText: own.privateKeyFileText,
    libFolder: LIB_FOLDER,
    host: bare,
    ...change,
  });

/** The one failure that there is, looked at from every side. */
async function expectUnreadable(decrypted: Promise<unknown>): Promise<void> {
  const error: unknown = await decrypted.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof HandlerError)) throw new Error('it was decrypted, or failed in another way');
  expect({ ...error, message: error.message, cause: error.cause }).toEqual({
    name: 'HandlerError',
    code: 'PROTECTED_SETTINGS_UNREADABLE',
    clarificationCode: -21,
    statusCode: -21,
    exitCode: 53,
    substatus: [],
    cause: undefined,
    message:
      `the protected settings cannot be decrypted with the certificate ${own.thumbprint}; ` +
      'reapply the VM so that the platform sends them anew',
  });
}

function openssl(args: readonly string[], input: string | Buffer): Buffer {
  return execFileSync('openssl', args, { input, timeout: 20_000, stdio: ['pipe', 'pipe', 'pipe'] });
}

const CIPHERS = Object.keys(CIPHER_KEY_LENGTHS) as CipherName[];
const TRANSPORTS = ['pkcs1', 'oaep-sha1', 'oaep-sha256', 'oaep-sha384', 'oaep-sha512'] as const;
const RECIPIENTS = ['issuer-serial', 'key-identifier'] as const;
const FORMS = CIPHERS.flatMap((content) =>
  TRANSPORTS.flatMap((keyTransport) => RECIPIENTS.map((recipient) => ({ content, keyTransport, recipient }))),
);

describe('envelopes of our own making', () => {
  it.each(FORMS)('are decrypted: $content, $keyTransport, $recipient', async (form) => {
    expect(await decrypt(encryptProtectedSettings(SETTINGS, own.certificatePem, form))).toEqual(SETTINGS);
  });

  it.each(FORMS)('are read by openssl: $content, $keyTransport, $recipient', (form) => {
    const der = Buffer.from(encryptProtectedSettings(SETTINGS, own.certificatePem, form), 'base64');
    const args = ['cms', '-decrypt', '-inform', 'DER', '-inkey', keyFile, '-recip', certificateFile];
    expect(openssl(args, der).toString()).toBe(TEXT);
  });

  it('have by default the form that Azure sends', async () => {
    const base64 = encryptProtectedSettings(SETTINGS, own.certificatePem);
    const printed = openssl(
      ['cms', '-cmsout', '-print', '-inform', 'DER'],
      Buffer.from(base64, 'base64'),
    ).toString();
    expect(base64).toMatch(/^[A-Za-z0-9+/]+=*$/);
    expect(printed).toMatch(/envelopedData: \n {4}version: 0\n/);
    expect(printed).toMatch(
      /d\.ktri: \n {8}version: 0\n {8}d\.issuerAndSerialNumber: \n {10}issuer: DC=Windows Azure/,
    );
    expect(printed).toMatch(/rsaEncryption \(1\.2\.840\.113549\.1\.1\.1\)\n {10}parameter: NULL\n/);
    expect(printed).toMatch(/contentType: pkcs7-data .*\n.*\n {8}algorithm: des-ede3-cbc /);
    expect((await parseEnvelope(base64)).encryptedContent.length % 8).toBe(0);
  });
});

describe('envelopes made by openssl', () => {
  const cms = ['cms', '-encrypt', '-binary', '-outform', 'DER'];
  const smime = ['smime', '-encrypt', '-binary', '-outform', 'DER'];
  const oaep = ['-keyopt', 'rsa_padding_mode:oaep'];
  const sha256 = ['-keyopt', 'rsa_oaep_md:sha256'];
  it.each([
    ['3DES', [...cms, '-des3']],
    ['AES-128', [...cms, '-aes128']],
    ['AES-192', [...cms, '-aes192']],
    ['AES-256', [...cms, '-aes256']],
    ['AES-128-GCM', [...cms, '-aes-128-gcm']],
    ['AES-256-GCM', [...cms, '-aes-256-gcm']],
    ['a key identifier', [...cms, '-keyid', '-aes128']],
    ['indefinite-length BER', [...cms, '-stream', '-aes128']],
    [
      'indefinite-length BER with AES-GCM and a key identifier',
      [...cms, '-stream', '-keyid', '-aes-256-gcm'],
    ],
    ['PKCS#7 with 3DES', [...smime, '-des3']],
    ['PKCS#7 with AES-256 in indefinite-length BER', [...smime, '-stream', '-aes256']],
  ])('are decrypted: %s', async (_, args) => {
    const der = openssl([...args, certificateFile], TEXT);
    expect(await decrypt(der.toString('base64'))).toEqual(SETTINGS);
  });

  it.each([
    ['OAEP with SHA-1', [...cms, '-aes256', '-recip', certificateFile, ...oaep]],
    ['OAEP with SHA-256', [...cms, '-aes256', '-recip', certificateFile, ...oaep, ...sha256]],
    ['OAEP with a label', [...cms, '-recip', certificateFile, ...oaep, '-keyopt', 'rsa_oaep_label:a1b2c3']],
  ])('are decrypted: %s', async (_, args) => {
    expect(await decrypt(openssl(args, TEXT).toString('base64'))).toEqual(SETTINGS);
  });

  it('are decrypted when the content comes in many chunks', async () => {
    const large = { value: 'x'.repeat(100_000) };
    const der = openssl([...cms, '-stream', '-aes128', certificateFile], JSON.stringify(large));
    expect(await decrypt(der.toString('base64'))).toEqual(large);
  });

  it.each([
    ['issuer and serial, first', [certificateFile, otherFile]],
    ['issuer and serial, last', [otherFile, certificateFile]],
    ['key identifier, first', ['-keyid', certificateFile, otherFile]],
    ['key identifier, last', ['-keyid', otherFile, certificateFile]],
  ])('of several recipients are decrypted by ours: %s', async (_, args) => {
    const der = openssl([...cms, '-aes128', ...args], TEXT);
    expect(await decrypt(der.toString('base64'))).toEqual(SETTINGS);
  });

  it('of several recipients fail when none is ours', async () => {
    const third = join(folder, 'third.pem');
    writeFileSync(third, createCertificate().certificatePem);
    const der = openssl([...cms, '-aes128', otherFile, third], TEXT);
    await expectUnreadable(decrypt(der.toString('base64')));
    await expectUnreadable(decrypt(der.toString('base64'), { host }));
  });

  it.each([
    ['Camellia', [...cms, '-camellia256', certificateFile]],
    ['Camellia in PKCS#7', [...smime, '-camellia128', certificateFile]],
    ['AES in another mode', [...cms, '-aes-128-ofb', certificateFile]],
    [
      'OAEP of SHA-256 with a mask of SHA-1',
      [...cms, '-recip', certificateFile, ...oaep, ...sha256, '-keyopt', 'rsa_mgf1_md:sha1'],
    ],
  ])('go to openssl when Node cannot read them: %s', async (_, args) => {
    const base64 = openssl(args, TEXT).toString('base64');
    const calls: string[][] = [];
    const exec: Host['exec'] = async (argv, options) => {
      calls.push([...argv]);
      return host.exec(argv, options);
    };
    expect(await decrypt(base64, { host: { exec, path: host.path } })).toEqual(SETTINGS);
    expect(calls.map((argv) => argv.slice(0, 2))).toEqual([['openssl', 'cms']]);
    expect(JSON.stringify(calls)).not.toContain(base64.slice(0, 20));
    await expectUnreadable(decrypt(base64));
  });

  it('go to openssl smime where openssl has no cms', async () => {
    const large = { value: 'é'.repeat(100_000) };
    const base64 = openssl([...smime, '-camellia128', certificateFile], JSON.stringify(large)).toString(
      'base64',
    );
    const exec: Host['exec'] = (argv, options) =>
      host.exec(argv[1] === 'cms' ? ['openssl', 'cms-is-not-built'] : argv, options);
    expect(await decrypt(base64, { host: { exec, path: host.path } })).toEqual(large);
  });
});

describe('keys', () => {
  const envelope = encryptProtectedSettings(SETTINGS, own.certificatePem);
  const key = createPrivateKey(own.privateKeyPem);

  it.each([
    ['PKCS#8', own.privateKeyPem],
    ['PKCS#1', key.export({ type: 'pkcs1', format: 'pem' }).toString()],
    ['PKCS#1 after attribute lines', `Bag Attributes\n${key.export({ type: 'pkcs1', format: 'pem' })}`],
    ['lines that end in CR LF', own.privateKeyFileText.replaceAll('\n', '\r\n')],
    ['a certificate before the key', own.certificateFileText + own.privateKeyFileText],
  ])('are read: %s', async (_, privateKeyText) => {
    expect(await decrypt(envelope, { privateKeyText })).toEqual(SETTINGS);
  });

  it.each([
    ['the key of another certificate', other.privateKeyFileText],
    ['an empty file', ''],
    ['a cut-off file', own.privateKeyFileText.slice(0, 900)],
    ['a block without a key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'],
    ['a certificate', own.certificateFileText],
  ])('end in the one error: %s', async (_, privateKeyText) => {
    for (const form of [
      {},
      { content: 'aes-256-gcm' },
      { keyTransport: 'oaep-sha256' },
    ] satisfies EnvelopeOptions[]) {
      const made = encryptProtectedSettings(SETTINGS, own.certificatePem, form);
      await expectUnreadable(decrypt(made, { privateKeyText }));
    }
  });

  it('serve a single recipient even when the certificate was replaced under the same key', async () => {
    expect(await decrypt(envelope, { certificateText: other.certificateFileText })).toEqual(SETTINGS);
  });
});

describe('plaintexts', () => {
  it('may begin with a byte order mark and end with line breaks', async () => {
    const envelope = encryptProtectedSettings(`\uFEFF${TEXT}\r\n`, own.certificatePem);
    expect(await decrypt(envelope)).toEqual(SETTINGS);
  });

  it.each([
    ['', 'empty'],
    [SECRET, 'no JSON'],
    [TEXT.slice(0, -1), 'cut-off JSON'],
    [JSON.stringify(SECRET), 'a string'],
    [JSON.stringify([SECRET]), 'an array'],
    ['null', 'null'],
    ['7', 'a number'],
  ])('that are no JSON object end in the one error: %j (%s)', async (text) => {
    await expectUnreadable(decrypt(encryptProtectedSettings(text, own.certificatePem)));
  });

  it('that are no UTF-8 end in the one error', async () => {
    const args = ['cms', '-encrypt', '-binary', '-outform', 'DER', certificateFile];
    const der = openssl(args, Buffer.from(`{"a":"\xff"}`, 'latin1'));
    await expectUnreadable(decrypt(der.toString('base64')));
  });
});

describe('key blocks with a wrong padding', () => {
  /** An envelope whose key block is `block`, encrypted without any padding of its own. */
  async function withBlock(block: (key: Buffer) => Buffer): Promise<string> {
    const base64 = encryptProtectedSettings(SETTINGS, own.certificatePem, { content: 'aes-128-cbc' });
    const encryptedKey = (await parseEnvelope(base64)).recipients[0]?.encryptedKey ?? Buffer.alloc(0);
    const raw = execFileSync(
      'openssl',
      ['pkeyutl', '-decrypt', '-inkey', keyFile, '-pkeyopt', 'rsa_padding_mode:pkcs1'],
      { input: encryptedKey },
    );
    const publicKey = createPublicKey(own.certificatePem);
    const wrapped = publicEncrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, block(raw));
    const hex = Buffer.from(base64, 'base64').toString('hex');
    return Buffer.from(hex.replace(encryptedKey.toString('hex'), wrapped.toString('hex')), 'hex').toString(
      'base64',
    );
  }
  const padded = (key: Buffer, head = [0, 2], fill = 0x5a) =>
    Buffer.concat([Buffer.from(head), Buffer.alloc(256 - 3 - key.length, fill), Buffer.alloc(1), key]);

  it('are told from a good one, which is decrypted', async () => {
    expect(await decrypt(await withBlock((key) => padded(key)))).toEqual(SETTINGS);
  });

  it.each<[string, (key: Buffer) => Buffer]>([
    ['the type of a signature', (key) => padded(key, [0, 1])],
    ['a first byte that is not zero', (key) => padded(key, [1, 2])],
    ['a zero among the padding', (key) => padded(key).fill(0, 20, 21)],
    ['no zero before the key', (key) => padded(key).fill(1, 255 - key.length, 256 - key.length)],
    ['a key that is a byte too long', (key) => padded(Buffer.concat([Buffer.from([9]), key]))],
    ['a key that is a byte too short', (key) => padded(key.subarray(1))],
    ['zeros only', () => Buffer.alloc(256)],
  ])('end in the one error: %s', async (_, block) => {
    await expectUnreadable(decrypt(await withBlock(block)));
  });
});

describe('broken envelopes', () => {
  const forms: EnvelopeOptions[] = [
    {},
    { content: 'aes-256-gcm', keyTransport: 'oaep-sha256' },
    { recipient: 'key-identifier', content: 'aes-128-cbc' },
  ];
  const envelopes = forms.map((form) =>
    Buffer.from(encryptProtectedSettings(SETTINGS, own.certificatePem, form), 'base64'),
  );
  const envelope = fc.constantFrom(...envelopes);

  it('end in the one error wherever they are cut off', async () => {
    for (const der of envelopes) {
      for (let length = 0; length < der.length; length += 7) {
        await expectUnreadable(decrypt(der.subarray(0, length).toString('base64')));
      }
    }
  });

  it('end in the one error, or are read, whichever bytes are changed; never in a crash', async () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
    const property = fc.asyncProperty(
      envelope,
      fc.array(change, { minLength: 1, maxLength: 4 }),
      async (der, list) => {
        const broken = Buffer.from(der);
        for (const [at, mask] of list)
          broken[at % broken.length] = broken.readUInt8(at % broken.length) ^ mask;
        const decrypted = decrypt(broken.toString('base64'));
        const value = await decrypted.catch(() => undefined);
        // A changed version or issuer harms nothing, and CBC without a tag lets a changed letter through.
        if (value === undefined) await expectUnreadable(decrypted);
        else expect(Object.keys(value)).toHaveLength(2);
      },
    );
    await fc.assert(property, { seed: 20260, numRuns: 600 });
  });

  it('end in the one error when they are not envelopes at all', async () => {
    const property = fc.asyncProperty(fc.oneof(fc.string(), fc.base64String()), (text) =>
      expectUnreadable(decrypt(text)),
    );
    await fc.assert(property, { seed: 20261, numRuns: 300 });
  });

  it('end in the one error when openssl cannot read them either', async () => {
    const der = openssl(['cms', '-encrypt', '-binary', '-outform', 'DER', '-camellia128', otherFile], TEXT);
    await expectUnreadable(decrypt(der.toString('base64'), { host }));
  });
});

describe('importing the module', () => {
  it('does not load node-forge; the first envelope does', async () => {
    const script = `
      import { createRequire } from 'node:module';
      const forge = () => Object.keys(createRequire('/').cache).filter((path) => path.includes('node-forge')).length;
      const { decryptProtectedSettings } = await import(${JSON.stringify(new URL('decrypt.ts', import.meta.url).href)});
      const before = forge();
      await decryptProtectedSettings({ envelope: 'AAAA', thumbprint: '' }).catch(() => undefined);
      console.log(JSON.stringify({ before, after: forge() > 0 }));`;
    const args = [
      '--import',
      'tsx',
      '--conditions=@handlerkit/source',
      '--input-type=module',
      '--eval',
      script,
    ];
    const cwd = new URL('.', import.meta.url);
    const printed = execFileSync(process.execPath, args, { cwd, encoding: 'utf8', timeout: 20_000 });
    expect(JSON.parse(printed)).toEqual({ before: 0, after: true });
  });
});
