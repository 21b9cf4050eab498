/**
 * Rules about the names of entries: what the agent's Python trims, what a Linux folder cannot hold, and names that belong
 * to the agent. Source: CPython `Lib/zipfile` ZipFile._extract_member; agent-contract 1.1, 1.3.
 */
import {
  CONFIG_FOLDER,
  formatSequenceFile,
  HANDLER_ENVIRONMENT_FILE,
  HEARTBEAT_FILE,
  PACKAGE_VALIDATED_FILE,
  STATUS_FOLDER,
} from '@handlerkit/sdk/contract';
import type { PackedFile } from './packed-file.ts';
import { type Finding, findingFor } from './rule.ts';

const EXTRACT = 'CPython Lib/zipfile ZipFile._extract_member; WALinuxAgent 2.15 ga/exthandlers.py initialize';

export const NAME_RULES = {
  'name-absolute': {
    severity: 'error',
    reason:
      "The agent's Python takes the first slash away, so the file lands elsewhere; other unpackers refuse the package.",
    source: EXTRACT,
    fix: "Pack with names that are relative to the package's root.",
  },
  'name-climbs': {
    severity: 'error',
    reason:
      'Parts ".." are left out when the package is unpacked, so the file lands elsewhere; scanners and other unpackers refuse it as an attack.',
    source: EXTRACT,
    fix: "Pack with names that stay inside the package's root.",
  },
  'name-backslash': {
    severity: 'error',
    reason:
      'On Linux a backslash is a letter of the name, so there will be one file of this name and no folder.',
    source: EXTRACT,
    fix: 'Pack with a program that writes / between names (on Windows: tar -a -cf, or 7-Zip).',
  },
  'name-cut': {
    severity: 'error',
    reason: 'A NUL ends the name, so the file lands elsewhere.',
    source: EXTRACT,
    fix: 'Rename the file.',
  },
  'name-characters': {
    severity: 'warning',
    reason: 'A file with control characters in its name is unpacked, but cannot be read in logs.',
    source: EXTRACT,
    fix: 'Rename the file.',
  },
  'name-dots': {
    severity: 'warning',
    reason: 'Empty and "." parts are left out when the package is unpacked.',
    source: EXTRACT,
    fix: 'Pack with plain names.',
  },
  'name-long': {
    severity: 'error',
    reason: 'No Linux file system takes a name of more than 255 bytes.',
    source: 'path_resolution(7)',
    fix: 'Shorten the name.',
  },
  'name-duplicate': {
    severity: 'error',
    reason: 'Two entries go to the same place: the agent keeps the last one, other readers the first.',
    source: EXTRACT,
    fix: 'Pack each file once.',
  },
  'name-file-and-folder': {
    severity: 'error',
    reason: 'A name cannot be a file and a folder at once; unpacking fails.',
    source: EXTRACT,
    fix: 'Rename one of them.',
  },
  'name-case': {
    severity: 'warning',
    reason:
      'Names that differ in case only become one file wherever the package is unpacked on Windows or macOS.',
    source: 'Handlerkit docs/packaging.md',
    fix: 'Rename one of them.',
  },
  'name-of-agent': {
    severity: 'error',
    reason:
      "The agent keeps its own state under this name in the handler's folder; a packed one is taken for it.",
    source: 'WALinuxAgent 2.15 ga/exthandlers.py get_status_dir, set_handler_state, copy_status_files',
    fix: 'Leave the file out of the package.',
  },
} as const;

/** Checks all names of a package. Needs no contents. */
export function checkNames(files: readonly PackedFile[]): readonly Finding[] {
  return [...files.flatMap(checkName), ...checkClashes(files)];
}

const finding = findingFor(NAME_RULES);
const LONGEST_NAME_BYTES = 255;

function checkName({ name, path, kind }: PackedFile): Finding[] {
  const found: Finding[] = [];
  const lands = `becomes ${JSON.stringify(path)}.`;
  const parts = name.replace(/\/$/, '').split('/');
  if (name.startsWith('/') || /^[A-Za-z]:[\\/]/.test(name)) found.push(finding('name-absolute', name, lands));
  if (parts.includes('..')) found.push(finding('name-climbs', name, lands));
  if (name.includes('\\')) found.push(finding('name-backslash', name, 'has a backslash in its name.'));
  if (name.includes('\0')) found.push(finding('name-cut', name, lands));
  else if (/[\u0001-\u001f\u007f]/.test(name)) {
    found.push(finding('name-characters', name, 'has a control character in its name.'));
  }
  if (parts.slice(name.startsWith('/') ? 1 : 0).some((part) => part === '' || part === '.')) {
    found.push(finding('name-dots', name, lands));
  }
  if (parts.some((part) => Buffer.byteLength(part) > LONGEST_NAME_BYTES)) {
    found.push(finding('name-long', name, `has a part of more than ${LONGEST_NAME_BYTES} bytes.`));
  }
  if (kind !== 'folder' && isOfAgent(path))
    found.push(finding('name-of-agent', name, "has a name of the agent's."));
  return found;
}

function isOfAgent(path: string): boolean {
  const [top = ''] = path.split('/');
  return [
    formatSequenceFile(),
    HANDLER_ENVIRONMENT_FILE,
    HEARTBEAT_FILE,
    PACKAGE_VALIDATED_FILE,
    CONFIG_FOLDER,
    STATUS_FOLDER,
  ].includes(top);
}

function checkClashes(files: readonly PackedFile[]): Finding[] {
  const found: Finding[] = [];
  const seen = new Map<string, PackedFile>();
  const folded = new Map<string, string>();
  for (const file of files) {
    const other = seen.get(file.path);
    if (other === undefined) seen.set(file.path, file);
    else if ((other.kind === 'folder') !== (file.kind === 'folder')) {
      found.push(finding('name-file-and-folder', file.name, 'is a file and a folder.'));
    } else if (file.kind !== 'folder') {
      found.push(
        finding(
          'name-duplicate',
          file.name,
          `is in the package twice${other.name === file.name ? '' : `, also as ${JSON.stringify(other.name)}`}.`,
        ),
      );
    }
    const fold = file.path.toLowerCase().normalize('NFC');
    const near = folded.get(fold);
    if (near === undefined) folded.set(fold, file.path);
    else if (near !== file.path) {
      found.push(finding('name-case', file.name, `differs from ${JSON.stringify(near)} in case only.`));
    }
  }
  for (const file of files) {
    for (let at = file.path.indexOf('/'); at !== -1; at = file.path.indexOf('/', at + 1)) {
      const above = seen.get(file.path.slice(0, at));
      if (above === undefined || above.kind === 'folder') continue;
      found.push(
        finding(
          'name-file-and-folder',
          file.name,
          `lies below ${JSON.stringify(above.name)}, which is a file.`,
        ),
      );
    }
  }
  return found;
}
