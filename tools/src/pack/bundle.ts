/**
 * Compiles an extension's program to one executable with bytecode: with the bun of this machine, for any architecture.
 * The output depends on the sources and the pinned runtime alone, not on the folder, user, time zone or umask; and the
 * program does not read `.env`, `bunfig.toml`, `tsconfig.json` or `package.json` from where it is started.
 */
import { join } from 'node:path';
import type { Architecture } from '@handlerkit/sdk';
import { holdsBuildPath } from './build-path.ts';
import { type BuildDeps, runBunBuild } from './bun-build.ts';

export interface BundleOptions {
  /** The entry module, absolute. */
  readonly entry: string;
  readonly architecture: Architecture;
  /** The bun that compiles: of this machine's architecture. */
  readonly bun: string;
  /** The bun that goes into the executable: of the wanted architecture. */
  readonly runtime: string;
  /** An empty folder for the output and for bun's temporary files. */
  readonly workFolder: string;
}

export interface Bundle {
  readonly executable: string;
  /** Absolute paths of the source files that went in, sorted. */
  readonly inputs: readonly string[];
  /** True when a path of this machine is written into the program: then another folder gives other bytes. */
  readonly holdsBuildPath: boolean;
}

/** Compiles. Throws {@link ToolError} `BUNDLE_FAILED` with bun's own words. */
export async function compileBundle(options: BundleOptions, deps: BuildDeps): Promise<Bundle> {
  const { bun, entry, workFolder, architecture } = options;
  // The program knows itself by the name of this file, so the name is the same for each architecture and folder.
  const executable = join(workFolder, 'handler');
  const args = [
    '--compile',
    '--bytecode',
    // What is imported late becomes a part of its own, which costs nothing until it is needed.
    '--splitting',
    '--format=esm',
    '--minify',
    `--target=${TARGETS[architecture]}`,
    `--compile-executable-path=${options.runtime}`,
    '--no-compile-autoload-dotenv',
    '--no-compile-autoload-bunfig',
    '--no-compile-autoload-tsconfig',
    '--no-compile-autoload-package-json',
    `--outfile=${executable}`,
  ];
  const purpose = `Compiling ${entry} for ${architecture}`;
  const inputs = await runBunBuild({ bun, entry, args, workFolder, purpose }, deps);
  return { executable, inputs, holdsBuildPath: await holdsBuildPath(executable, inputs) };
}

const TARGETS: Readonly<Record<Architecture, string>> = {
  x64: 'bun-linux-x64-baseline',
  arm64: 'bun-linux-arm64',
};
