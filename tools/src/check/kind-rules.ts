/** Rules about what an entry is: links, devices, permissions, and the size of it all. Source: agent-contract 1.2, 1.3; sdk-anchors 5. */
import type { PackedFile } from './packed-file.ts';
import { type Finding, findingFor } from './rule.ts';

const EXTRACT = 'CPython Lib/zipfile ZipFile._extract_member; WALinuxAgent 2.15 ga/exthandlers.py initialize';

export const KIND_RULES = {
  'kind-link': {
    severity: 'error',
    reason: 'The agent makes of a symbolic link a small text file that holds its target.',
    source: EXTRACT,
    fix: 'Pack the file itself in the place of the link.',
  },
  'kind-special': {
    severity: 'error',
    reason: 'Devices, pipes and sockets become plain files when the package is unpacked.',
    source: EXTRACT,
    fix: 'Leave it out of the package.',
  },
  'mode-setuid': {
    severity: 'warning',
    reason:
      'The agent drops these bits, but an installer that keeps modes gives every user of the VM the rights of root.',
    source: EXTRACT,
    fix: 'Take the bits away: chmod ug-s FILE.',
  },
  'mode-world-writable': {
    severity: 'warning',
    reason:
      'The agent drops modes, but with an installer that keeps them every user of the VM could change what root runs.',
    source: EXTRACT,
    fix: 'Take the bit away: chmod o-w FILE.',
  },
  'size-file': {
    severity: 'warning',
    reason: 'A file of more than 4 GiB needs zip64, and time and disk that a VM may not have.',
    source:
      'WALinuxAgent 2.15 common/protocol/wire.py _download_with_fallback_channel (five minutes for the download)',
    fix: 'Let the extension download large files when it runs.',
  },
  'size-total': {
    severity: 'warning',
    reason:
      'The agent gives a download five minutes and keeps zip and files on the disk of the VM at the same time.',
    source: 'WALinuxAgent 2.15 common/protocol/wire.py _download_with_fallback_channel',
    fix: 'Let the extension download large files when it runs.',
  },
} as const;

/** Checks kinds, permissions and sizes. Needs no contents. */
export function checkKinds(files: readonly PackedFile[]): readonly Finding[] {
  const total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const found = files.flatMap(checkKind);
  if (total > LARGE_TOTAL_BYTES) found.push(finding('size-total', '', `The files have ${total} bytes.`));
  return found;
}

const finding = findingFor(KIND_RULES);
const LARGE_FILE_BYTES = 4 * 1024 * 1024 * 1024;
const LARGE_TOTAL_BYTES = 1024 * 1024 * 1024;

function checkKind({ name, kind, mode = 0, sizeBytes }: PackedFile): Finding[] {
  const found: Finding[] = [];
  if (kind === 'link') found.push(finding('kind-link', name, 'is a symbolic link.'));
  if (kind === 'special') found.push(finding('kind-special', name, 'is no regular file.'));
  if (kind === 'file' && (mode & 0o6000) !== 0) {
    found.push(finding('mode-setuid', name, `has the mode ${mode.toString(8)}.`));
  }
  if ((kind === 'file' || kind === 'folder') && (mode & 0o002) !== 0) {
    found.push(finding('mode-world-writable', name, `has the mode ${mode.toString(8)}.`));
  }
  if (sizeBytes > LARGE_FILE_BYTES) found.push(finding('size-file', name, `has ${sizeBytes} bytes.`));
  return found;
}
