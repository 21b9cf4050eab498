/**
 * The structure of a zip that somebody else made: the end record, the central directory and every local header, as
 * Python's zipfile finds them, because that is what the agent unpacks with. Reads no contents.
 * Source: CPython 3 `Lib/zipfile` _EndRecData, _RealGetContents, _decodeExtra, ZipFile.open; APPNOTE.TXT 6.3.10 section 4.3.
 */
import type { FileHandle } from 'node:fs/promises';

/** The zip cannot be read at all; the message says why, in a clause without a full stop. */
export class ZipUnreadable extends Error {
  override readonly name = 'ZipUnreadable';
}

export interface ZipRecord {
  /** The name as it was packed, up to the end, whatever it holds. */
  readonly name: string;
  /** False for a name that is not in the encoding that its flags say. */
  readonly isNameValid: boolean;
  /** True for a name beyond ASCII without the flag for UTF-8. */
  readonly isNameAmbiguous: boolean;
  readonly method: number;
  readonly isEncrypted: boolean;
  /** Patched data or masked headers, which nobody reads. */
  readonly isExotic: boolean;
  readonly hasDescriptor: boolean;
  readonly isZip64: boolean;
  readonly crc: number;
  readonly packedBytes: number;
  readonly sizeBytes: number;
  /** Tenths: 20 is version 2.0. */
  readonly versionNeeded: number;
  /** Unix mode with the type of file in it; `undefined` when the maker stored none. */
  readonly mode: number | undefined;
  readonly headerOffset: number;
  /** `undefined`: there is no header at that place. */
  readonly local: LocalHeader | undefined;
}

export interface LocalHeader {
  readonly isSameName: boolean;
  /** What else differs from the central directory, in words. */
  readonly differences: readonly string[];
  /** True: the header has the field for sizes above 4 GiB, whether the directory has it or not. */
  readonly isZip64: boolean;
  readonly dataOffset: number;
}

export interface ZipStructure {
  readonly records: readonly ZipRecord[];
  /** Bytes before the first entry that do not belong to the zip. */
  readonly prefixBytes: number;
  /** Bytes after the end record and its comment. */
  readonly trailingBytes: number;
  readonly isZip64: boolean;
  /** Number of entries that the end record says. */
  readonly statedEntries: number;
}

/** The newest version of the format, in tenths, that Python's zipfile reads. */
export const NEWEST_ZIP_VERSION = 63;

/** More entries than any handler has. */
const MOST_ENTRIES = 100_000;
/** Larger than any real directory of so many entries. */
const LARGEST_DIRECTORY_BYTES = 64 * 1024 * 1024;
const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;
const LONGEST_COMMENT = 0xffff;
const FULL_32 = 0xffff_ffff;
const FULL_16 = 0xffff;

/** Reads the structure of an open file of `size` bytes. Throws {@link ZipUnreadable} and the system's errors. */
export async function readZipStructure(file: FileHandle, size: number): Promise<ZipStructure> {
  const end = await findEnd(file, size);
  if (end.directoryBytes > LARGEST_DIRECTORY_BYTES) {
    throw new ZipUnreadable(`its directory of ${end.directoryBytes} bytes is larger than any real one`);
  }
  const prefixBytes = end.directoryEnd - end.directoryBytes - end.directoryOffset;
  const start = end.directoryOffset + prefixBytes;
  if (start < 0) throw new ZipUnreadable('its directory is larger than the file');
  const directory = await readAt(file, start, end.directoryBytes);
  const records: (CentralRecord & ZipRecord)[] = [];
  for (let at = 0; at < directory.length; ) {
    const { length, record } = readCentral(directory, at, prefixBytes);
    records.push({ ...record, local: await readLocal(file, size, record) });
    at += length;
    if (records.length > MOST_ENTRIES) throw new ZipUnreadable(`it has more than ${MOST_ENTRIES} entries`);
  }
  return {
    records: records.map(({ rawName: _, flags: __, ...record }) => record),
    prefixBytes,
    trailingBytes: Math.max(0, size - end.endOffset),
    isZip64: end.isZip64,
    statedEntries: end.entries,
  };
}

interface EndRecord {
  readonly entries: number;
  readonly directoryBytes: number;
  readonly directoryOffset: number;
  /** Where the directory ends when nothing stands between it and the end records. */
  readonly directoryEnd: number;
  readonly endOffset: number;
  readonly isZip64: boolean;
}

