/**
 * Bundles an extension's program to one file for Node, as its author can debug it: not minified, with the source map in the
 * file. The map names the sources by their addresses on this machine, wherever the program runs, so an editor opens the
 * author's own files; their text is in it, too. Source: ECMA-426 (source map format), sections "sources", "sourcesContent".
 */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { type BuildDeps, runBunBuild } from './bun-build.ts';

export interface NodeBundle {
  /** The one file; the same for all architectures. */
  readonly script: string;
  /** Absolute paths of the source files that went in, sorted. */
  readonly inputs: readonly string[];
}

/** Bundles with the given bun, into an empty folder. Throws `BUNDLE_FAILED` with bun's own words. */
export async function bundleForNode(
  options: { readonly entry: string; readonly bun: string; readonly workFolder: string },
  deps: BuildDeps,
): Promise<NodeBundle> {
  const { bun, entry, workFolder } = options;
  const script = join(workFolder, 'handler.mjs');
  const names = [`--outdir=${workFolder}`, `--entry-naming=${basename(script)}`];
  const args = ['--target=node', '--format=esm', '--sourcemap=external', ...names];
  const purpose = `Bundling ${entry} for Node`;
  const inputs = await runBunBuild({ bun, entry, args, workFolder, purpose }, deps);
  const map = SourceMap.parse(JSON.parse(await readFile(`${script}.map`, 'utf8')));
  const sources = map.sources.map((source) => pathToFileURL(resolve(dirname(script), source)).href);
  const text = Buffer.from(JSON.stringify({ ...map, sources })).toString('base64');
  const program = await readFile(script, 'utf8');
  await writeFile(script, `${program}\n//# sourceMappingURL=data:application/json;base64,${text}\n`);
  return { script, inputs };
}

const SourceMap = z.looseObject({ sources: z.array(z.string()) });
