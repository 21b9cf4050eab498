/**
 * Installs packages with the distribution's own package manager: no questions, and no failure because another program
 * was installing something at that moment. Source: apt-get(8), dnf(8), yum(8), zypper(8) (exit codes), tdnf's manual.
 */
import type { PackageManager } from './distribution.ts';
import { HandlerError } from './errors.ts';
import type { ExecResult } from './exec.ts';
import type { Host } from './host.ts';
import type { PackageManagerWaitOptions } from './package-manager-lock.ts';
import {
  DEFAULT_PACKAGE_MANAGER_LIMIT_MS,
  PACKAGE_MANAGER_POLL_MS,
  requirePackageManager,
  waitForLocks,
} from './package-manager-lock.ts';
import { describeEnd, outputTail, systemEnvironment } from './system-command.ts';

/** How packages are installed. */
export interface InstallPackagesOptions extends PackageManagerWaitOptions {
  /**
   * Milliseconds to wait for other programs at most, all waiting together; default four minutes. The installation
   * itself has no limit but `signal`.
   */
  readonly limitMs?: number;
  /** Ends the package manager, which has 30 seconds to finish what it must not leave half done. */
  readonly signal?: AbortSignal;
  /** Variables that the package manager gets besides the handler's own, such as `https_proxy`. No secrets. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Default true: apt reads its package lists anew before. When that fails the old ones are used, and the failure is
   * told only if the installation fails, too. The other package managers see to their lists themselves.
   */
  readonly refresh?: boolean;
}

/**
 * Installs the newest version of `names`, or the one that a name gives in the package manager's own form (`nginx=1.24.0-1`
 * for apt and zypper, `nginx-1.24.0` for dnf, yum and tdnf). What is installed already is no error; without names
 * nothing is done. Configuration files that someone changed are kept, and licences that ask are not agreed to.
 *
 * Throws `SETTINGS_INVALID` for a name that is none (an option, a path, a URL, a pattern), `UNSUPPORTED_SYSTEM` where no
 * package manager is known, `PACKAGE_MANAGER_LOCKED` (exit code 56) when other programs need longer than the limit,
 * `DEPENDENCY_MISSING` (exit code 52) with the end of the output when the installation fails, and the signal's reason
 * when it is aborted. Does not install package files, add repositories or upgrade anything else.
 */
export async function installPackages(
  host: Host,
  names: readonly string[],
  options: InstallPackagesOptions = {},
): Promise<void> {
  for (const name of names) checkName(name);
  if (names.length === 0) return;
  const packageManager = await requirePackageManager(host);
  const run = runner(host, packageManager, options);
  let stale: ExecResult | undefined;
  if (packageManager === 'apt' && options.refresh !== false) {
    const refreshed = await run(APT_UPDATE);
    if (refreshed.exitCode !== 0) stale = refreshed;
  }
  const result = await run([...INSTALL[packageManager], ...names]);
  if (result.exitCode !== null && DONE[packageManager].includes(result.exitCode)) return;
  throw new HandlerError(
    'DEPENDENCY_MISSING',
    `${packageManager} cannot install ${names.join(', ')}: ${describeEnd(result)}` +
      (stale === undefined
        ? ''
        : `; before, its package lists could not be read anew: ${describeEnd(stale)}`),
  );
}

/** A leading `-` would be an option, a trailing one tells apt to remove; `/` and `*` make paths, URLs and patterns. */
const PACKAGE_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._+:=~^-]{0,254}[A-Za-z0-9._+~^])?$/;

// A file that an administrator changed stays as it is; a new default that nobody touched is taken.
const APT = [
  'apt-get',
  '-q',
  '-y',
  '-o',
  'Dpkg::Options::=--force-confdef',
  '-o',
  'Dpkg::Options::=--force-confold',
];
const APT_UPDATE = ['apt-get', '-q', '-y', 'update'];
// By default dnf and yum would wait for each other without an end.
const EXIT_ON_LOCK = '--setopt=exit_on_lock=True';
const INSTALL: Record<PackageManager, readonly string[]> = {
  apt: [...APT, 'install'],
  dnf: ['dnf', '-y', EXIT_ON_LOCK, 'install'],
  yum: ['yum', '-y', EXIT_ON_LOCK, 'install'],
  tdnf: ['tdnf', '-y', 'install'],
  zypper: ['zypper', '--non-interactive', '--no-color', 'install'],
};

