/** What an executable needs of the machine's libraries, as binutils read it; any architecture's. */
import { execFileSync } from 'node:child_process';

export interface LibraryNeeds {
  /** Names that the dynamic loader looks for. */
  readonly libraries: readonly string[];
  /** Versions of symbols, such as `GLIBC_2.17`. */
  readonly versions: readonly string[];
}

/** Reads an ELF file. Throws when objdump cannot. */
export function readLibraryNeeds(file: string): LibraryNeeds {
  const headers = execFileSync('objdump', ['-p', file], { encoding: 'utf8' });
  const all = (pattern: RegExp): string[] => [...headers.matchAll(pattern)].map(([, name = '']) => name);
  return {
    libraries: all(/^ +NEEDED +(\S+)$/gm),
    versions: all(/^ +0x[0-9a-f]+ 0x[0-9a-f]+ \d+ (\S+)$/gm),
  };
}

/** The C library's own libraries, on every architecture. */
export const GLIBC_LIBRARIES = /^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|ld-linux-.*)$/;

/** 17 for versions up to `GLIBC_2.17`; NaN when one is not the C library's. */
export function newestGlibc({ versions }: LibraryNeeds): number {
  return Math.max(...versions.map((version) => Number(/^GLIBC_2\.(\d+)(\.\d+)?$/.exec(version)?.[1])));
}
