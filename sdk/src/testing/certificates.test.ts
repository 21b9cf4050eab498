import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createCertificate, TENANT_CERTIFICATE_ISSUER } from './certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'certificates-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('createCertificate', () => {
  const made = createCertificate();
  const certificate = new X509Certificate(made.certificatePem);

  it('makes what Azure makes: self-signed, the tenant issuer, a serial of 16 bytes, RSA-2048', () => {
    expect(certificate.issuer).toBe(`DC=${TENANT_CERTIFICATE_ISSUER}`);
    expect(certificate.subject).toBe(certificate.issuer);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(made.privateKeyPem))).toBe(true);
    expect(certificate.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });

  it('gives the SHA-1 fingerprint as the thumbprint', () => {
    expect(made.thumbprint).toBe(certificate.fingerprint.replaceAll(':', ''));
    expect(made.thumbprint).toMatch(/^[0-9A-F]{40}$/);
  });

  it('makes a certificate for another name', () => {
    const other = new X509Certificate(createCertificate({ commonName: 'CRP' }).certificatePem);
    expect(other.subject).toBe('CN=CRP');
    expect(other.serialNumber).not.toBe(certificate.serialNumber);
  });

  it('writes the files as the agent splits them from the output of openssl pkcs12', () => {
    const [key, pem, pfx] = ['key.pem', 'certificate.pem', 'bundle.pfx'].map((name) => join(folder, name));
    if (key === undefined || pem === undefined || pfx === undefined) throw new Error('unreachable');
    writeFileSync(key, made.privateKeyPem, { mode: 0o600 });
    writeFileSync(pem, made.certificatePem);
    const name = 'TenantEncryptionCert';
    run(['pkcs12', '-export', '-inkey', key, '-in', pem, '-name', name, '-passout', 'pass:', '-out', pfx]);
    const text = run(['pkcs12', '-nodes', '-password', 'pass:', '-nomacver', '-in', pfx]);
    const end = text.indexOf('-----END CERTIFICATE-----\n') + '-----END CERTIFICATE-----\n'.length;
    expect(made.certificateFileText).toBe(withSpaces(text.slice(0, end)));
    expect(made.privateKeyFileText).toBe(withSpaces(text.slice(end)));
  });
});

function run(args: readonly string[]): string {
  return execFileSync('openssl', args, {
    encoding: 'utf8',
    timeout: 20_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** OpenSSL 3.2 and later write `subject=DC=X` where 3.0 writes `subject=DC = X`. */
function withSpaces(text: string): string {
  return text.replace(/^((?:subject|issuer)=[A-Z]+) ?= ?/gm, '$1 = ');
}
