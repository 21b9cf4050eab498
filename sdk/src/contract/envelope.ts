/// <reference path="./node-forge-asn1.d.ts" />
/**
 * The CMS envelope that carries the protected settings, read into plain data without any key. DER and BER; EnvelopedData
 * and AuthEnvelopedData; what Azure sends is version 0, one recipient by issuer and serial, rsaEncryption, des-ede3-cbc.
 * node-forge's ASN.1 module is loaded by the first call: an operation without protected settings does not pay for it.
 * Source: RFC 5652 section 6, RFC 5083, RFC 5084, RFC 8017 appendix A.2.1; agent-contract 5.3.
 */
import type { asn1 as forgeAsn1 } from 'node-forge';
import type { CipherName, GcmName, OaepHash } from './envelope-algorithms.ts';
import { CIPHER_OIDS, ENVELOPE_OIDS, HASH_OIDS, isGcm } from './envelope-algorithms.ts';
import { ContractError } from './json.ts';

export interface EncryptedEnvelope {
  /** The recipients with key transport (RSA), in their order; empty when every recipient is of another kind. */
  readonly recipients: readonly EnvelopeRecipient[];
  readonly cipher: ContentCipher;
  readonly iv: Buffer;
  readonly encryptedContent: Buffer;
  /** Authentication tag of AES-GCM, empty for CBC. */
  readonly tag: Buffer;
}

export interface EnvelopeRecipient {
  readonly id: RecipientId;
  readonly keyTransport: KeyTransport;
  readonly encryptedKey: Buffer;
}

/** Which certificate a recipient means: DER of the issuer's name with the serial in hex, or its subject key identifier in hex. */
export type RecipientId =
  | { readonly kind: 'issuer-serial'; readonly issuer: Buffer; readonly serial: string }
  | { readonly kind: 'key-identifier'; readonly keyIdentifier: string };

/** How the content key is wrapped. `unsupported` names an algorithm that this reader does not know; another program may. */
export type KeyTransport =
  | { readonly scheme: 'pkcs1' }
  | { readonly scheme: 'oaep'; readonly hash: OaepHash; readonly label: Buffer }
  | Unsupported;

export type ContentCipher =
  | { readonly scheme: 'cbc'; readonly name: Exclude<CipherName, GcmName> }
  | { readonly scheme: 'gcm'; readonly name: GcmName }
  | Unsupported;

export interface Unsupported {
  readonly scheme: 'unsupported';
  /** Object identifier in dotted form. */
  readonly algorithm: string;
}

/** What a certificate is called by in an envelope. */
export interface CertificateIdentity {
  readonly issuer: Buffer;
  readonly serial: string;
  /** Subject key identifier in hex, `undefined` when the certificate has none. */
  readonly keyIdentifier: string | undefined;
}

/**
 * Reads an envelope from base64 (line breaks are allowed). Throws {@link ContractError} when it is not a CMS envelope; an
 * algorithm that is not known here is no error, but told in the result as `unsupported`. Decrypts nothing.
 */
export async function parseEnvelope(base64: string): Promise<EncryptedEnvelope> {
  const asn1 = await loadAsn1();
  try {
    return readContentInfo(asn1, parseDer(asn1, decodeBase64(base64)));
  } catch {
    // The parser's own texts quote lengths and bytes of the input, and say nothing that a reader of the status can use.
    throw new ContractError('protectedSettings', '', 'is not a CMS envelope in base64');
  }
}

/** The bytes of an envelope in base64. Throws {@link ContractError} for characters that base64 does not have. */
export function decodeBase64(base64: string): Buffer {
  const text = base64.replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
    throw new ContractError('protectedSettings', '', 'is not a CMS envelope in base64');
  }
  return Buffer.from(text, 'base64');
}

