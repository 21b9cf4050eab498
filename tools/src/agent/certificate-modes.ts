/**
 * Modes of certificates and keys in the agent's folder: the agent takes away every right but the owner's reading when it
 * starts.
 * Source: WALinuxAgent 2.15 `ga/update.py` _ensure_readonly_files, READONLY_FILE_GLOBS; agent-contract 5.2.
 */
import { chmod, readdir } from 'node:fs/promises';
import type { Machine } from '../vm/machine.ts';

const READ_ONLY = /^(?:[^.].*\.(?:crt|p7m|pem|prv)|Certificates\.xml|ovf-env\.xml)$/;
/** The agent's own root certificate, which it writes itself. */
const EXEMPT = 'microsoft_root_certificate.pem';
const READ_ONLY_MODE = 0o400;

/** Gives every such file directly in the agent's folder its mode. */
export async function protectCertificates(machine: Machine): Promise<void> {
  const folder = machine.hostPath(machine.libFolder);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isFile() || entry.name === EXEMPT || !READ_ONLY.test(entry.name)) continue;
    await chmod(`${folder}/${entry.name}`, READ_ONLY_MODE);
  }
}
