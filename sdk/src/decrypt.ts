/**
 * Decryption of the protected settings. The arithmetic is `node:crypto`'s; a form that it cannot do goes to `openssl` with
 * the agent's own key file. Every failure ends in one error with one wording: whoever can send envelopes learns nothing from
 * it about padding, key or content.
 */
import {
  constants,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  privateDecrypt,
  X509Certificate,
} from 'node:crypto';
import type { EncryptedEnvelope, EnvelopeRecipient, KeyTransport, Unsupported } from './contract/envelope.ts';
import { decodeBase64, parseCertificateIdentity, parseEnvelope } from './contract/envelope.ts';
import type { GcmName } from './contract/envelope-algorithms.ts';
import { CIPHER_KEY_LENGTHS } from './contract/envelope-algorithms.ts';
import { decodeObject } from './contract/json.ts';
import { formatCertificateFiles } from './contract/package-layout.ts';
import { CERTIFICATE_LABEL, findPem, PRIVATE_KEY_LABEL } from './contract/protected-settings.ts';
import { PROTECTED_SETTINGS_KEY } from './contract/settings.ts';
import { HandlerError } from './errors.ts';
import type { Host } from './host.ts';

export interface ProtectedSettingsRequest {
  /** Base64 of the CMS envelope, as the settings file has it. */
  readonly envelope: string;
  /** Checked by `parseThumbprint`: 40 upper-case hex digits. */
  readonly thumbprint: string;
  /** Whole text of `<THUMBPRINT>.crt`. */
  readonly certificateText: string;
  /** Whole text of `<THUMBPRINT>.prv`, PKCS#8 or PKCS#1. */
  readonly privateKeyText: string;
  /** Folder of the agent, in which `openssl` finds the two files. */
  readonly libFolder: string;
  readonly host: Pick<Host, 'exec' | 'path'>;
}

/**
 * Decrypts the protected settings: a JSON object in UTF-8, with or without a byte order mark. Rejects with
 * {@link HandlerError} `PROTECTED_SETTINGS_UNREADABLE`, the same for every cause. Does not check the certificate's dates or
 * issuer, and does not look for the files: a missing one is the caller's to report.
 */
export async function decryptProtectedSettings(
  request: ProtectedSettingsRequest,
): Promise<Record<string, unknown>> {
  try {
    return decodeSettings(await openEnvelope(request));
  } catch {
    throw new HandlerError(
      'PROTECTED_SETTINGS_UNREADABLE',
      `the protected settings cannot be decrypted with the certificate ${request.thumbprint}; ` +
        'reapply the VM so that the platform sends them anew',
    );
  }
}

const OPENSSL_LIMIT_MS = 30_000;
/** Shorter tags are allowed by no profile of CMS; openssl writes 16 bytes. Source: RFC 5084 section 3.2. */
const TAG_BYTES = { min: 12, max: 16 };
/** PKCS#1 v1.5 asks for `00 02`, eight bytes of padding or more, `00`. Source: RFC 8017 section 7.2.1. */
const PKCS1_OVERHEAD_BYTES = 11;

async function openEnvelope(request: ProtectedSettingsRequest): Promise<Uint8Array> {
  const envelope = await parseEnvelope(request.envelope);
  if (envelope.recipients.length === 0) return openWithOpenssl(request);
  const { keyTransport, encryptedKey } = await chooseRecipient(envelope.recipients, request.certificateText);
  const { cipher } = envelope;
  if (cipher.scheme === 'unsupported' || keyTransport.scheme === 'unsupported')
    return openWithOpenssl(request);
  const pem = requirePem(request.privateKeyText, PRIVATE_KEY_LABEL);
  // A wrong padding yields this key and then fails in the content, like a wrong key: nothing tells the two apart.
  const digest = createHmac('sha256', pem).update(encryptedKey).digest();
  const substitute = digest.subarray(0, CIPHER_KEY_LENGTHS[cipher.name]);
  const key = unwrapKey(keyTransport, createPrivateKey(pem), encryptedKey, substitute);
  return cipher.scheme === 'gcm' ? openGcm(cipher.name, key, envelope) : openCbc(cipher.name, key, envelope);
}

/** A single recipient is ours whatever it is called by; of several, the one that names the certificate. */
async function chooseRecipient(
  recipients: readonly EnvelopeRecipient[],
  certificateText: string,
): Promise<EnvelopeRecipient> {
  const [only, ...others] = recipients;
  if (only !== undefined && others.length === 0) return only;
  const pem = requirePem(certificateText, CERTIFICATE_LABEL);
  const identity = await parseCertificateIdentity(new X509Certificate(pem).raw);
  const found = recipients.find(({ id }) =>
    id.kind === 'key-identifier'
      ? id.keyIdentifier === identity.keyIdentifier
      : id.serial === identity.serial && id.issuer.equals(identity.issuer),
  );
  if (found === undefined) throw new Error('no recipient is this certificate');
  return found;
}

