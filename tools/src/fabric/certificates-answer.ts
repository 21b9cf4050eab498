/**
 * The VM's certificates, as the WireServer gives them: a PFX in an envelope that only the asking agent can open.
 * Source: fabric.md 5; agent-contract 5.1.
 */
import { createPfx, encryptProtectedSettings } from '@handlerkit/sdk/testing';
import { WIRE_PROTOCOL_VERSION } from './fabric-addresses.ts';

/** Headers of the request. */
export const CERTIFICATE_HEADERS = {
  transportCertificate: 'x-ms-guest-agent-public-x509-cert',
  cipher: 'x-ms-cipher-name',
} as const;

export interface VmCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  /** Certificates without a key, of which the agent keeps the certificate alone. */
  readonly otherCertificates: readonly string[];
}

/** The content of an envelope, from the name of the cipher that the agent wants; `undefined` for one that nobody knows. */
export function findCipher(name: string): 'des-ede3-cbc' | 'aes-128-cbc' | undefined {
  return CIPHERS.get(name);
}

/**
 * The document. `transportCertificate` is the header's text: base64 of a DER certificate on one line. The envelope names its
 * key by the identifier, or by issuer and number when it has none. Throws for a certificate that cannot be read.
 */
export function formatCertificatesAnswer(
  certificate: VmCertificate,
  incarnation: number,
  transportCertificate: string,
  cipher: NonNullable<ReturnType<typeof findCipher>>,
): string {
  const pfx = createPfx({ ...certificate, friendlyName: FRIENDLY_NAME });
  const data = sealFor(toPem(transportCertificate), pfx, cipher);
  return `<?xml version="1.0" encoding="utf-8"?>
<CertificateFile>
  <Version>${WIRE_PROTOCOL_VERSION}</Version>
  <Incarnation>${incarnation}</Incarnation>
  <Format>Pkcs7BlobWithPfxContents</Format>
  <Data>${wrap(data)}
  </Data>
</CertificateFile>
`;
}

/** The name that Azure gives to key and certificate. */
const FRIENDLY_NAME = 'TenantEncryptionCert';
const CIPHERS: ReadonlyMap<string, 'des-ede3-cbc' | 'aes-128-cbc'> = new Map([
  ['DES_EDE3_CBC', 'des-ede3-cbc'],
  ['AES128_CBC', 'aes-128-cbc'],
]);
/** The agent hands the text to openssl as a mail, and openssl reads no longer lines. */
const COLUMNS = 64;

function sealFor(pem: string, content: Buffer, cipher: 'des-ede3-cbc' | 'aes-128-cbc'): string {
  try {
    return encryptProtectedSettings(content, pem, { content: cipher, recipient: 'key-identifier' });
  } catch {
    // Without a key identifier. A certificate that cannot be read at all fails again.
    return encryptProtectedSettings(content, pem, { content: cipher });
  }
}

function toPem(base64: string): string {
  return `-----BEGIN CERTIFICATE-----\n${wrap(base64.replace(/\s/g, ''))}\n-----END CERTIFICATE-----\n`;
}

function wrap(base64: string): string {
  return base64.replace(new RegExp(`.{${COLUMNS}}(?=.)`, 'g'), '$&\n');
}
