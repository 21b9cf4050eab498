/**
 * Protected settings as they arrive in a settings file: encrypted to a certificate, in the form that Azure sends or in
 * another that CMS allows. For tests and for a local VM; a handler only decrypts.
 * Source: RFC 5652 section 6, RFC 5083, RFC 5084, RFC 8017 appendix A.2.1; agent-contract 5.3.
 */
import type { KeyObject } from 'node:crypto';
import { constants, createCipheriv, publicEncrypt, randomBytes, X509Certificate } from 'node:crypto';
import forge from 'node-forge';
import type { CipherName, GcmName, OaepHash } from '../contract/envelope-algorithms.ts';
import {
  CIPHER_KEY_LENGTHS,
  CIPHER_OIDS,
  ENVELOPE_OIDS,
  HASH_OIDS,
  isGcm,
} from '../contract/envelope-algorithms.ts';
import {
  ASN1,
  type Asn1,
  context,
  integer,
  nothing,
  octets,
  oid,
  sequence,
  set,
  toDer,
  universal,
} from './asn1.ts';

/** Which of the forms of CMS an envelope has. */
export interface EnvelopeOptions {
  /** Cipher of the content; default `des-ede3-cbc`. */
  readonly content?: CipherName;
  /** How the content key is wrapped; default `pkcs1`. */
  readonly keyTransport?: 'pkcs1' | `oaep-${OaepHash}`;
  /** What the recipient is called by; default `issuer-serial`. */
  readonly recipient?: 'issuer-serial' | 'key-identifier';
}

/**
 * Encrypts protected settings to a certificate: base64 of a DER envelope on one line. The default is the form that Azure
 * sends. A string and bytes are taken as they are, anything else becomes JSON. Throws when the certificate has no key
 * identifier to name.
 */
export function encryptProtectedSettings(
  value: unknown,
  certificatePem: string,
  options: EnvelopeOptions = {},
): string {
  const { content = 'des-ede3-cbc', keyTransport = 'pkcs1', recipient = 'issuer-serial' } = options;
  const plaintext =
    value instanceof Uint8Array
      ? Buffer.from(value)
      : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value), 'utf8');
  const { publicKey } = new X509Certificate(certificatePem);
  const certificate = forge.pki.certificateFromPem(certificatePem);
  const byKeyIdentifier = recipient === 'key-identifier';
  const version = integer(byKeyIdentifier ? 2 : 0);
  const key = randomBytes(CIPHER_KEY_LENGTHS[content]);
  const recipients = set(
    sequence(
      version,
      byKeyIdentifier ? keyIdentifier(certificate) : issuerAndSerial(certificate),
      keyTransportAlgorithm(keyTransport),
      octets(wrapKey(key, publicKey, keyTransport)),
    ),
  );
  if (!isGcm(content)) {
    return formatContentInfo(
      'envelopedData',
      sequence(version, recipients, encryptCbc(content, key, plaintext)),
    );
  }
  const { info, tag } = encryptGcm(content, key, plaintext);
  return formatContentInfo('authEnvelopedData', sequence(integer(0), recipients, info, octets(tag)));
}

type KeyTransportName = NonNullable<EnvelopeOptions['keyTransport']>;

const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;

function encryptCbc(name: CipherName, key: Buffer, plaintext: Buffer): Asn1 {
  const iv = randomBytes(name === 'des-ede3-cbc' ? 8 : 16);
  const cipher = createCipheriv(name, key, iv);
  return encryptedContentInfo(name, octets(iv), Buffer.concat([cipher.update(plaintext), cipher.final()]));
}

function encryptGcm(name: GcmName, key: Buffer, plaintext: Buffer): { info: Asn1; tag: Buffer } {
  const nonce = randomBytes(GCM_NONCE_BYTES);
  const cipher = createCipheriv(name, key, nonce, { authTagLength: GCM_TAG_BYTES });
  const encrypted = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const parameters = sequence(octets(nonce), integer(GCM_TAG_BYTES));
  return { info: encryptedContentInfo(name, parameters, encrypted), tag: cipher.getAuthTag() };
}

function encryptedContentInfo(name: CipherName, parameters: Asn1, encrypted: Buffer): Asn1 {
  return sequence(
    oid(ENVELOPE_OIDS.data),
    sequence(oid(CIPHER_OIDS[name]), parameters),
    context(0, encrypted),
  );
}

function wrapKey(key: Buffer, publicKey: KeyObject, transport: KeyTransportName): Buffer {
  if (transport === 'pkcs1')
    return publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, key);
  const oaepHash = hashOf(transport);
  return publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, key);
}

function keyTransportAlgorithm(transport: KeyTransportName): Asn1 {
  if (transport === 'pkcs1') return sequence(oid(ENVELOPE_OIDS.rsaEncryption), nothing());
  const hash = hashOf(transport);
  // SHA-1 is the default of both fields, and DER leaves a default out.
  if (hash === 'sha1') return sequence(oid(ENVELOPE_OIDS.oaep), sequence());
  const algorithm = sequence(oid(HASH_OIDS[hash]), nothing());
  const mask = sequence(oid(ENVELOPE_OIDS.mgf1), algorithm);
  return sequence(oid(ENVELOPE_OIDS.oaep), sequence(context(0, [algorithm]), context(1, [mask])));
}

function hashOf(transport: `oaep-${OaepHash}`): OaepHash {
  return transport.slice('oaep-'.length) as OaepHash;
}

function issuerAndSerial(certificate: forge.pki.Certificate): Asn1 {
  const issuer = forge.pki.distinguishedNameToAsn1(certificate.issuer);
  return sequence(issuer, universal(ASN1.INTEGER, forge.util.hexToBytes(certificate.serialNumber)));
}

function keyIdentifier(certificate: forge.pki.Certificate): Asn1 {
  const extension: unknown = certificate.getExtension('subjectKeyIdentifier');
  const isIdentifier =
    typeof extension === 'object' && extension !== null && 'subjectKeyIdentifier' in extension;
  if (!isIdentifier) throw new Error('the certificate has no subject key identifier');
  return context(0, Buffer.from(String(extension.subjectKeyIdentifier), 'hex'));
}

function formatContentInfo(kind: 'envelopedData' | 'authEnvelopedData', content: Asn1): string {
  return toDer(sequence(oid(ENVELOPE_OIDS[kind]), context(0, [content]))).toString('base64');
}