/** Zypper says in this way that all is installed, but a restart or a repository wants attention. */
const ZYPPER_HINTS = [102, 103, 106];
const DONE: Record<PackageManager, readonly number[]> = {
  apt: [0],
  dnf: [0],
  yum: [0],
  tdnf: [0],
  zypper: [0, ...ZYPPER_HINTS],
};

/** Exit codes that mean a lock, whatever was said. */
const LOCKED_EXIT_CODES: Partial<Record<PackageManager, number>> = { dnf: 200, yum: 200, zypper: 7 };
const LOCKED_LINE =
  /could not get lock|unable to acquire the dpkg|unable to lock (?:directory|the )|(?:frontend lock|status database) (?:was|is) locked|can(?:'|no)t create transaction lock|failed to obtain .*lock/i;
/** Where the lock is nobody else's, waiting does not help; where it was waited for already, the failure is another one. */
const NO_LOCK = /permission denied|are you root|read-only file system|no such file|^waiting for/i;

const ENVIRONMENT = {
  DEBIAN_FRONTEND: 'noninteractive',
  APT_LISTCHANGES_FRONTEND: 'none',
  // Ubuntu's needrestart would ask, or restart the agent in the middle of the handler's work.
  NEEDRESTART_SUSPEND: '1',
  NEEDRESTART_MODE: 'l',
};
const GRACE_MS = 30_000;

function checkName(name: string): void {
  if (PACKAGE_NAME.test(name)) return;
  throw new HandlerError(
    'SETTINGS_INVALID',
    `${JSON.stringify(name.slice(0, 100))} is no package name; use letters, digits and . _ + : = ~ ^ -, with a letter or digit first and no - last`,
  );
}

/** Runs the package manager, again and again while a lock keeps it from working and the limit has not come. */
function runner(
  host: Host,
  packageManager: PackageManager,
  options: InstallPackagesOptions,
): (argv: readonly string[]) => Promise<ExecResult> {
  const { signal, onWait, limitMs = DEFAULT_PACKAGE_MANAGER_LIMIT_MS } = options;
  const env = systemEnvironment(host, { ...ENVIRONMENT, ...options.env });
  let left = limitMs;
  const waiting = async (wait: () => Promise<void>): Promise<void> => {
    const start = host.elapsedMs();
    await wait();
    left -= host.elapsedMs() - start;
  };
  return async (argv) => {
    while (true) {
      await waiting(() =>
        waitForLocks(host, packageManager, {
          limitMs: Math.max(0, left),
          ...(signal && { signal }),
          ...(onWait && { onWait }),
        }),
      );
      const result = await host.exec(argv, { env, graceMs: GRACE_MS, ...(signal && { signal }) });
      signal?.throwIfAborted();
      const reason = lockReason(packageManager, result);
      if (reason === undefined) return result;
      if (left <= 0) throw lockedError(packageManager, limitMs, reason);
      // The holder was faster, or is in another process namespace, where it cannot be seen.
      await waiting(() => host.sleep(PACKAGE_MANAGER_POLL_MS, signal));
    }
  };
}

/** What the package manager said of the lock that another program holds; `undefined` when it ended for another reason. */
function lockReason(packageManager: PackageManager, result: ExecResult): string | undefined {
  if (result.exitCode === 0) return undefined;
  const lines = `${result.stderr}\n${result.stdout}`.split('\n');
  const line = lines.find((text) => LOCKED_LINE.test(text) && !NO_LOCK.test(text));
  if (line !== undefined) return outputTail(line);
  const isLocked = result.exitCode !== null && LOCKED_EXIT_CODES[packageManager] === result.exitCode;
  return isLocked ? describeEnd(result) : undefined;
}

function lockedError(packageManager: PackageManager, limitMs: number, reason: string): HandlerError {
  return new HandlerError(
    'PACKAGE_MANAGER_LOCKED',
    `${packageManager} is still in use after ${Math.round(limitMs / 1000)} seconds: ${reason}; ` +
      'wait until the other program has finished, or end it, and try again',
  );
}
