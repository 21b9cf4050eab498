/**
 * Opens a zip that somebody else made, with what is wrong with its structure. Contents are read with bounds: never more
 * than an entry says of itself, and not at all where that would be a bomb.
 * Source: CPython 3 `Lib/zipfile` ZipFile._extract_member, ZipExtFile; agent-contract 1.2, 1.3.
 */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { crc32, createInflateRaw } from 'node:zlib';
import { entryPath } from '../agent/package-unpack.ts';
import { PythonLacking, readZipContent } from '../agent/zip-content.ts';
import {
  NEWEST_ZIP_VERSION,
  readZipStructure,
  type ZipRecord,
  type ZipStructure,
  ZipUnreadable,
} from '../agent/zip-structure.ts';
import { DamagedContent, type FileKind, type PackedFile, UnreadContent } from './packed-file.ts';
import { type Finding, findingFor } from './rule.ts';

const PYTHON = 'CPython Lib/zipfile; WALinuxAgent 2.15 common/protocol/wire.py _try_expand_zip_package';

export const ZIP_RULES = {
  'zip-unreadable': {
    severity: 'error',
    reason: 'The agent cannot unpack the package, and reports that its download failed (code 1001).',
    source: PYTHON,
    fix: 'Pack the extension again, and upload the file in binary mode.',
  },
  'zip-prefix': {
    severity: 'warning',
    reason: 'Bytes before the zip are skipped by Python, but other readers refuse them.',
    source: PYTHON,
    fix: 'Pack again, without a self-extracting stub or anything else in front.',
  },
  'zip-trailing': {
    severity: 'warning',
    reason:
      'Bytes after the zip are skipped by Python, but other readers refuse them, and an upload may have gone wrong.',
    source: PYTHON,
    fix: 'Pack again, and append nothing to the file.',
  },
  'zip-zip64': {
    severity: 'warning',
    reason: 'The zip is in the form for sizes above 4 GiB, which not every installer of handlers reads.',
    source: 'PKWARE APPNOTE.TXT 4.3.14',
    fix: 'Make it smaller than 4 GiB and write it without zip64 (with Info-ZIP: zip -fz-).',
  },
  'zip-count': {
    severity: 'warning',
    reason: 'The end record says another number of entries than there are, which some readers refuse.',
    source: 'PKWARE APPNOTE.TXT 4.3.16',
    fix: 'Pack again with another program.',
  },
  'zip-descriptor': {
    severity: 'note',
    reason:
      'Sizes stand behind the contents, so readers that go through the file from its beginning cannot read it.',
    source: 'PKWARE APPNOTE.TXT 4.3.9',
    fix: 'Write the zip to a file, not to a pipe.',
  },
  'zip-header': {
    severity: 'error',
    reason: 'Without a local header, or with another name in it, Python gives up on the whole package.',
    source: `${PYTHON} (ZipFile.open)`,
    fix: 'Pack again; the file is damaged or was edited.',
  },
  'zip-header-differs': {
    severity: 'warning',
    reason:
      'The local header says other things than the directory, so two readers unpack two different packages.',
    source: 'PKWARE APPNOTE.TXT 4.3.7, 4.3.12',
    fix: 'Pack again; the file was edited.',
  },
  'zip-overlap': {
    severity: 'error',
    reason: 'Entries share the same bytes; newer Pythons refuse that as a bomb.',
    source: 'CPython 3.12 Lib/zipfile ZipFile.open (Overlapped entries)',
    fix: 'Pack again with another program.',
  },
  'zip-encrypted': {
    severity: 'error',
    reason: 'The agent has no password, so it cannot unpack the package.',
    source: PYTHON,
    fix: 'Pack without a password; secrets belong in protected settings.',
  },
  'zip-method': {
    severity: 'error',
    reason: 'Python cannot unpack an entry that is compressed in this way.',
    source: PYTHON,
    fix: 'Compress with deflate, or store.',
  },
  'zip-method-optional': {
    severity: 'warning',
    reason: 'bzip2 and LZMA need modules that the Python of a small image may not have.',
    source: PYTHON,
    fix: 'Compress with deflate, or store.',
  },
  'zip-version': {
    severity: 'error',
    reason: 'Python refuses an entry that needs a newer reader than version 6.3.',
    source: PYTHON,
    fix: 'Pack again with another program.',
  },
  'zip-name-invalid': {
    severity: 'error',
    reason: 'The name is marked as UTF-8 and is none, so Python gives up on the whole package.',
    source: `${PYTHON} (_RealGetContents)`,
    fix: 'Rename the file, or pack with another program.',
  },
  'zip-name-encoding': {
    severity: 'warning',
    reason: 'The name is not marked as UTF-8, so Python reads other letters than those that were meant.',
    source: 'CPython Lib/zipfile _RealGetContents; PKWARE APPNOTE.TXT 4.4.4',
    fix: 'Use ASCII names, or pack with a program that marks UTF-8.',
  },
  'zip-bomb': {
    severity: 'error',
    reason: 'The content is so much larger than the zip that it fills the disk of the VM; it was not read.',
    source: 'WALinuxAgent 2.15 common/protocol/wire.py _try_expand_zip_package (it knows no limit)',
    fix: 'Let the extension make or download large files when it runs.',
  },
} as const;

