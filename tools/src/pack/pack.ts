/**
 * `handlerkit pack`: from a project to the zip that the agent installs. The recipe: read the project, fetch the
 * runtimes, compile the program for each architecture, generate the manifests and the launcher, write the zip.
 */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import type { Architecture, Runtime } from '@handlerkit/sdk';
import { formatHandlerName, HANDLER_MANIFEST_FILE } from '@handlerkit/sdk/contract';
import { ToolError, toToolError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { type Project, readProject } from '../project.ts';
import { createDeflate } from './deflate.ts';
import { collectEntries } from './package-entries.ts';
import { BUN_RUNTIMES } from './pinned-runtimes.ts';
import { bundlePrograms, compilePrograms } from './programs.ts';
import { fetchRuntime, hostArchitecture } from './runtime.ts';
import { withWorkFolder } from './work-folder.ts';
import { type WrittenEntry, writeZip } from './zip.ts';

export interface PackOptions {
  /** The extension's folder. */
  readonly folder: string;
  /** Path of the zip; default `<folder>/dist/<Publisher>.<Type>-<version>.zip`. */
  readonly out?: string | undefined;
  /** Default: those of `extension.json`. */
  readonly architectures?: readonly Architecture[] | undefined;
  /** Default: that of `extension.json`. */
  readonly runtime?: Runtime | undefined;
  /** In place of the version in `extension.json`. */
  readonly version?: string | undefined;
  /**
   * True: a package for a debugger on this machine. Node runs it, whatever runtime the extension has; its source map names the
   * author's files; its launcher heeds a stop order.
   */
  readonly inspectable?: boolean;
  /** True: large files are stored as they are, which is faster to write and to unpack. */
  readonly uncompressed?: boolean;
  /** True: no zip is left and nothing is written to the project; the result tells what there would be. */
  readonly dryRun?: boolean;
}

export interface PackDeps {
  readonly progress: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal | undefined;
  /** Looks at the finished zip before it gets its name `file`; gives warnings, and throws for what must not be shipped. */
  readonly inspect?: (zip: string, file: string) => Promise<readonly string[]>;
}

export interface PackResult {
  /** Absolute path of the zip; of a dry run, where it would be. */
  readonly file: string;
  /** False for a dry run. */
  readonly written: boolean;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly handlerName: string;
  readonly version: string;
  readonly runtime: Runtime;
  readonly architectures: readonly Architecture[];
  readonly entries: readonly WrittenEntry[];
  /** Absolute paths of the source files that the program was made of, sorted. */
  readonly inputs: readonly string[];
  /** What the author should look at; the package is good all the same. */
  readonly warnings: readonly string[];
}

/** Packs. Throws {@link ToolError} or `ContractError`; then there is no new zip, and no temporary file either. */
export async function packProject(options: PackOptions, deps: PackDeps): Promise<PackResult> {
  const project = await readProject(options.folder, { version: options.version });
  const { description } = project;
  const { inspectable = false } = options;
  refuseSecondManifest(project);
  const handlerName = formatHandlerName(description.publisher, description.type);
  const { version } = description;
  const file = resolve(options.out ?? join(project.folder, 'dist', `${handlerName}-${version}.zip`));
  const architectures = [...new Set(options.architectures ?? description.architectures)].sort().reverse();
  const runtime = inspectable ? 'node' : (options.runtime ?? description.runtime);
  const folder = options.dryRun === true ? tmpdir() : dirname(file);
  if (options.dryRun !== true) await makeOutputFolder(folder);
  return await withWorkFolder(folder, async (work) => {
    const runtimeDeps = { ...deps, folder: project.folder };
    const bun = await fetchRuntime(BUN_RUNTIMES[hostArchitecture()], runtimeDeps);
    const build = { project, architectures, bun, work };
    const programs = await (runtime === 'node'
      ? bundlePrograms(build, inspectable, runtimeDeps)
      : compilePrograms(build, runtimeDeps));
    deps.progress(`${options.dryRun === true ? 'Measuring' : 'Writing'} ${basename(file)}`);
    const entries = await collectEntries(project, programs, runtimeDeps);
    const target = options.dryRun === true ? join(work, basename(file)) : file;
    const warnings: string[] = [];
    const written = await writeZip(entries, target, {
      deflate: options.uncompressed === true ? undefined : createDeflate(bun, deps),
      inspect: async (zip) => {
        warnings.push(...((await deps.inspect?.(zip, file)) ?? []));
      },
    });
    return {
      file,
      written: options.dryRun !== true,
      sizeBytes: written.sizeBytes,
      sha256: written.sha256,
      handlerName,
      version,
      runtime,
      architectures,
      entries: written.entries,
      inputs: programs.inputs,
      warnings: [...warnings, ...(programs.holdsBuildPath ? [BUILD_PATH_WARNING] : [])],
    };
  });
}

const BUILD_PATH_WARNING =
  'The program holds the path of this folder (a module uses import.meta.url, __dirname or __filename): on the VM that path does not exist, and another folder gives another package.';

/** Before anything is fetched: the folder of the project may be one that only others write. */
async function makeOutputFolder(folder: string): Promise<void> {
  try {
    makeFolders(folder);
    await access(folder, constants.W_OK);
  } catch (thrown) {
    const { code, message, file = folder } = toToolError(thrown);
    const hint = 'Write the zip to another place with --out FILE.';
    throw new ToolError(code, message, { file, hint, cause: thrown });
  }
}

/** The agent takes the first manifest that it finds anywhere in the package. Source: agent-contract 1.3. */
function refuseSecondManifest(project: Project): void {
  const second = project.files.find(
    ({ name }) => basename(name).toLowerCase() === HANDLER_MANIFEST_FILE.toLowerCase(),
  );
  if (second === undefined) return;
  throw new ToolError('PACKAGE_NAME_REFUSED', `"files" names ${second.name}, but the package has its own.`, {
    file: second.path,
    hint: `Take it out of "files": the agent would take the wrong ${HANDLER_MANIFEST_FILE}.`,
  });
}
