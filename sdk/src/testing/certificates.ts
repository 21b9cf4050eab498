/**
 * Certificates as the platform makes them for protected settings, with the `.crt` and `.prv` texts as the agent stores
 * them. For tests and for a local VM; no operation of a handler makes certificates.
 * Source: agent-contract 5.1 and 5.2; the attribute lines are those of `openssl pkcs12 -nodes` 3.0.
 */
import { createHash, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import forge from 'node-forge';

/** What a certificate for tests is made with. */
export interface CertificateOptions {
  /** Makes the subject `CN=…`; default: the subject of Azure's tenant certificate. */
  readonly commonName?: string;
}

/** A certificate with its key, as PEM texts and as the texts of the agent's files. For tests only: the key is not protected. */
export interface TestCertificate {
  readonly certificatePem: string;
  /** PKCS#8, without a password. */
  readonly privateKeyPem: string;
  /** SHA-1 of the certificate, 40 upper-case hex digits. */
  readonly thumbprint: string;
  /** Text of `<THUMBPRINT>.crt`: attribute lines, then the PEM block. */
  readonly certificateFileText: string;
  /** Text of `<THUMBPRINT>.prv`. */
  readonly privateKeyFileText: string;
}

/** Subject and issuer (as a domain component) of the certificate that Azure makes for protected settings. */
export const TENANT_CERTIFICATE_ISSUER = 'Windows Azure CRP Certificate Generator';

/**
 * Makes a self-signed RSA-2048 certificate with a random serial of 16 bytes and a subject key identifier. Writes no file.
 */
export function createCertificate(options: CertificateOptions = {}): TestCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const { commonName } = options;
  const name = commonName === undefined ? TENANT_NAME : { name: 'commonName', value: commonName };
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = createSerial();
  certificate.validity.notBefore = VALID_FROM;
  certificate.validity.notAfter = VALID_UNTIL;
  certificate.setSubject([name]);
  certificate.setIssuer([name]);
  certificate.setExtensions([{ name: 'subjectKeyIdentifier' }]);
  certificate.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  const certificatePem = forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n');
  const digest = createHash('sha1')
    .update(new X509Certificate(certificatePem).raw)
    .digest('hex')
    .toUpperCase();
  const subject = commonName === undefined ? `DC = ${TENANT_CERTIFICATE_ISSUER}` : `CN = ${commonName}`;
  const bag = `Bag Attributes\n    localKeyID: ${digest.replace(/../g, '$& ')}\n    friendlyName: ${FRIENDLY_NAME}\n`;
  return {
    certificatePem,
    privateKeyPem: privateKey,
    thumbprint: digest,
    certificateFileText: `${bag}subject=${subject}\nissuer=${subject}\n${certificatePem}`,
    privateKeyFileText: `${bag}Key Attributes: <No Attributes>\n${privateKey}`,
  };
}

/** The name that the platform gives to the key in the PFX. */
const FRIENDLY_NAME = 'TenantEncryptionCert';
/** Fixed dates: neither agent nor handler checks them, and a machine with a wrong clock gets a certificate as well. */
const VALID_FROM = new Date('2020-01-01T00:00:00Z');
const VALID_UNTIL = new Date('2049-12-31T23:59:59Z');
/** A domain component is an IA5String; the published types ask for a class where the library wants a type. */
const IA5_STRING: number = forge.asn1.Type.IA5STRING;
const TENANT_NAME = {
  type: '0.9.2342.19200300.100.1.25',
  value: TENANT_CERTIFICATE_ISSUER,
  valueTagClass: IA5_STRING,
};

/** Sixteen bytes whose first is neither zero nor has its high bit set, so that DER keeps them all. */
function createSerial(): string {
  const serial = randomBytes(16);
  serial[0] = (serial.readUInt8(0) & 0x3f) | 0x40;
  return serial.toString('hex');
}
