/**
 * Rules about compiled programs and modules: whether the VMs of Azure can run them.
 * Source: runtime.md (libc of the supported distributions); elf(5); sdk-anchors 5 ("no native modules for a missing arch").
 */
import type { ElfFacts } from './elf.ts';
import type { FileFacts } from './file-facts.ts';
import { type Finding, findingFor } from './rule.ts';

const LIBC =
  'ld.so(8); glibc of the distributions at learn.microsoft.com/azure/virtual-machines/linux/endorsed-distros';

export const PROGRAM_RULES = {
  'program-machine': {
    severity: 'error',
    reason: 'VMs of Azure have x64 or arm64 processors and no libraries for others.',
    source: 'elf(5)',
    fix: 'Build the file for x64 (x86-64) or arm64 (aarch64).',
  },
  'program-foreign': {
    severity: 'warning',
    reason: 'The file is a program for another operating system.',
    source: 'elf(5)',
    fix: 'Build it for Linux, or leave it out.',
  },
  'program-one-architecture': {
    severity: 'note',
    reason: 'On a VM with the other processor the programs cannot start (exit code 126).',
    source: 'elf(5); execve(2)',
    fix: 'Pack programs for both, or publish the version for this architecture only and let the launcher exit with 51.',
  },
  'program-module-missing': {
    severity: 'error',
    reason:
      'There are programs for a processor whose native modules are missing, so loading them fails there.',
    source: 'dlopen(3)',
    fix: 'Pack the native modules for each architecture that has a program.',
  },
  'program-musl': {
    severity: 'error',
    reason:
      'The loader of musl is on none of the distributions that the agent supports, so the program cannot start.',
    source: LIBC,
    fix: 'Build it for glibc, or link it statically.',
  },
  'program-interpreter': {
    severity: 'error',
    reason: 'This loader is not in the place where distributions have it, so the program cannot start.',
    source: LIBC,
    fix: 'Build it with the usual loader (patchelf --print-interpreter shows it).',
  },
  'program-glibc-new': {
    severity: 'warning',
    reason: 'The program needs a glibc that is newer than that of RHEL 8 (2.28), which Azure endorses.',
    source: LIBC,
    fix: 'Build it on an older distribution.',
  },
  'program-glibc': {
    severity: 'note',
    reason: 'The program needs a glibc that is newer than that of RHEL 7 (2.17).',
    source: LIBC,
    fix: 'Nothing, unless the extension is to run on such systems.',
  },
} as const;

/** Checks the compiled files of a package. */
export function checkPrograms(facts: readonly FileFacts[]): readonly Finding[] {
  return [...facts.flatMap(checkProgram), ...checkArchitectures(facts)];
}

const finding = findingFor(PROGRAM_RULES);
const LOADERS = /^\/lib(64)?\/ld-linux-(x86-64\.so\.2|aarch64\.so\.1)$/;

function checkProgram({ file, elf, head }: FileFacts): Finding[] {
  const { name } = file;
  if (elf === undefined) {
    const system = head === undefined ? undefined : foreignSystem(head);
    return system === undefined ? [] : [finding('program-foreign', name, `is a program for ${system}.`)];
  }
  if (typeof elf.machine === 'number' || !elf.is64Bit) {
    const width = elf.is64Bit ? '' : ', 32 bits';
    return [finding('program-machine', name, `is for the ELF machine ${elf.machine}${width}.`)];
  }
  const found: Finding[] = [];
  const { interpreter } = elf;
  if (interpreter?.includes('ld-musl') === true) {
    found.push(finding('program-musl', name, `asks for the loader ${interpreter}.`));
  } else if (interpreter !== undefined && !LOADERS.test(interpreter)) {
    found.push(finding('program-interpreter', name, `asks for the loader ${interpreter}.`));
  }
  return [...found, ...checkGlibc(name, elf)];
}

function checkGlibc(name: string, { glibc }: ElfFacts): Finding[] {
  if (glibc === undefined) return [];
  const minor = Number(glibc.split('.')[1]);
  const message = `needs glibc ${glibc}.`;
  if (minor > 28) return [finding('program-glibc-new', name, message)];
  return minor > 17 ? [finding('program-glibc', name, message)] : [];
}

function foreignSystem(head: Buffer): string | undefined {
  if (head.length < 64) return undefined;
  const magic = head.readUInt32BE(0);
  if ([0xcffaedfe, 0xcefaedfe, 0xfeedfacf].includes(magic)) return 'macOS';
  const isPortable = head.readUInt16BE(0) === 0x4d5a && head.subarray(0, 1024).includes('PE\0\0');
  return isPortable ? 'Windows' : undefined;
}

/** Processors that the package has programs for; none for a package of scripts. */
export function programMachines(facts: readonly FileFacts[]): ReadonlySet<string> {
  return machinesOf(facts, (elf) => elf.isProgram);
}

function machinesOf(
  facts: readonly FileFacts[],
  isWanted: (elf: ElfFacts, path: string) => boolean,
): Set<string> {
  return new Set(
    facts.flatMap(({ elf, file }) =>
      typeof elf?.machine === 'string' && isWanted(elf, file.path) ? [elf.machine] : [],
    ),
  );
}

function checkArchitectures(facts: readonly FileFacts[]): Finding[] {
  const programs = programMachines(facts);
  const modules = machinesOf(facts, (elf, path) => !elf.isProgram && path.endsWith('.node'));
  const found: Finding[] = [];
  if (modules.size > 0) {
    for (const machine of programs) {
      if (modules.has(machine)) continue;
      found.push(
        finding('program-module-missing', '', `There is a program for ${machine} and no native module.`),
      );
    }
  }
  const all = new Set([...programs, ...modules]);
  if (all.size === 1) {
    found.push(
      finding('program-one-architecture', '', `All programs and modules are for ${[...all].join()}.`),
    );
  }
  return found;
}