/** Reads the names of a certificate from its DER. Throws {@link ContractError}; verifies nothing. */
export async function parseCertificateIdentity(der: Buffer): Promise<CertificateIdentity> {
  const asn1 = await loadAsn1();
  try {
    // TBSCertificate: [0] version (optional), serial, signature algorithm, issuer, …, [3] extensions.
    const fields = [...children(child(parseDer(asn1, der), 0))];
    if (isContext(asn1, fields[0], 0)) fields.shift();
    const extensions = fields.find((field) => isContext(asn1, field, 3));
    return {
      serial: readSerial(fields[0]),
      issuer: toDer(asn1, present(fields[2])),
      keyIdentifier: extensions === undefined ? undefined : readKeyIdentifier(asn1, child(extensions, 0)),
    };
  } catch {
    throw new ContractError('certificate', '', 'is not an X.509 certificate');
  }
}

type Asn1 = typeof forgeAsn1;
type Node = forgeAsn1.Asn1;

async function loadAsn1(): Promise<Asn1> {
  return (await import('node-forge/lib/asn1.js')).default;
}

/** ContentInfo of either kind; both begin alike: version, [0] originator (optional), recipients, encrypted content. */
function readContentInfo(asn1: Asn1, root: Node): EncryptedEnvelope {
  const type = readOid(asn1, child(root, 0));
  if (type !== ENVELOPE_OIDS.envelopedData && type !== ENVELOPE_OIDS.authEnvelopedData)
    throw new Error('kind');
  const fields = [...children(child(child(root, 1), 0))];
  fields.shift();
  if (isContext(asn1, fields[0], 0)) fields.shift();
  const [recipientSet, content, ...rest] = fields;
  const recipients = children(recipientSet);
  if (recipients.length === 0) throw new Error('no recipient');
  const algorithm = child(content, 1);
  const parameters = children(algorithm)[1];
  const cipherOid = readOid(asn1, child(algorithm, 0));
  const encryptedContent = readOctets(asn1, child(content, 2));
  const readable = recipients.filter((recipient) => isSequence(asn1, recipient));
  const envelope = {
    recipients: readable.map((recipient) => readRecipient(asn1, recipient)),
    encryptedContent,
  };
  const name = nameOf(CIPHER_OIDS, cipherOid);
  const unread = { ...envelope, cipher: unsupported(cipherOid), iv: Buffer.alloc(0), tag: Buffer.alloc(0) };
  if (name === undefined) return unread;
  if (type === ENVELOPE_OIDS.envelopedData) {
    if (isGcm(name)) return unread;
    return {
      ...envelope,
      cipher: { scheme: 'cbc', name },
      iv: readOctets(asn1, parameters),
      tag: Buffer.alloc(0),
    };
  }
  // Authenticated attributes would have to be checked together with the content, so openssl gets such an envelope.
  if (!isGcm(name) || isContext(asn1, rest[0], 1)) return unread;
  return {
    ...envelope,
    cipher: { scheme: 'gcm', name },
    iv: readOctets(asn1, child(parameters, 0)),
    tag: readOctets(asn1, rest[0]),
  };
}

/** KeyTransRecipientInfo: version, identifier, algorithm, encrypted key. */
function readRecipient(asn1: Asn1, recipient: Node): EnvelopeRecipient {
  const id = child(recipient, 1);
  return {
    id: isContext(asn1, id, 0)
      ? { kind: 'key-identifier', keyIdentifier: readOctets(asn1, id).toString('hex') }
      : { kind: 'issuer-serial', issuer: toDer(asn1, child(id, 0)), serial: readSerial(child(id, 1)) },
    keyTransport: readKeyTransport(asn1, child(recipient, 2)),
    encryptedKey: readOctets(asn1, child(recipient, 3)),
  };
}

