/**
 * Bundles an extension's program to one file for Node. To ship: minified, and the same bytes wherever it is built. For its
 * author's debugger: not minified, with the source map in the file, which names the sources by their addresses on this
 * machine, wherever the program runs, so an editor opens the author's own files; their text is in it, too.
 * Source: ECMA-426 (source map format), sections "sources", "sourcesContent".
 */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as z from 'zod';
import { holdsBuildPath } from './build-path.ts';
import { type BuildDeps, runBunBuild } from './bun-build.ts';

export interface NodeBundleOptions {
  /** The entry module, absolute. */
  readonly entry: string;
  /** The bun that bundles: of this machine's architecture. */
  readonly bun: string;
  /** An empty folder. */
  readonly workFolder: string;
  /** True: for a debugger. */
  readonly inspectable: boolean;
}

export interface NodeBundle {
  /** The one file; the same for all architectures. */
  readonly script: string;
  /** Absolute paths of the source files that went in, sorted. */
  readonly inputs: readonly string[];
  /** True when a path of this machine is written into the program by mistake: then another folder gives other bytes. */
  readonly holdsBuildPath: boolean;
}

/** Bundles. Throws `BUNDLE_FAILED` with bun's own words. */
export async function bundleForNode(options: NodeBundleOptions, deps: BuildDeps): Promise<NodeBundle> {
  const { bun, entry, workFolder, inspectable } = options;
  const script = join(workFolder, 'handler.mjs');
  const form = inspectable ? '--sourcemap=external' : '--minify';
  const names = [`--outdir=${workFolder}`, `--entry-naming=${basename(script)}`];
  const args = ['--target=node', '--format=esm', form, ...names];
  const purpose = `Bundling ${entry} for Node`;
  const inputs = await runBunBuild({ bun, entry, args, workFolder, purpose }, deps);
  if (!inspectable) return { script, inputs, holdsBuildPath: await holdsBuildPath(script, inputs) };
  await addSourceMap(script);
  // The source map names this machine's files on purpose.
  return { script, inputs, holdsBuildPath: false };
}

async function addSourceMap(script: string): Promise<void> {
  const map = SourceMap.parse(JSON.parse(await readFile(`${script}.map`, 'utf8')));
  const sources = map.sources.map((source) => pathToFileURL(resolve(dirname(script), source)).href);
  const text = Buffer.from(JSON.stringify({ ...map, sources })).toString('base64');
  const program = await readFile(script, 'utf8');
  await writeFile(script, `${program}\n//# sourceMappingURL=data:application/json;base64,${text}\n`);
}

const SourceMap = z.looseObject({ sources: z.array(z.string()) });