async function findEnd(file: FileHandle, size: number): Promise<EndRecord> {
  const tailBytes = Math.min(size, LONGEST_COMMENT + END_BYTES);
  const tail = await readAt(file, size - tailBytes, tailBytes);
  const at = locateEnd(tail);
  if (at === undefined)
    throw new ZipUnreadable('it has no end record, so it is no zip, or one that was cut off');
  const offset = size - tailBytes + at;
  const commentBytes = Math.min(tail.readUInt16LE(at + 20), tail.length - at - END_BYTES);
  if (tail.readUInt16LE(at + 4) !== 0 && tail.readUInt16LE(at + 4) !== FULL_16) {
    throw new ZipUnreadable('it is one part of a zip of several files');
  }
  const plain = {
    entries: tail.readUInt16LE(at + 10),
    directoryBytes: tail.readUInt32LE(at + 12),
    directoryOffset: tail.readUInt32LE(at + 16),
    directoryEnd: offset,
    endOffset: offset + END_BYTES + commentBytes,
    isZip64: false,
  };
  const large = await findEnd64(file, offset);
  return large === undefined ? plain : { ...plain, ...large, isZip64: true };
}

/** Without a comment the record is the last thing in the file; otherwise the last signature counts. */
function locateEnd(tail: Buffer): number | undefined {
  const last = tail.length - END_BYTES;
  if (last < 0) return undefined;
  if (tail.readUInt32LE(last) === 0x06054b50 && tail.readUInt16LE(last + 20) === 0) return last;
  const at = tail.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  return at === -1 || at > last ? undefined : at;
}

async function findEnd64(
  file: FileHandle,
  endOffset: number,
): Promise<Pick<EndRecord, 'entries' | 'directoryBytes' | 'directoryOffset' | 'directoryEnd'> | undefined> {
  const at = endOffset - LOCATOR_BYTES - END64_BYTES;
  if (at < 0) return undefined;
  const bytes = await readAt(file, at, END64_BYTES + LOCATOR_BYTES);
  if (bytes.readUInt32LE(END64_BYTES) !== 0x07064b50) return undefined;
  if (bytes.readUInt32LE(0) !== 0x06064b50) return undefined;
  return {
    entries: toNumber(bytes.readBigUInt64LE(32)),
    directoryBytes: toNumber(bytes.readBigUInt64LE(40)),
    directoryOffset: toNumber(bytes.readBigUInt64LE(48)),
    directoryEnd: at,
  };
}

type CentralRecord = Omit<ZipRecord, 'local'> & { readonly rawName: Buffer; readonly flags: number };

function readCentral(
  directory: Buffer,
  at: number,
  prefixBytes: number,
): { readonly length: number; readonly record: CentralRecord } {
  if (at + CENTRAL_BYTES > directory.length) throw new ZipUnreadable('its directory is cut off');
  if (directory.readUInt32LE(at) !== 0x02014b50) {
    throw new ZipUnreadable('its directory is not where its end record says, or is damaged');
  }
  const nameBytes = directory.readUInt16LE(at + 28);
  const extraBytes = directory.readUInt16LE(at + 30);
  const length = CENTRAL_BYTES + nameBytes + extraBytes + directory.readUInt16LE(at + 32);
  if (at + length > directory.length) throw new ZipUnreadable('its directory is cut off');
  const flags = directory.readUInt16LE(at + 8);
  const nameAt = at + CENTRAL_BYTES;
  const rawName = directory.subarray(nameAt, nameAt + nameBytes);
  const extra = directory.subarray(nameAt + nameBytes, nameAt + nameBytes + extraBytes);
  if (listExtra(extra).some(({ isCut }) => isCut)) throw new ZipUnreadable('an extra field in it is damaged');
  const sizes = readSizes(
    {
      sizeBytes: directory.readUInt32LE(at + 24),
      packedBytes: directory.readUInt32LE(at + 20),
      headerOffset: directory.readUInt32LE(at + 42),
    },
    extra,
  );
  const mode = directory.readUInt32LE(at + 38) >>> 16;
  const isUnix = directory.readUInt8(at + 5) === 3;
  const record: CentralRecord = {
    ...readName(rawName, flags),
    ...sizes,
    headerOffset: sizes.headerOffset + prefixBytes,
    rawName,
    flags,
    method: directory.readUInt16LE(at + 10),
    isEncrypted: (flags & 1) !== 0,
    isExotic: (flags & 0x2060) !== 0,
    hasDescriptor: (flags & 8) !== 0,
    crc: directory.readUInt32LE(at + 16),
    versionNeeded: directory.readUInt16LE(at + 6) & 0xff,
    mode: isUnix && mode !== 0 ? mode : undefined,
  };
  return { length, record };
}

