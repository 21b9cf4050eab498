/**
 * The configuration of sshd that the distribution ships: the copy that its package keeps, one that the package's own
 * checksum proves to be it, or, where the VM has neither, a short one in words of our own.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import type { Host } from '@handlerkit/sdk';
import { findProgram } from './command.ts';
import { checkStaged } from './sshd-staging.ts';
import type { FileChanges } from './sshd-tree.ts';
import { MAIN_FILE, VENDOR_MAIN_FILE } from './sshd-tree.ts';
import type { StepContext } from './step.ts';

/** The default of this VM. */
export interface DefaultSshd {
  /** Text of the main file; `undefined`: there is none, so that the one below `/usr` counts. */
  readonly main: string | undefined;
  /** Where it comes from, for people. */
  readonly source: string;
}

/**
 * Finds the default. `copies` are further files of which one may be the package's own, such as backups. Changes nothing,
 * and uses no network.
 */
export async function findDefaultSshd(context: StepContext, copies: readonly string[]): Promise<DefaultSshd> {
  const { host } = context;
  if (readText(host, VENDOR_MAIN_FILE) !== undefined) {
    return { main: undefined, source: `${VENDOR_MAIN_FILE} of the distribution` };
  }
  for (const path of PACKAGE_COPIES) {
    const main = readText(host, path);
    if (main !== undefined) return { main, source: `${path} of the distribution` };
  }
  const candidates = [
    MAIN_FILE,
    `${MAIN_FILE}.rpmnew`,
    `${MAIN_FILE}.rpmsave`,
    `${MAIN_FILE}.rpmorig`,
    ...copies,
  ];
  const found = await findByChecksum(context, candidates);
  if (found !== undefined) return found;
  return {
    main: await composeDefault(context),
    source: "a default of VM Access, as this VM has no copy of the distribution's",
  };
}

/** Whether a package of the distribution has brought this file. False where no package manager knows. */
export async function isPackaged(context: StepContext, path: string): Promise<boolean> {
  const { host } = context;
  const questions = [
    ['dpkg', 'dpkg-query', '-S', path],
    ['rpm', 'rpm', '-qf', path],
  ] as const;
  for (const [manager, ...argv] of questions) {
    if (findProgram(host, manager) === undefined) continue;
    const { exitCode } = await context.run(argv, { accept: [0, 1, 2] });
    if (exitCode === 0) return true;
  }
  return existsSync(host.path(`${FLATCAR_DEFAULTS}${path}`));
}

/** Flatcar keeps what `/etc` was made from. */
const FLATCAR_DEFAULTS = '/usr/share/flatcar';
const PACKAGE_COPIES = ['/usr/share/openssh/sshd_config', `${FLATCAR_DEFAULTS}${MAIN_FILE}`];
const DROP_IN_FOLDER = `${MAIN_FILE}.d`;
const SFTP_SERVERS = [
  '/usr/lib/openssh/sftp-server',
  '/usr/libexec/openssh/sftp-server',
  '/usr/lib/ssh/sftp-server',
  '/usr/libexec/sftp-server',
  '/usr/lib64/misc/sftp-server',
  '/usr/lib/misc/sftp-server',
];

/** rpm keeps no copy, but the checksum of the file as it was shipped. */
async function findByChecksum(
  context: StepContext,
  candidates: readonly string[],
): Promise<DefaultSshd | undefined> {
  const { host } = context;
  if (findProgram(host, 'rpm') === undefined) return undefined;
  const format = '[%{FILENAMES} %{FILEDIGESTS}\\n]';
  const { stdout } = await context.run(['rpm', '-qf', '--queryformat', format, MAIN_FILE], {
    accept: [0, 1],
  });
  const line = stdout.split('\n').find((text) => text.startsWith(`${MAIN_FILE} `));
  const digest = line?.split(' ')[1] ?? '';
  const algorithm = ALGORITHMS[digest.length];
  if (algorithm === undefined) return undefined;
  for (const path of candidates) {
    const main = readText(host, path);
    if (main === undefined || createHash(algorithm).update(main).digest('hex') !== digest) continue;
    return { main, source: `${path}, which is the distribution's by the checksum of its package` };
  }
  return undefined;
}

/** By the number of hex digits. */
const ALGORITHMS: Readonly<Record<number, string>> = { 32: 'md5', 64: 'sha256', 96: 'sha384', 128: 'sha512' };

/** As short as it can be: what is not said is sshd's own default, which allows keys and passwords, and root only keys. */
async function composeDefault(context: StepContext): Promise<string> {
  const { host } = context;
  const sftp = SFTP_SERVERS.find((path) => existsSync(host.path(path))) ?? 'internal-sftp';
  const hasPam = existsSync(host.path('/etc/pam.d/sshd'));
  const include = existsSync(host.path(DROP_IN_FOLDER)) ? [`Include ${DROP_IN_FOLDER}/*.conf`] : [];
  const rest = [...(hasPam ? ['UsePAM yes'] : []), 'AcceptEnv LANG LC_*', `Subsystem sftp ${sftp}`];
  const compose = (lines: readonly string[]): string => `${[HEADER, ...lines].join('\n')}\n`;
  const whole = compose([...include, ...rest]);
  if (include.length === 0) return whole;
  // Before 8.2 sshd knows no Include, and would not start.
  const withoutFiles: FileChanges = new Map([
    [MAIN_FILE, compose([`Include ${DROP_IN_FOLDER}/none`, ...rest])],
  ]);
  const problem = await checkStaged(context, withoutFiles);
  return problem !== undefined && /Include/i.test(problem.text) ? compose(rest) : whole;
}

const HEADER = '# Written by VM Access (Handlerkit): the defaults of sshd itself. See sshd_config(5).';

function readText(host: Host, path: string): string | undefined {
  try {
    return readFileSync(host.path(path), 'utf8');
  } catch {
    return undefined;
  }
}
