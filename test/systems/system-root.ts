/**
 * Small file systems to run a packed handler in: made of Debian's packages in a temporary folder, entered with chroot in
 * a mount namespace of the command's own. Those for arm64 are another machine to all that runs in them: a user namespace
 * of their own tells the kernel to start arm64 programs through qemu, which Linux can do from 6.7 on.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LaidOutHandler } from '../unpacked-handler.ts';

/** A package of Debian 11, as the script beside this file unpacks it. */
export type DebianPackage =
  | `${'libc6' | 'busybox'}-${'amd64' | 'arm64'}`
  | 'busybox-static-amd64'
  | `${'libgcc-s1' | 'libstdc++6'}-arm64`
  | 'musl-amd64';

export interface SystemRootOptions {
  readonly packages: readonly DebianPackage[];
  /** Programs of busybox that are there. */
  readonly programs: readonly string[];
}

export interface SystemRoot {
  readonly folder: string;
  /** Words that run a command inside, where the handler's files have the same paths as outside. */
  enter(handler: LaidOutHandler): readonly string[];
  /** Pids of what runs inside. */
  processes(): number[];
  /** Ends those, and removes everything. */
  remove(): void;
}

/** What the launcher uses besides the shell's own commands, and cat for the commands of the tests. Not ln, which mv stands in for. */
export const LEAST_PROGRAMS = ['sh', 'uname', 'date', 'rm', 'mkdir', 'mv', 'setsid', 'cat'];

/** Folder of the unpacked packages, which are fetched when they are not there, or why there is none. */
const PACKAGES = findPackages();

/** Why this machine cannot enter small file systems for x64; `undefined` when it can. */
export const NO_ROOT: string | undefined =
  whyNot(process.arch === 'x64', 'it takes an x64 machine') ??
  whyNot(process.getuid?.() === 0, 'it takes root') ??
  whyNot(works('unshare --mount true'), 'it takes a mount namespace of its own') ??
  PACKAGES.reason;

const QEMU = '/usr/bin/qemu-aarch64';
const BINFMT = '/proc/sys/fs/binfmt_misc';
const OWN_BINFMT = ['unshare', '--user', '--map-root-user', '--mount'];

/** The same for arm64. */
export const NO_ARM64_ROOT: string | undefined =
  NO_ROOT ??
  whyNot(works(`test -x ${QEMU}`), "it takes qemu-aarch64 of Debian's qemu-user") ??
  whyNot(
    works(`${OWN_BINFMT.join(' ')} mount -t binfmt_misc none ${BINFMT}`),
    'it takes Linux 6.7, which lets a namespace say what runs programs for arm64',
  );

/** Makes a file system of these packages and nothing else. */
export function createSystemRoot({ packages, programs }: SystemRootOptions): SystemRoot {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'handlerkit-root-')));
  for (const name of ['bin', 'dev', 'proc', 'tmp', 'etc', 'lib64']) mkdirSync(join(folder, name));
  for (const name of packages) {
    const from = join(PACKAGES.folder, name);
    // Debian 11's packages have no /lib that is a link.
    cpSync(from, folder, { recursive: true, verbatimSymlinks: true, filter: isNoDocument });
  }
  for (const name of programs) symlinkSync('busybox', join(folder, 'bin', name));
  const isArm64 = packages.some((name) => name.endsWith('-arm64'));
  return {
    folder,
    enter: ({ libFolder }) => [
      ...(isArm64 ? OWN_BINFMT : ['unshare', '--mount']),
      'sh',
      '-ec',
      `${isArm64 ? EMULATE_ARM64 : ''}${ENTER}`,
      'sh',
      folder,
      dirname(libFolder),
    ],
    processes: () => findProcesses(folder),
    remove: () => {
      for (const pid of findProcesses(folder)) process.kill(pid, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    },
  };
}

/** \`sh ROOT SHARED COMMAND…\`. The current folder is the same inside. */
const ENTER = `root=$1 shared=$2
shift 2
mkdir -p "$root$shared"
mount --bind "$shared" "$root$shared"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$PWD" "$@"
`;

/**
 * The interpreter is opened now (F), but its libraries are looked for inside. The magic is an ELF file's of 64 bits, little
 * endian, executable or shared (the last bit of its type is not looked at), for machine 183.
 * Source: the kernel's admin-guide/binfmt-misc.rst; elf(5).
 */
const EMULATE_ARM64 = `mkdir -p "$1/lib/x86_64-linux-gnu"
mount --bind /lib/x86_64-linux-gnu "$1/lib/x86_64-linux-gnu"
mount --bind /lib64 "$1/lib64"
mount -t binfmt_misc none ${BINFMT}
printf '%s' ':arm64:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:${QEMU}:F' >${BINFMT}/register
`;

/** Nobody else has a folder of our own as the root of its file system. */
function findProcesses(folder: string): number[] {
  const isInside = (pid: string): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/root`) === folder;
    } catch {
      return false;
    }
  };
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && isInside(pid))
    .map(Number);
}

function isNoDocument(path: string): boolean {
  return !path.includes('/usr/share/');
}

function findPackages(): { readonly folder: string; readonly reason: string | undefined } {
  const script = fileURLToPath(new URL('fetch-packages.sh', import.meta.url));
  try {
    const folder = execFileSync('bash', [script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    return { folder: folder.trim(), reason: undefined };
  } catch (thrown) {
    const said = thrown instanceof Error && 'stderr' in thrown ? String(thrown.stderr).trim() : '';
    return { folder: '', reason: said || "Debian's packages cannot be had" };
  }
}

function whyNot(works: boolean, reason: string): string | undefined {
  return works ? undefined : reason;
}

function works(command: string): boolean {
  try {
    execFileSync('sh', ['-c', command], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