/** The content key, or `substitute` when the wrapped key is not well-formed. */
function unwrapKey(
  transport: Exclude<KeyTransport, Unsupported>,
  privateKey: KeyObject,
  encryptedKey: Buffer,
  substitute: Buffer,
): Buffer {
  try {
    if (transport.scheme === 'oaep') {
      const key = privateDecrypt(
        {
          key: privateKey,
          padding: constants.RSA_PKCS1_OAEP_PADDING,
          oaepHash: transport.hash,
          ...(transport.label.length === 0 ? {} : { oaepLabel: transport.label }),
        },
        encryptedKey,
      );
      return key.length === substitute.length ? key : substitute;
    }
    // Raw RSA, because Node 20 refuses RSA_PKCS1_PADDING and later versions give a random length for a wrong padding.
    return unpadPkcs1(decryptRaw(privateKey, encryptedKey), substitute);
  } catch {
    return substitute;
  }
}

/**
 * RSA without padding. A number beyond the key's modulus, as another certificate's may be, would be refused without the
 * arithmetic; another takes its place, so that the time tells nothing of the key.
 */
function decryptRaw(key: KeyObject, encryptedKey: Buffer): Buffer {
  const { n = '' } = createPublicKey(key).export({ format: 'jwk' });
  const modulus = Buffer.from(n, 'base64url');
  const smaller = Buffer.concat([Buffer.of(0), encryptedKey.subarray(1)]);
  const isBeyond = encryptedKey.length === modulus.length && encryptedKey.compare(modulus) >= 0;
  const options = { key, padding: constants.RSA_NO_PADDING };
  return privateDecrypt(options, isBeyond ? smaller : encryptedKey);
}

/**
 * Removes PKCS#1 v1.5 padding in time that does not depend on the block's content: the length of the key is known from
 * the cipher, so there is one place where the padding can end.
 */
function unpadPkcs1(block: Buffer, substitute: Buffer): Buffer {
  const length = substitute.length;
  if (block.length < length + PKCS1_OVERHEAD_BYTES) return substitute;
  const start = block.length - length;
  let wrong = block.readUInt8(0) | (block.readUInt8(1) ^ 2) | block.readUInt8(start - 1);
  for (let index = 2; index < start - 1; index++) wrong |= ((block.readUInt8(index) - 1) >> 31) & 1;
  const keep = (wrong - 1) >> 31;
  const key = Buffer.alloc(length);
  for (let index = 0; index < length; index++) {
    key[index] = (block.readUInt8(start + index) & keep) | (substitute.readUInt8(index) & ~keep);
  }
  return key;
}

function openCbc(name: string, key: Buffer, envelope: EncryptedEnvelope): Buffer {
  const decipher = createDecipheriv(name, key, envelope.iv);
  return Buffer.concat([decipher.update(envelope.encryptedContent), decipher.final()]);
}

function openGcm(name: GcmName, key: Buffer, envelope: EncryptedEnvelope): Buffer {
  const { tag } = envelope;
  if (tag.length < TAG_BYTES.min || tag.length > TAG_BYTES.max) throw new Error('tag length');
  const decipher = createDecipheriv(name, key, envelope.iv, { authTagLength: tag.length });
  decipher.setAuthTag(tag);
  return Buffer.concat([decipher.update(envelope.encryptedContent), decipher.final()]);
}

/** `cms` reads more than `smime`, but is missing from some small builds of openssl. */
async function openWithOpenssl(request: ProtectedSettingsRequest): Promise<Uint8Array> {
  const { host, thumbprint } = request;
  const files = formatCertificateFiles(thumbprint);
  const der = decodeBase64(request.envelope);
  const keyFile = host.path(`${request.libFolder}/${files.privateKey}`);
  const certificateFile = host.path(`${request.libFolder}/${files.certificate}`);
  for (const command of ['cms', 'smime']) {
    const result = await host.exec(
      ['openssl', command, '-decrypt', '-inform', 'DER', '-inkey', keyFile, '-recip', certificateFile],
      // The plaintext is never longer than the envelope, so the tail is the whole of it.
      { stdin: der, timeoutMs: OPENSSL_LIMIT_MS, tailBytes: der.length },
    );
    if (result.exitCode === 0) return Buffer.from(result.stdout);
  }
  throw new Error('openssl cannot read it');
}

function decodeSettings(plaintext: Uint8Array): Record<string, unknown> {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(plaintext);
  return decodeObject({ file: PROTECTED_SETTINGS_KEY, path: '', value: JSON.parse(text) });
}

function requirePem(text: string, label: RegExp): string {
  const pem = findPem(text, label);
  if (pem === undefined) throw new Error('no PEM block');
  return pem;
}
