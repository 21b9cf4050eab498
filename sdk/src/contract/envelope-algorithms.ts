/**
 * The algorithms of a CMS envelope that the SDK knows, with their object identifiers and key lengths.
 * Source: RFC 5652, RFC 5083, RFC 5084, RFC 3565, RFC 3370, RFC 8017 appendix A.2.1.
 */

export type CipherName = keyof typeof CIPHER_KEY_LENGTHS;
export type GcmName = Extract<CipherName, `${string}-gcm`>;
export type OaepHash = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** Content ciphers by the name that OpenSSL and Node give them, with the length of their key in bytes. */
export const CIPHER_KEY_LENGTHS = {
  'des-ede3-cbc': 24,
  'aes-128-cbc': 16,
  'aes-192-cbc': 24,
  'aes-256-cbc': 32,
  'aes-128-gcm': 16,
  'aes-192-gcm': 24,
  'aes-256-gcm': 32,
} as const;

/** Object identifiers of CMS and of its algorithms. */
export const ENVELOPE_OIDS = {
  data: '1.2.840.113549.1.7.1',
  envelopedData: '1.2.840.113549.1.7.3',
  authEnvelopedData: '1.2.840.113549.1.9.16.1.23',
  rsaEncryption: '1.2.840.113549.1.1.1',
  oaep: '1.2.840.113549.1.1.7',
  mgf1: '1.2.840.113549.1.1.8',
  subjectKeyIdentifier: '2.5.29.14',
} as const;

export const CIPHER_OIDS: Readonly<Record<CipherName, string>> = {
  'des-ede3-cbc': '1.2.840.113549.3.7',
  'aes-128-cbc': '2.16.840.1.101.3.4.1.2',
  'aes-192-cbc': '2.16.840.1.101.3.4.1.22',
  'aes-256-cbc': '2.16.840.1.101.3.4.1.42',
  'aes-128-gcm': '2.16.840.1.101.3.4.1.6',
  'aes-192-gcm': '2.16.840.1.101.3.4.1.26',
  'aes-256-gcm': '2.16.840.1.101.3.4.1.46',
};

export const HASH_OIDS: Readonly<Record<OaepHash, string>> = {
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
};

/** True for the ciphers that authenticate their content and so belong in AuthEnvelopedData. */
export function isGcm(name: CipherName): name is GcmName {
  return name.endsWith('-gcm');
}
