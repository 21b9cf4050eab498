/**
 * The real agent's files in a VM. All of Debian's packages lies in one folder of its own, unchanged: Python looks for
 * modules beside the program first, so neither the VM's own modules nor its environment have to be touched. Beside it
 * are the agent's usual names, `/usr/sbin/waagent` and `/etc/waagent.conf`.
 * Source: fabric.md 7; Python's documentation of `sys.path`; WALinuxAgent README "Configuration File Options".
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { readTextIfThere, writeWholeFile } from '@handlerkit/sdk';
import { extract } from 'tar';
import { ToolError } from '../errors.ts';
import type { Machine } from '../vm/machine.ts';
import type { AgentPackages } from './waagent-package.ts';
import { debianEnvironment } from './waagent-package.ts';

/** Paths of the agent in the VM. */
export const WAAGENT_PATHS = {
  python: '/usr/bin/python3',
  program: '/usr/sbin/waagent',
  configuration: '/etc/waagent.conf',
  /** The unpacked packages. */
  folder: '/usr/lib/handlerkit-waagent',
} as const;

/**
 * Puts the agent into the VM, unless it is there: a VM keeps the version that it has. The VM's root must have Python 3 and
 * openssl, and the packages are fetched only then. Throws `WAAGENT_NO_PYTHON`, `WAAGENT_NO_OPENSSL`, and `WAAGENT_PACKAGE_INVALID` for packages that are not the agent's.
 */
export async function installWaagent(
  machine: Machine,
  fetchPackages: () => Promise<AgentPackages>,
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const folder = machine.hostPath(WAAGENT_PATHS.folder);
  if (existsSync(join(folder, MARK_FILE))) return;
  requirePrograms(machine);
  const packages = await fetchPackages();
  const work = `${folder}.tmp`;
  for (const path of [work, folder]) rmSync(path, { recursive: true, force: true });
  mkdirSync(work, { recursive: true, mode: 0o755 });
  for (const file of packages.files) await unpack(file, work, env);
  const program = join(work, 'usr/sbin/waagent');
  const defaults = readTextIfThere(join(work, 'etc/waagent.conf'));
  if (!existsSync(program) || defaults === undefined) throw foreignPackage(packages);
  renameSync(program, join(work, MODULES_FOLDER, PROGRAM_FILE));
  renameSync(join(work, MODULES_FOLDER), folder);
  rmSync(work, { recursive: true, force: true });
  writeWholeFile(machine.hostPath(WAAGENT_PATHS.configuration), formatConfiguration(defaults), {
    mode: 0o644,
  });
  linkProgram(machine);
  writeWholeFile(join(folder, MARK_FILE), `${packages.version}\n`, { mode: 0o644 });
}

/** The package's configuration with what a VM on this machine needs instead. */
export function formatConfiguration(defaults: string): string {
  const kept = defaults.split('\n').filter((line) => {
    const [, key = ''] = /^([A-Za-z.]+)=/.exec(line) ?? [];
    return !REPLACED.has(key) && !LEFT_OUT.has(key);
  });
  const own = [...REPLACED].map(([key, value]) => `${key}=${value}`);
  return `${[...kept, '# For a local VM of handlerkit:', ...own].join('\n')}\n`;
}

/** Lines of the configuration file of a local VM. The agent asks for the goal state every second, not every six. */
const REPLACED: ReadonlyMap<string, string> = new Map([
  ['Provisioning.Agent', 'disabled'],
  ['Provisioning.MonitorHostName', 'n'],
  ['ResourceDisk.Format', 'n'],
  ['AutoUpdate.Enabled', 'n'],
  ['AutoUpdate.UpdateToLatestVersion', 'n'],
  ['OS.EnableFirewall', 'n'],
  ['Logs.Console', 'n'],
  ['Logs.Collect', 'n'],
  ['Extensions.GoalStatePeriod', '1'],
  ['Extensions.InitialGoalStatePeriod', '1'],
]);
/** The agent would write it to the disks of this machine. */
const LEFT_OUT: ReadonlySet<string> = new Set(['OS.RootDeviceScsiTimeout']);

/** Names the version; written last. */
const MARK_FILE = '.version';
const PROGRAM_FILE = 'waagent';
const MODULES_FOLDER = 'usr/lib/python3/dist-packages';
const UNPACK_TIMEOUT_MS = 60_000;

function requirePrograms(machine: Machine): void {
  const needed = [
    { path: WAAGENT_PATHS.python, code: 'WAAGENT_NO_PYTHON', name: 'python3' },
    { path: '/usr/bin/openssl', code: 'WAAGENT_NO_OPENSSL', name: 'openssl' },
  ];
  for (const { path, code, name } of needed) {
    if (existsSync(machine.hostPath(path))) continue;
    throw new ToolError(code, `The VM has no ${path}, which the Azure Linux Agent needs.`, {
      hint: `Install ${name} on this machine, or in the folder of --rootfs. Or make the VM with --agent embedded.`,
    });
  }
}

/** Of the package only what the agent consists of: a `lib` laid over a root where it is a link would break the root. */
async function unpack(
  file: string,
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const child = spawn('dpkg-deb', ['--fsys-tarfile', file], {
    env: debianEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: UNPACK_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = `${complaint}${text}`.slice(0, 1000);
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(complaint.trim() || 'it did not end')),
    );
  });
  const files = extract({ cwd: folder, strict: true, filter: isAgentFile });
  try {
    await Promise.all([pipeline(child.stdout, files), ended]);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : 'unknown';
    throw new ToolError('WAAGENT_PACKAGE_INVALID', `dpkg-deb could not unpack the package: ${reason}`, {
      file,
      hint: 'Delete the file, so that it is fetched anew.',
      cause: thrown,
    });
  }
}

function isAgentFile(path: string): boolean {
  const name = path.replace(/^\.\//, '');
  return name === 'usr/sbin/waagent' || name === 'etc/waagent.conf' || name.startsWith(`${MODULES_FOLDER}/`);
}

function linkProgram(machine: Machine): void {
  const link = join(machine.hostPath('/usr/sbin'), PROGRAM_FILE);
  rmSync(link, { force: true });
  symlinkSync(`${WAAGENT_PATHS.folder}/${PROGRAM_FILE}`, link);
}

function foreignPackage(packages: AgentPackages): ToolError {
  return new ToolError(
    'WAAGENT_PACKAGE_INVALID',
    'The package holds no Azure Linux Agent as Debian packs it.',
    {
      file: packages.files[0],
      hint: 'Delete the file, so that it is fetched anew.',
    },
  );
}