function readName(raw: Buffer, flags: number): Pick<ZipRecord, 'name' | 'isNameValid' | 'isNameAmbiguous'> {
  const isUtf8 = (flags & 0x800) !== 0;
  const isAscii = raw.every((byte) => byte < 0x80);
  const name = isUtf8
    ? raw.toString('utf8')
    : Array.from(raw, (byte) => CODE_PAGE_437[byte - 0x80] ?? String.fromCharCode(byte)).join('');
  return {
    name,
    isNameValid: !isUtf8 || Buffer.from(name, 'utf8').equals(raw),
    isNameAmbiguous: !isUtf8 && !isAscii,
  };
}

/** What stands for the bytes from 0x80 in a name without the flag for UTF-8; those before are ASCII, control characters included. */
const CODE_PAGE_437 =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0';

interface Sizes {
  readonly sizeBytes: number;
  readonly packedBytes: number;
  readonly headerOffset: number;
}

/**
 * Numbers that do not fit stand in an extra field, in this order, each only when its own place is full. Without the field
 * Python takes the full place for the number.
 */
function readSizes(sizes: Sizes, extra: Buffer): Sizes & { readonly isZip64: boolean } {
  const field = findExtra(extra, 1);
  if (field === undefined) return { ...sizes, isZip64: false };
  let at = 0;
  const next = (value: number): number => {
    if (value !== FULL_32) return value;
    if (at + 8 > field.length) throw new ZipUnreadable('a field for sizes of zip64 in it is too short');
    at += 8;
    return toNumber(field.readBigUInt64LE(at - 8));
  };
  const sizeBytes = next(sizes.sizeBytes);
  const packedBytes = next(sizes.packedBytes);
  return { sizeBytes, packedBytes, headerOffset: next(sizes.headerOffset), isZip64: true };
}

function findExtra(extra: Buffer, wanted: number): Buffer | undefined {
  return listExtra(extra).find(({ id }) => id === wanted)?.field;
}

/** The fields up to the first that is longer than what is left, which is said. */
function listExtra(
  extra: Buffer,
): readonly { readonly id: number; readonly field: Buffer; readonly isCut: boolean }[] {
  const fields: { readonly id: number; readonly field: Buffer; readonly isCut: boolean }[] = [];
  for (let at = 0; at + 4 <= extra.length; ) {
    const end = at + 4 + extra.readUInt16LE(at + 2);
    const field = extra.subarray(at + 4, end);
    fields.push({ id: extra.readUInt16LE(at), field, isCut: end > extra.length });
    at = end;
  }
  return fields;
}

async function readLocal(
  file: FileHandle,
  size: number,
  record: CentralRecord,
): Promise<LocalHeader | undefined> {
  if (record.headerOffset < 0 || record.headerOffset + LOCAL_BYTES > size) return undefined;
  const header = await readAt(file, record.headerOffset, LOCAL_BYTES);
  if (header.readUInt32LE(0) !== 0x04034b50) return undefined;
  const nameBytes = header.readUInt16LE(26);
  const extraBytes = header.readUInt16LE(28);
  const dataOffset = record.headerOffset + LOCAL_BYTES + nameBytes + extraBytes;
  if (dataOffset + record.packedBytes > size) return undefined;
  const tail = await readAt(file, record.headerOffset + LOCAL_BYTES, nameBytes + extraBytes);
  const name = tail.subarray(0, nameBytes);
  const field = findExtra(tail.subarray(nameBytes), 1);
  const differences: string[] = [];
  const compare = (what: string, local: number, central: number): void => {
    if (local !== central) differences.push(`${what} ${local} instead of ${central}`);
  };
  compare('method', header.readUInt16LE(8), record.method);
  const isStreamed = (header.readUInt16LE(6) & 8) !== 0;
  // Both sizes stand in the field, or neither.
  const isLarge = header.readUInt32LE(18) === FULL_32 && header.readUInt32LE(22) === FULL_32;
  if (!isStreamed) {
    compare('checksum', header.readUInt32LE(14), record.crc);
    const sizes = isLarge && field !== undefined && field.length >= 16 ? field : undefined;
    compare(
      'packed size',
      sizes === undefined ? header.readUInt32LE(18) : toNumber(sizes.readBigUInt64LE(8)),
      record.packedBytes,
    );
    compare(
      'size',
      sizes === undefined ? header.readUInt32LE(22) : toNumber(sizes.readBigUInt64LE(0)),
      record.sizeBytes,
    );
  }
  const isSameName = readName(name, header.readUInt16LE(6)).name === record.name;
  return { isSameName, differences, isZip64: field !== undefined, dataOffset };
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new ZipUnreadable('it ends before what its end record says');
    done += bytesRead;
  }
  return bytes;
}

function toNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ZipUnreadable('it says sizes that no disk holds');
  return Number(value);
}
