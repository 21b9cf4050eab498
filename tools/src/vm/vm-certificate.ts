/**
 * The VM's certificate for protected settings: made once per VM, put where the agent puts it. The private key is in the VM
 * and nowhere else, so this tool cannot read protected settings once the VM is gone.
 * Source: agent-contract 5.2 (`<THUMBPRINT>.crt`, `<THUMBPRINT>.prv`).
 */
import { createHmac } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { readTextIfThere } from '@handlerkit/sdk';
import { formatCertificateFiles } from '@handlerkit/sdk/contract';
import { createCertificate, encryptProtectedSettings } from '@handlerkit/sdk/testing';
import type { Machine } from './machine.ts';
import type { SettingsObject } from './settings-argument.ts';
import { canonicalJson } from './settings-argument.ts';
import type { StoredSettings, VmStore } from './store.ts';

type Certificate = NonNullable<VmStore['certificate']>;

/**
 * The VM's certificate; makes one when the VM has none or has lost its private key, as Azure does when a VM's certificate is
 * gone. Settings that were encrypted to a lost key stay unreadable.
 */
export function ensureCertificate(machine: Machine, known: Certificate | null): Certificate {
  if (known !== null && readPrivateKey(machine, known.thumbprint) !== undefined) return known;
  const made = createCertificate();
  const files = formatCertificateFiles(made.thumbprint);
  mkdirSync(machine.hostPath(machine.libFolder), { recursive: true, mode: 0o700 });
  writeSecret(machine.hostPath(`${machine.libFolder}/${files.privateKey}`), made.privateKeyFileText);
  const certificate = machine.hostPath(`${machine.libFolder}/${files.certificate}`);
  writeFileSync(certificate, made.certificateFileText, { flag: 'wx' });
  chmodSync(certificate, 0o644);
  return { thumbprint: made.thumbprint, pem: made.certificatePem };
}

/**
 * Encrypts protected settings to the VM's certificate. When they mean the same as `former`, the former envelope is given
 * back: two envelopes of the same settings are never equal, so this is how "unchanged" is known.
 */
export function sealProtectedSettings(
  machine: Machine,
  certificate: Certificate,
  value: SettingsObject,
  former: StoredSettings | null,
): Pick<StoredSettings, 'protected' | 'thumbprint' | 'protectedDigest'> {
  const key = readPrivateKey(machine, certificate.thumbprint) ?? '';
  const protectedDigest = createHmac('sha256', key).update(canonicalJson(value)).digest('hex');
  if (former?.protectedDigest === protectedDigest && former.thumbprint === certificate.thumbprint) {
    return { protected: former.protected, thumbprint: former.thumbprint, protectedDigest };
  }
  return {
    protected: encryptProtectedSettings(value, certificate.pem),
    thumbprint: certificate.thumbprint,
    protectedDigest,
  };
}

function readPrivateKey(machine: Machine, thumbprint: string): string | undefined {
  const { privateKey } = formatCertificateFiles(thumbprint);
  return readTextIfThere(machine.hostPath(`${machine.libFolder}/${privateKey}`));
}

/** 0600 from the moment it exists, unlike the agent, which makes it 0644 and 0400 at its next start; the name is new with each certificate, so there is nothing to replace. */
function writeSecret(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600, flag: 'wx' });
}
