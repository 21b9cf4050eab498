/**
 * Debian's or Ubuntu's package of the Azure Linux Agent, and the packages of Python modules that it needs: fetched with apt-get, which
 * checks them against the distribution's signed lists, and kept in the user's cache folder, from where they are used
 * offline. Nothing is installed on this machine, and apt's own folders stay as they are.
 * Source: apt-get(8), apt.conf(5) `Dir::State::Lists`, `Dir::Cache`, `APT::Sandbox::User`; dpkg-deb(1).
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isSystemError } from '@handlerkit/sdk';
import { cacheFolder } from '../cache-folder.ts';
import { ToolError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { runChild } from '../pack/child-program.ts';
import { withWorkFolder } from '../pack/work-folder.ts';
import { SYSTEM_PATH } from '../vm/system-tools.ts';

export interface AgentPackages {
  /** Debian's version of the agent, such as `2.7.3.0-4.1`. */
  readonly version: string;
  /** Absolute paths of the `.deb` files, the agent's first. */
  readonly files: readonly string[];
}

export interface AgentPackagesDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly progress: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The agent's packages in the cache folder, fetched when they are not there. One that somebody put there by hand, under
 * apt's name for it, is as good. Several processes may do this at once. Throws `WAAGENT_DOWNLOAD_FAILED`, and then leaves
 * nothing behind, or `WAAGENT_PACKAGE_INVALID` for a file that dpkg-deb cannot read.
 */
export async function fetchAgentPackages(deps: AgentPackagesDeps): Promise<AgentPackages> {
  const cache = agentCacheFolder(deps.env);
  makeFolders(cache);
  const findAgent = () => AGENT_PACKAGES.map((name) => findPackage(cache, name)).find(isFound);
  if (findAgent() === undefined) {
    await download(
      cache,
      AGENT_PACKAGES.map((name) => [name]),
      deps,
    );
  }
  const agent = findAgent() ?? throwMissing(cache);
  const needed = await readNeeds(agent.file, deps);
  const missing = needed.filter((name) => findPackage(cache, name) === undefined);
  if (missing.length > 0) await download(cache, [missing], deps);
  const others = needed.flatMap((name) => findPackage(cache, name)?.file ?? []);
  return { version: agent.version, files: [agent.file, ...others] };
}

/** Absolute path of the folder that keeps the agent's packages. */
export function agentCacheFolder(env: AgentPackagesDeps['env']): string {
  return join(cacheFolder(env), 'waagent');
}

/** The environment of the programs of apt and dpkg: the user's, in English, with the system's folders last. */
export function debianEnvironment(env: AgentPackagesDeps['env']): Record<string, string | undefined> {
  return {
    ...env,
    PATH: `${env.PATH ?? ''}:${SYSTEM_PATH}`,
    LC_ALL: 'C',
    DEBIAN_FRONTEND: 'noninteractive',
  };
}

/** Debian's name of it, and Ubuntu's. */
const AGENT_PACKAGES = ['waagent', 'walinuxagent'] as const;
/** Of the agent's dependencies these are modules that may not be in the VM's root; all others it must have. */
const MODULE_PACKAGE = /^python3-[a-z0-9+.-]+$/;
/** Only Python 3.7 and older need it, to start the agent. */
const UNNEEDED = 'python3-pkg-resources';
/** Name, version, and for a package that this tool fetched its SHA-256. */
const PACKAGE_FILE = /^([a-z0-9][a-z0-9+.-]*)_([^_]+)_[a-z0-9]+(?:\.([0-9a-f]{64}))?\.deb$/;

const DOWNLOAD_TIMEOUT_MS = 5 * 60_000;
const DPKG_TIMEOUT_MS = 30_000;

interface CachedPackage {
  readonly file: string;
  readonly version: string;
}

/** The package of this name in the folder; one that is not what was fetched is deleted. */
function findPackage(folder: string, name: string): CachedPackage | undefined {
  for (const entry of readdirSync(folder).sort().reverse()) {
    const [, packageName, version, digest] = PACKAGE_FILE.exec(entry) ?? [];
    if (packageName !== name || version === undefined) continue;
    const file = join(folder, entry);
    if (digest === undefined || digest === digestOf(file)) return { file, version };
    rmSync(file, { force: true });
  }
  return undefined;
}

function digestOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/** The packages of Python modules that a package depends on; of alternatives the first. */
async function readNeeds(file: string, deps: AgentPackagesDeps): Promise<readonly string[]> {
  const text = await runChild(['dpkg-deb', '--field', file, 'Depends'], {
    cwd: '/',
    env: debianEnvironment(deps.env),
    timeoutMs: DPKG_TIMEOUT_MS,
    errorCode: 'WAAGENT_PACKAGE_INVALID',
    purpose: `Reading the package ${file}`,
    hint: 'It takes the program dpkg-deb of the package dpkg. If the file is damaged, delete it and try again.',
    signal: deps.signal,
  });
  const names = text.split(',').map((part) => part.trim().split(/[\s:|(]/, 1)[0] ?? '');
  return names.filter((name) => MODULE_PACKAGE.test(name) && name !== UNNEEDED);
}

function isFound(found: CachedPackage | undefined): found is CachedPackage {
  return found !== undefined;
}

/** Sets of packages, of which the first that there is will do. */
type Choices = readonly (readonly string[])[];

/** Fetches packages into the cache. */
async function download(cache: string, choices: Choices, deps: AgentPackagesDeps): Promise<void> {
  deps.progress(`Fetching ${nameFirst(choices)} with apt-get`);
  await withWorkFolder(cache, async (work) => {
    await aptDownload(work, choices, deps);
    for (const entry of readdirSync(work)) {
      if (!PACKAGE_FILE.test(entry)) continue;
      const name = entry.replace(/\.deb$/, `.${digestOf(join(work, entry))}.deb`);
      renameSync(join(work, entry), join(cache, name));
    }
  });
}

function throwMissing(cache: string): never {
  const [name] = AGENT_PACKAGES;
  throw new ToolError('WAAGENT_DOWNLOAD_FAILED', `apt-get gave no package ${name}.`, {
    hint: hintFor(cache, [name]),
  });
}

/** With the machine's own lists; when that does not work, as on a fresh system, with lists of our own. */
async function aptDownload(work: string, choices: Choices, deps: AgentPackagesDeps): Promise<void> {
  const apt = async (args: readonly string[]): Promise<void> => {
    await runChild(['apt-get', '-qq', ...NO_SANDBOX, ...args], {
      cwd: work,
      env: debianEnvironment(deps.env),
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
      errorCode: 'WAAGENT_DOWNLOAD_FAILED',
      purpose: `Fetching ${nameFirst(choices)}`,
      hint: hintFor(dirname(work), choices[0] ?? []),
      signal: deps.signal,
    });
  };
  const isHopeless = (thrown: unknown): boolean =>
    (thrown instanceof ToolError && isSystemError(thrown.cause, 'ENOENT')) || deps.signal?.aborted === true;
  /** Throws what went wrong with the first choice. */
  const downloadAny = async (options: readonly string[]): Promise<void> => {
    const failures: unknown[] = [];
    for (const names of choices) {
      try {
        await apt([...options, 'download', ...names]);
        return;
      } catch (thrown) {
        if (isHopeless(thrown)) throw thrown;
        failures.push(thrown);
      }
    }
    throw failures[0];
  };
  try {
    await downloadAny([]);
  } catch (thrown) {
    if (isHopeless(thrown)) throw thrown;
    for (const folder of ['lists/partial', 'cache/archives/partial']) {
      mkdirSync(join(work, folder), { recursive: true });
    }
    const own = ['-o', `Dir::State::Lists=${work}/lists`, '-o', `Dir::Cache=${work}/cache`];
    deps.progress('Fetching the lists of packages, as this machine has none that help');
    await apt([...own, '-o', 'APT::Update::Error-Mode=any', 'update']);
    await downloadAny(own);
  }
}

function nameFirst(choices: Choices): string {
  return choices[0]?.join(' and ') ?? '';
}

/** As root apt becomes the user _apt, who cannot write into our folder. */
const NO_SANDBOX = ['-o', 'APT::Sandbox::User=root'];

function hintFor(cache: string, names: readonly string[]): string {
  return (
    `Check the network and the sources of apt. Or run \`apt-get download ${names.join(' ')}\` on a Debian system and copy ` +
    `the result into ${cache}. Without the real agent: --agent embedded, in another VM.`
  );
}
