/**
 * A PFX (PKCS #12) with an empty password, in the form in which Azure sends a VM its certificates: the key in a shrouded
 * bag, the certificates encrypted, both with SHA-1 and 3DES, and a SHA-1 MAC. The password is no secret, so neither is
 * protection: the envelope around the PFX is. Source: RFC 7292, sections 4 and appendix B; fabric.md 5; agent-contract 5.1.
 */
import {
  createCipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  randomBytes,
  X509Certificate,
} from 'node:crypto';
import forge from 'node-forge';
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

/** What goes into a VM's PFX: one key with its certificate, and other certificates. All PEM texts. */
export interface PfxContents {
  readonly certificatePem: string;
  /** Of that certificate. Text before the PEM block is skipped, as the agent's own files have some. */
  readonly privateKeyPem: string;
  /** Name of key and certificate. */
  readonly friendlyName: string;
  /** Certificates without a key. */
  readonly otherCertificates: readonly string[];
}

/** The bytes of a PFX; others each time, as the salts are. Throws the system's error for a PEM that is none. */
export function createPfx(contents: PfxContents): Buffer {
  const own = new X509Certificate(contents.certificatePem).raw;
  const attributes = formatAttributes(contents.friendlyName, createHash('sha1').update(own).digest());
  const key = createPrivateKey(pemBlock(contents.privateKeyPem)).export({ type: 'pkcs8', format: 'der' });
  const keyBag = sequence(oid(OIDS.shroudedKeyBag), context(0, [encryptKey(key)]), attributes);
  const certificateBags = [
    sequence(oid(OIDS.certificateBag), context(0, [certificateValue(own)]), attributes),
    ...contents.otherCertificates.map((pem) =>
      sequence(oid(OIDS.certificateBag), context(0, [certificateValue(new X509Certificate(pem).raw)])),
    ),
  ];
  const safes = toDer(
    sequence(plainData(toDer(sequence(keyBag))), encryptedData(toDer(sequence(...certificateBags)))),
  );
  return toDer(sequence(integer(PFX_VERSION), plainData(safes), formatMac(safes)));
}

const PFX_VERSION = 3;
const ITERATIONS = 2000;
const SALT_BYTES = 8;
const PASSWORD = '';
/** What a derived key is for. Source: RFC 7292, appendix B.3. */
const FOR_KEY = 1;
const FOR_IV = 2;
const FOR_MAC = 3;
const TRIPLE_DES = { name: 'des-ede3-cbc', keyBytes: 24, ivBytes: 8 } as const;
const SHA1_BYTES = 20;

const OIDS = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  shaAndTripleDes: '1.2.840.113549.1.12.1.3',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certificateBag: '1.2.840.113549.1.12.10.1.3',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
  sha1: '1.3.14.3.2.26',
} as const;

function pemBlock(text: string): string {
  return text.slice(Math.max(0, text.indexOf('-----BEGIN')));
}

function certificateValue(der: Buffer): Asn1 {
  return sequence(oid(OIDS.x509Certificate), context(0, [octets(der)]));
}

function encryptKey(key: Buffer): Asn1 {
  const { algorithm, encrypted } = encrypt(key);
  return sequence(algorithm, octets(encrypted));
}

function encryptedData(content: Buffer): Asn1 {
  const { algorithm, encrypted } = encrypt(content);
  const info = sequence(oid(OIDS.data), algorithm, context(0, encrypted));
  return sequence(oid(OIDS.encryptedData), context(0, [sequence(integer(0), info)]));
}

function plainData(content: Buffer): Asn1 {
  return sequence(oid(OIDS.data), context(0, [octets(content)]));
}

function encrypt(content: Buffer): { algorithm: Asn1; encrypted: Buffer } {
  const salt = randomBytes(SALT_BYTES);
  const key = derive(salt, FOR_KEY, TRIPLE_DES.keyBytes);
  const cipher = createCipheriv(TRIPLE_DES.name, key, derive(salt, FOR_IV, TRIPLE_DES.ivBytes));
  const parameters = sequence(octets(salt), integer(ITERATIONS));
  return {
    algorithm: sequence(oid(OIDS.shaAndTripleDes), parameters),
    encrypted: Buffer.concat([cipher.update(content), cipher.final()]),
  };
}

function formatMac(content: Buffer): Asn1 {
  const salt = randomBytes(SALT_BYTES);
  const digest = createHmac('sha1', derive(salt, FOR_MAC, SHA1_BYTES))
    .update(content)
    .digest();
  const algorithm = sequence(oid(OIDS.sha1), nothing());
  return sequence(sequence(algorithm, octets(digest)), octets(salt), integer(ITERATIONS));
}

function derive(salt: Buffer, purpose: number, bytes: number): Buffer {
  const buffer = forge.util.createBuffer(salt.toString('latin1'));
  const derived = forge.pkcs12.generateKey(PASSWORD, buffer, purpose, ITERATIONS, bytes);
  return Buffer.from(derived.getBytes(), 'latin1');
}

/** The library writes the two bytes of each character itself. */
function formatAttributes(friendlyName: string, keyId: Buffer): Asn1 {
  return set(
    sequence(oid(OIDS.friendlyName), set(universal(ASN1.BMPSTRING, friendlyName))),
    sequence(oid(OIDS.localKeyId), set(octets(keyId))),
  );
}
