/**
 * Reads of an ELF file what decides whether a VM can run it: processor, interpreter, and the glibc that it needs.
 * Source: elf(5); System V ABI, program header, dynamic section; LSB 5.0 symbol versioning (Elf_Verneed, Elf_Vernaux).
 */

export interface ElfFacts {
  /** `x64`, `arm64`, or the number of another machine. */
  readonly machine: 'x64' | 'arm64' | number;
  readonly is64Bit: boolean;
  /** True for a program, false for a library or a module. */
  readonly isProgram: boolean;
  /** Path of the dynamic loader; `undefined` for a static program or a library. */
  readonly interpreter: string | undefined;
  /** The newest version of glibc that a symbol is taken from, such as `2.17`; `undefined` when none is, or it lies beyond `head`. */
  readonly glibc: string | undefined;
}

/** True for the first bytes of an ELF file. */
export function isElf(head: Buffer): boolean {
  return head.length >= 20 && head.readUInt32BE(0) === 0x7f454c46;
}

/** Reads the beginning of an ELF file, some megabytes; `undefined` when it is none, cut off, or of the other byte order. */
export function readElf(head: Buffer): ElfFacts | undefined {
  if (!isElf(head) || head[5] !== 1) return undefined;
  const is64Bit = head[4] === 2;
  const number = head.readUInt16LE(18);
  const machine = number === 62 ? 'x64' : number === 183 ? 'arm64' : number;
  if (!is64Bit) return { machine, is64Bit, isProgram: true, interpreter: undefined, glibc: undefined };
  try {
    return { machine, is64Bit, ...readSegments(head) };
  } catch (thrown) {
    // An offset beyond what was read.
    if (!(thrown instanceof RangeError)) throw thrown;
    return { machine, is64Bit, isProgram: false, interpreter: undefined, glibc: undefined };
  }
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly bytes: number;
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_STRTAB = 5;
const DT_VERNEED = 0x6ffffffe;
const DT_VERNEEDNUM = 0x6fffffff;
const ET_EXEC = 2;

function readSegments(head: Buffer): Pick<ElfFacts, 'isProgram' | 'interpreter' | 'glibc'> {
  const table = at64(head, 32);
  const size = head.readUInt16LE(54);
  const segments: Segment[] = [];
  for (let index = 0; index < head.readUInt16LE(56); index++) {
    const at = table + index * size;
    segments.push({
      type: head.readUInt32LE(at),
      offset: at64(head, at + 8),
      address: at64(head, at + 16),
      bytes: at64(head, at + 32),
    });
  }
  const loader = segments.find(({ type }) => type === PT_INTERP);
  const interpreter = loader && textAt(head, loader.offset);
  const isProgram = interpreter !== undefined || head.readUInt16LE(16) === ET_EXEC;
  return { isProgram, interpreter, glibc: readGlibc(head, segments) };
}

function readGlibc(head: Buffer, segments: readonly Segment[]): string | undefined {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return undefined;
  try {
    const values = new Map<number, number>();
    for (let at = dynamic.offset; at + 16 <= dynamic.offset + dynamic.bytes; at += 16) {
      const tag = at64(head, at);
      if (tag === 0) break;
      values.set(tag, at64(head, at + 8));
    }
    const [names, needs] = [DT_STRTAB, DT_VERNEED].map((tag) => toOffset(segments, values.get(tag)));
    if (names === undefined || needs === undefined) return undefined;
    return newest(readNeeds(head, needs, values.get(DT_VERNEEDNUM) ?? 0, names));
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown;
    return undefined;
  }
}

function readNeeds(head: Buffer, start: number, count: number, names: number): string[] {
  const found: string[] = [];
  for (let at = start, index = 0; index < Math.min(count, MOST_NEEDS); index++) {
    let entry = at + head.readUInt32LE(at + 8);
    for (let left = head.readUInt16LE(at + 2); left > 0; left--) {
      found.push(textAt(head, names + head.readUInt32LE(entry + 8)));
      entry += head.readUInt32LE(entry + 12);
    }
    at += head.readUInt32LE(at + 12);
  }
  return found;
}

const MOST_NEEDS = 1000;

function newest(versions: readonly string[]): string | undefined {
  const numbers = versions.flatMap((version) => /^GLIBC_(\d+\.\d+)/.exec(version)?.[1] ?? []);
  const minor = (version: string): number => Number(version.split('.')[1]);
  return numbers.toSorted((a, b) => minor(b) - minor(a))[0];
}

function toOffset(segments: readonly Segment[], address: number | undefined): number | undefined {
  if (address === undefined) return undefined;
  const holder = segments.find(
    (one) => one.type === PT_LOAD && address >= one.address && address < one.address + one.bytes,
  );
  return holder === undefined ? undefined : address - holder.address + holder.offset;
}

function at64(head: Buffer, at: number): number {
  return Number(head.readBigUInt64LE(at));
}

function textAt(head: Buffer, at: number): string {
  const end = head.indexOf(0, at);
  if (end === -1) throw new RangeError('beyond what was read');
  return head.toString('latin1', at, end);
}