function readKeyTransport(asn1: Asn1, algorithm: Node): KeyTransport {
  const oid = readOid(asn1, child(algorithm, 0));
  if (oid === ENVELOPE_OIDS.rsaEncryption) return { scheme: 'pkcs1' };
  if (oid !== ENVELOPE_OIDS.oaep) return unsupported(oid);
  const parameters = children(algorithm)[1];
  const fields = parameters === undefined ? [] : children(parameters);
  const field = (tag: number) => fields.find((node) => isContext(asn1, node, tag));
  const [hashField, maskField, labelField] = [field(0), field(1), field(2)];
  const hash = hashField === undefined ? HASH_OIDS.sha1 : readOid(asn1, child(child(hashField, 0), 0));
  const name = nameOf(HASH_OIDS, hash);
  if (name === undefined) return unsupported(hash);
  const mask = maskField === undefined ? undefined : child(maskField, 0);
  if (mask !== undefined && readOid(asn1, child(mask, 0)) !== ENVELOPE_OIDS.mgf1) return unsupported(oid);
  // Node uses one hash for both parts of OAEP; openssl can mix them.
  const maskHash = mask === undefined ? HASH_OIDS.sha1 : readOid(asn1, child(child(mask, 1), 0));
  if (maskHash !== hash) return unsupported(oid);
  const label = labelField === undefined ? Buffer.alloc(0) : readOctets(asn1, child(child(labelField, 0), 1));
  return { scheme: 'oaep', hash: name, label };
}

function readKeyIdentifier(asn1: Asn1, extensions: Node): string | undefined {
  for (const extension of children(extensions)) {
    if (readOid(asn1, child(extension, 0)) !== ENVELOPE_OIDS.subjectKeyIdentifier) continue;
    const wrapped = readOctets(asn1, children(extension).at(-1));
    return readOctets(asn1, parseDer(asn1, wrapped)).toString('hex');
  }
  return undefined;
}

function parseDer(asn1: Asn1, der: Buffer): Node {
  return asn1.fromDer(der.toString('latin1'));
}

/** The canonical bytes of a value, so that a BER and a DER spelling of one name are equal. */
function toDer(asn1: Asn1, node: Node): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
}

function readOid(asn1: Asn1, node: Node): string {
  if (node.type !== asn1.Type.OID) throw new Error('no object identifier');
  return asn1.derToOid(bytes(node));
}

/** An INTEGER as hex without leading zero bytes. */
function readSerial(node: Node | undefined): string {
  return Buffer.from(bytes(present(node)), 'latin1')
    .toString('hex')
    .replace(/^(00)+/, '');
}

/** An OCTET STRING, or one that is implicitly tagged; BER may cut it into chunks, and those into further chunks. */
function readOctets(asn1: Asn1, node: Node | undefined): Buffer {
  const { type, tagClass, value } = present(node);
  if (tagClass === asn1.Class.UNIVERSAL && type !== asn1.Type.OCTETSTRING) throw new Error('no octet string');
  if (typeof value === 'string') return Buffer.from(value, 'latin1');
  return Buffer.concat(value.map((chunk) => readOctets(asn1, chunk)));
}

function bytes(node: Node): string {
  if (typeof node.value !== 'string') throw new Error('not primitive');
  return node.value;
}

function children(node: Node | undefined): readonly Node[] {
  const { value } = present(node);
  if (typeof value === 'string') throw new Error('not constructed');
  return value;
}

function child(node: Node | undefined, index: number): Node {
  return present(children(node)[index]);
}

function present(node: Node | undefined): Node {
  if (node === undefined) throw new Error('missing');
  return node;
}

function isContext(asn1: Asn1, node: Node | undefined, tag: number): boolean {
  return node !== undefined && node.tagClass === asn1.Class.CONTEXT_SPECIFIC && node.type === tag;
}

function isSequence(asn1: Asn1, node: Node): boolean {
  return node.tagClass === asn1.Class.UNIVERSAL && node.type === asn1.Type.SEQUENCE;
}

function nameOf<Name extends string>(table: Readonly<Record<Name, string>>, oid: string): Name | undefined {
  for (const name in table) if (table[name] === oid) return name;
  return undefined;
}

function unsupported(algorithm: string): Unsupported {
  return { scheme: 'unsupported', algorithm };
}