export interface ZipPackage {
  readonly sizeBytes: number;
  readonly files: readonly PackedFile[];
  readonly findings: readonly Finding[];
}

/** Opens the zip. Throws the system's errors; a zip that cannot be read is one with a finding and without files. */
export async function openZipPackage(file: string): Promise<ZipPackage> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    try {
      const structure = await readZipStructure(handle, size);
      return { sizeBytes: size, files: listFiles(file, structure), findings: judge(structure, size) };
    } catch (thrown) {
      if (!(thrown instanceof ZipUnreadable)) throw thrown;
      return {
        sizeBytes: size,
        files: [],
        findings: [finding('zip-unreadable', '', `The zip cannot be read: ${thrown.message}.`)],
      };
    }
  } finally {
    await handle.close();
  }
}

const finding = findingFor(ZIP_RULES);

/** Above this an entry that shrinks more than any real program does is not read. */
const BOMB_BYTES = 100 * 1024 * 1024;
const BOMB_RATIO = 200;
/** Above this nothing is read, however well it is compressed. */
const MOST_BYTES = 16 * 1024 * 1024 * 1024;
const METHODS: Readonly<Record<number, string>> = { 0: 'stored', 8: 'deflate', 12: 'bzip2', 14: 'LZMA' };

function isBomb(record: ZipRecord): boolean {
  const ratio = record.sizeBytes / Math.max(1, record.packedBytes);
  return record.sizeBytes > MOST_BYTES || (record.sizeBytes > BOMB_BYTES && ratio > BOMB_RATIO);
}

function listFiles(file: string, { records }: ZipStructure): readonly PackedFile[] {
  const unread = records.reduce((sum, record) => sum + record.sizeBytes, 0) > MOST_BYTES;
  return records.map((record, index) => {
    const isPlain = record.method === 0 || record.method === 8;
    const isReadable =
      !unread &&
      !isBomb(record) &&
      !record.isEncrypted &&
      METHODS[record.method] !== undefined &&
      record.local?.isSameName === true;
    return {
      name: record.name,
      path: entryPath(record.name),
      kind: kindOf(record),
      sizeBytes: record.sizeBytes,
      mode: record.mode === undefined ? undefined : record.mode & 0o7777,
      body: !isReadable
        ? undefined
        : isPlain
          ? () => readContent(file, record, record.local?.dataOffset ?? 0)
          : () => readOptional(file, record, index),
    };
  });
}

/** The kind that the zip means, which is not what the agent makes of it. */
function kindOf({ name, mode = 0 }: ZipRecord): FileKind {
  const type = mode & 0o170000;
  if (type === 0o120000) return 'link';
  if (name.endsWith('/') || type === 0o040000) return 'folder';
  return type === 0 || type === 0o100000 ? 'file' : 'special';
}

/** What needs modules of Python. */
async function* readOptional(file: string, record: ZipRecord, index: number): AsyncGenerator<Buffer> {
  try {
    yield* readZipContent(file, record, index);
  } catch (thrown) {
    if (!(thrown instanceof Error) || 'syscall' in thrown) throw thrown;
    throw thrown instanceof PythonLacking
      ? new UnreadContent(thrown.message)
      : new DamagedContent('cannot be unpacked by Python, or has another checksum than the zip says');
  }
}

