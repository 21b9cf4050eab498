/**
 * The programs that check and repair file systems, in one table, and what their exit codes say.
 * Source: fsck(8) "EXIT STATUS", e2fsck(8), xfs_repair(8), fsck.fat(8), btrfs-check(8).
 */
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import type { StepContext } from './step.ts';

/** How a file system is treated: `look` writes nothing, `mend` mends what is found, `thorough` looks at everything first. */
export type CheckKind = 'look' | 'mend' | 'thorough';

/** What a check has found. */
export interface CheckResult {
  readonly outcome: 'clean' | 'mended';
  /** True: the system has to be started again before the file system is used. */
  readonly needsReboot: boolean;
}

/** True for a type that can be checked in this way. */
export function canCheck(context: StepContext, type: string, kind: CheckKind): boolean {
  const argv = CHECKERS[type]?.[kind];
  return argv?.[0] !== undefined && findProgram(context.host, argv[0]) !== undefined;
}

/**
 * Checks the file system on `device`, which is not mounted, or is mounted read-only when it is only looked at. Throws
 * `DISK_DAMAGED` when errors are left or the check could not be carried out, `PROGRAM_MISSING` for a type that nothing here
 * can check.
 */
export async function checkFileSystem(
  context: StepContext,
  device: string,
  type: string,
  kind: CheckKind,
): Promise<CheckResult> {
  const checker = CHECKERS[type];
  const argv = checker?.[kind];
  if (checker === undefined || argv === undefined) {
    throw accessError(
      'PROGRAM_MISSING',
      `a file system of the type ${type} cannot be ${kind === 'look' ? 'checked' : 'repaired'} by VM Access`,
    );
  }
  const accept = Array.from({ length: 256 }, (_, code) => code);
  const { exitCode, stdout, stderr } = await context.run([...argv, device], { accept, timeoutMs: LIMIT_MS });
  const code = exitCode ?? 0;
  const result = checker.judge(code, kind);
  context.log.info('a file system was checked', { device, type, kind, exitCode: code });
  if (result !== undefined) return result;
  const said = [stderr, stdout]
    .map((text) => text.trim().split('\n').at(-1) ?? '')
    .find((line) => line !== '');
  throw accessError(
    'DISK_DAMAGED',
    `${argv[0]} left errors on ${device}, or could not check it: exit code ${code}${said === undefined ? '' : `: ${said}`}`,
  );
}

/** A large disk takes its time; enable has 90 minutes. */
const LIMIT_MS = 80 * 60_000;

interface Checker extends Partial<Record<CheckKind, readonly string[]>> {
  /** `undefined`: errors are left, or it failed. */
  judge(exitCode: number, kind: CheckKind): CheckResult | undefined;
}

/** A sum: 1 errors were corrected, 2 the system should be started again, 4 errors are left, 8 and more: it failed. */
function judgeFsck(exitCode: number): CheckResult | undefined {
  if ((exitCode & ~3) !== 0) return undefined;
  return { outcome: (exitCode & 1) === 0 ? 'clean' : 'mended', needsReboot: (exitCode & 2) !== 0 };
}

/** 0 or errors; whoever mends does not say whether there was something to mend. */
function judgePlain(exitCode: number): CheckResult | undefined {
  return exitCode === 0 ? { outcome: 'clean', needsReboot: false } : undefined;
}

const EXT: Checker = {
  look: ['e2fsck', '-n'],
  mend: ['e2fsck', '-y'],
  thorough: ['e2fsck', '-f', '-y'],
  judge: judgeFsck,
};

const FAT: Checker = {
  look: ['fsck.fat', '-n'],
  mend: ['fsck.fat', '-a'],
  thorough: ['fsck.fat', '-a'],
  // For one that only looks, 1 is errors that it has found.
  judge: (exitCode, kind) => (kind === 'look' ? judgePlain(exitCode) : judgeFsck(exitCode)),
};

const CHECKERS: Readonly<Record<string, Checker>> = {
  ext2: EXT,
  ext3: EXT,
  ext4: EXT,
  vfat: FAT,
  xfs: {
    look: ['xfs_repair', '-n'],
    mend: ['xfs_repair', '-n'],
    thorough: ['xfs_repair'],
    judge: judgePlain,
  },
  // Its makers advise against a repair without them.
  btrfs: {
    look: ['btrfs', 'check', '--readonly'],
    mend: ['btrfs', 'check', '--readonly'],
    judge: judgePlain,
  },
};
