import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCertificate } from '@handlerkit/sdk/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findCipher, formatCertificatesAnswer } from './certificates-answer.ts';

const folder = mkdtempSync(join(tmpdir(), 'certificates-answer-'));
afterAll(() => rmSync(folder, { recursive: true }));

const tenant = createCertificate();
const other = createCertificate({ commonName: 'CRP' });
const vm = {
  certificatePem: tenant.certificatePem,
  privateKeyPem: tenant.privateKeyFileText,
  otherCertificates: [other.certificatePem],
};

describe('the answer with the certificates', () => {
  const key = join(folder, 'TransportPrivate.pem');
  const certificate = join(folder, 'TransportCert.pem');
  let header = '';

  beforeAll(() => {
    const subject = ['-subj', '/CN=LinuxTransport', '-days', '730', '-newkey', 'rsa:2048'];
    openssl(['req', '-x509', '-nodes', ...subject, '-keyout', key, '-out', certificate]);
    header = readFileSync(certificate, 'utf8').replace(/-----[^-]+-----|\s/g, '');
  });

  it.each([
    ['DES_EDE3_CBC', 'des-ede3-cbc'],
    ['AES128_CBC', 'aes-128-cbc'],
  ])('is opened by the commands of the agent, asked for with %s', (name, openSslName) => {
    const cipher = findCipher(name);
    if (cipher === undefined) throw new Error('unreachable');
    const document = formatCertificatesAnswer(vm, 7, header, cipher);
    expect(document).toContain('<Incarnation>7</Incarnation>');
    expect(document).toContain('<Format>Pkcs7BlobWithPfxContents</Format>');
    const p7m = writeMail(document);
    const structure = openssl(['cms', '-cmsout', '-print', '-in', p7m]);
    expect(structure).toContain('subjectKeyIdentifier');
    expect(structure).toContain(`algorithm: ${openSslName}`);
    expect(structure).toContain('rsaEncryption');

    const pfx = join(folder, 'Certificates.pfx');
    openssl(['cms', '-decrypt', '-in', p7m, '-inkey', key, '-recip', certificate, '-out', pfx]);
    const info = openssl(['pkcs12', '-info', '-noout', '-password', 'pass:', '-in', pfx], 'stderr');
    expect(info).toMatch(/MAC: sha1, Iteration 2000/);
    expect(info).toContain('Shrouded Keybag: pbeWithSHA1And3-KeyTripleDES-CBC');
    expect(info).toContain('PKCS7 Encrypted data: pbeWithSHA1And3-KeyTripleDES-CBC');

    for (const check of [[], ['-nomacver']]) {
      const pem = join(folder, 'Certificates.pem');
      openssl(['pkcs12', '-nodes', '-password', 'pass:', '-in', pfx, '-out', pem, ...check]);
      const text = readFileSync(pem, 'utf8');
      const blocks = [...text.matchAll(/-----BEGIN[\s\S]*?-----END [A-Z ]+-----\n/g)].map(([block]) => block);
      expect(blocks).toHaveLength(3);
      expect(blocks).toContain(tenant.privateKeyPem);
      expect(blocks).toContain(tenant.certificatePem);
      expect(blocks).toContain(other.certificatePem);
      expect(text.match(/friendlyName: TenantEncryptionCert/g)).toHaveLength(2);
    }
  });

  it('serves an agent whose certificate has no key identifier', () => {
    const plain = join(folder, 'plain.pem');
    const configuration = join(folder, 'plain.conf');
    writeFileSync(configuration, '[req]\ndistinguished_name=name\nprompt=no\n[name]\nCN=LinuxTransport\n');
    openssl(['req', '-x509', '-config', configuration, '-key', key, '-out', plain]);
    const text = readFileSync(plain, 'utf8').replace(/-----[^-]+-----|\s/g, '');
    const p7m = writeMail(formatCertificatesAnswer(vm, 1, text, 'des-ede3-cbc'));
    expect(openssl(['cms', '-cmsout', '-print', '-in', p7m])).toContain('issuerAndSerialNumber');
    const pfx = join(folder, 'plain.pfx');
    openssl(['cms', '-decrypt', '-in', p7m, '-inkey', key, '-recip', plain, '-out', pfx]);
    expect(openssl(['pkcs12', '-nodes', '-password', 'pass:', '-in', pfx])).toContain('BEGIN PRIVATE KEY');
  });

  it('knows the ciphers of the agents and no other', () => {
    expect(findCipher('AES256_CBC')).toBeUndefined();
  });

  it('refuses a transport certificate that is none', () => {
    expect(() => formatCertificatesAnswer(vm, 1, 'bm90IGEgY2VydGlmaWNhdGU=', 'des-ede3-cbc')).toThrow();
  });
});

/** The text that the agent makes of the answer. */
function writeMail(document: string): string {
  const [, data = ''] = /<Data>([^<]*)<\/Data>/.exec(document) ?? [];
  const lines = data.trim().split('\n');
  expect(Math.max(...lines.map((line) => line.length))).toBe(64);
  const p7m = join(folder, 'Certificates.p7m');
  const head = [
    'MIME-Version:1.0',
    `Content-Disposition: attachment; filename="${p7m}"`,
    `Content-Type: application/x-pkcs7-mime; name="${p7m}"`,
    'Content-Transfer-Encoding: base64',
  ];
  writeFileSync(p7m, `${head.join('\n')}\n\n${data}`);
  return p7m;
}

function openssl(args: readonly string[], stream: 'stdout' | 'stderr' = 'stdout'): string {
  const [program, ...words] = stream === 'stdout' ? ['openssl', ...args] : [...WITH_STDERR, ...args];
  return execFileSync(program ?? '', words, {
    encoding: 'utf8',
    timeout: 20_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** `pkcs12 -info` tells of the structure on stderr. */
const WITH_STDERR = ['/bin/sh', '-c', 'exec openssl "$@" 2>&1', 'openssl'];