async function* readContent(file: string, record: ZipRecord, start: number): AsyncGenerator<Buffer> {
  let crc = 0;
  let size = 0;
  const raw =
    record.packedBytes === 0
      ? new PassThrough().end()
      : createReadStream(file, { start, end: start + record.packedBytes - 1, highWaterMark: 256 * 1024 });
  const stream = record.method === 0 ? raw : raw.pipe(createInflateRaw({ chunkSize: 256 * 1024 }));
  raw.on('error', (error: Error) => stream.destroy(error));
  try {
    for await (const chunk of stream) {
      if (!Buffer.isBuffer(chunk)) continue;
      size += chunk.length;
      if (size > record.sizeBytes)
        throw new DamagedContent(`holds more than the ${record.sizeBytes} bytes that the zip says`);
      crc = crc32(chunk, crc);
      yield chunk;
    }
  } catch (thrown) {
    const isOfZlib = thrown instanceof Error && 'code' in thrown && String(thrown.code).startsWith('Z_');
    throw isOfZlib ? new DamagedContent('is compressed with errors') : thrown;
  } finally {
    raw.destroy();
    stream.destroy();
  }
  if (crc !== record.crc) throw new DamagedContent('has another checksum than the zip says');
  if (size !== record.sizeBytes) {
    throw new DamagedContent(`holds ${size} bytes, and the zip says ${record.sizeBytes}`, false);
  }
}

function judge(structure: ZipStructure, size: number): readonly Finding[] {
  const { records, prefixBytes, trailingBytes, statedEntries } = structure;
  const found: Finding[] = [];
  if (prefixBytes > 0) found.push(finding('zip-prefix', '', `${prefixBytes} bytes stand before the zip.`));
  if (trailingBytes > 0)
    found.push(finding('zip-trailing', '', `${trailingBytes} bytes stand after the zip.`));
  const large = records.filter((record) => record.isZip64 || record.local?.isZip64 === true).length;
  if (structure.isZip64 || large > 0) {
    found.push(finding('zip-zip64', '', `The zip is a zip64 (${large} of ${records.length} entries).`));
  }
  if (statedEntries !== records.length) {
    found.push(
      finding(
        'zip-count',
        '',
        `The end record says ${statedEntries} entries, and there are ${records.length}.`,
      ),
    );
  }
  const streamed = records.filter((record) => record.hasDescriptor).length;
  if (streamed > 0)
    found.push(finding('zip-descriptor', '', `${streamed} of ${records.length} entries were streamed.`));
  const total = records.reduce((sum, record) => sum + record.sizeBytes, 0);
  if (total > MOST_BYTES) {
    found.push(finding('zip-bomb', '', `${size} bytes of zip would become ${total} bytes of files.`));
  }
  return [...found, ...records.flatMap(judgeRecord), ...findOverlaps(records)];
}

function judgeRecord(record: ZipRecord): Finding[] {
  const { name, method, local } = record;
  const found: Finding[] = [];
  if (local === undefined) found.push(finding('zip-header', name, 'has no header where the directory says.'));
  else if (!local.isSameName) found.push(finding('zip-header', name, 'has another name in its own header.'));
  else if (local.differences.length > 0) {
    found.push(finding('zip-header-differs', name, `has in its own header ${local.differences.join(', ')}.`));
  }
  if (record.isEncrypted || record.isExotic) found.push(finding('zip-encrypted', name, 'is encrypted.'));
  if (METHODS[method] === undefined) {
    found.push(finding('zip-method', name, `is compressed with method ${method}.`));
  } else if (method !== 0 && method !== 8) {
    found.push(finding('zip-method-optional', name, `is compressed with ${METHODS[method]}.`));
  }
  if (record.versionNeeded > NEWEST_ZIP_VERSION) {
    found.push(finding('zip-version', name, `asks for version ${record.versionNeeded / 10} of the format.`));
  }
  if (!record.isNameValid) found.push(finding('zip-name-invalid', name, 'has a name that is no UTF-8.'));
  if (record.isNameAmbiguous) found.push(finding('zip-name-encoding', name, 'has a name beyond ASCII.'));
  if (isBomb(record)) {
    found.push(finding('zip-bomb', name, `${record.packedBytes} bytes would become ${record.sizeBytes}.`));
  }
  return found;
}

function findOverlaps(records: readonly ZipRecord[]): Finding[] {
  const sorted = records
    .filter((record) => record.local !== undefined)
    .toSorted((a, b) => a.headerOffset - b.headerOffset);
  return sorted.flatMap((record, index) => {
    const next = sorted[index + 1];
    const end = (record.local?.dataOffset ?? 0) + record.packedBytes;
    if (next === undefined || next.headerOffset >= end) return [];
    return [finding('zip-overlap', next.name, `lies in the same bytes as ${JSON.stringify(record.name)}.`)];
  });
}
