/** The programs of a package: what its launcher starts, for each architecture. */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Architecture, Runtime } from '@handlerkit/sdk';
import type { Project } from '../project.ts';
import { type Bundle, compileBundle } from './bundle.ts';
import { bundleForNode } from './node-bundle.ts';
import { BUN_RUNTIMES, NODE_RUNTIMES } from './pinned-runtimes.ts';
import type { RuntimeDeps } from './runtime.ts';
import { fetchRuntime } from './runtime.ts';

export interface ProgramBuild {
  readonly project: Project;
  readonly architectures: readonly Architecture[];
  readonly bun: string;
  /** Folder for all that is made. */
  readonly work: string;
}

/** What the launcher starts. */
export interface Programs {
  readonly runtime: Runtime;
  readonly inspectable: boolean;
  readonly executables: ReadonlyMap<Architecture, string>;
  /** What the executables run, when that is not in them. */
  readonly script?: string;
  readonly inputs: readonly string[];
  readonly holdsBuildPath: boolean;
}

/** One executable for each architecture, with all in it. Throws what fetching and compiling throw. */
export async function compilePrograms(
  { project, architectures, bun, work }: ProgramBuild,
  deps: RuntimeDeps,
): Promise<Programs> {
  const bundles = new Map<Architecture, Bundle>();
  for (const architecture of architectures) {
    const runtime = await fetchRuntime(BUN_RUNTIMES[architecture], deps);
    deps.progress(`Compiling ${project.description.entry} for ${architecture}`);
    const workFolder = await mkdtemp(join(work, `${architecture}-`));
    const bundle = { entry: project.entry, architecture, bun, runtime, workFolder };
    bundles.set(architecture, await compileBundle(bundle, deps));
  }
  const all = [...bundles.values()];
  return {
    runtime: 'bun',
    inspectable: false,
    executables: new Map([...bundles].map(([architecture, { executable }]) => [architecture, executable])),
    inputs: [...new Set(all.flatMap((bundle) => bundle.inputs))].sort(),
    holdsBuildPath: all.some((bundle) => bundle.holdsBuildPath),
  };
}

/** Node for each architecture, and one script. Throws what fetching and bundling throw. */
export async function bundlePrograms(
  { project, architectures, bun, work }: ProgramBuild,
  inspectable: boolean,
  deps: RuntimeDeps,
): Promise<Programs> {
  const executables = new Map<Architecture, string>();
  for (const architecture of architectures) {
    executables.set(architecture, await fetchRuntime(NODE_RUNTIMES[architecture], deps));
  }
  const { entry } = project;
  deps.progress(`Bundling ${project.description.entry} for ${inspectable ? 'the debugger' : 'Node'}`);
  const workFolder = await mkdtemp(join(work, 'node-'));
  const { script, inputs, holdsBuildPath } = await bundleForNode(
    { entry, bun, workFolder, inspectable },
    deps,
  );
  return { runtime: 'node', inspectable, executables, script, inputs, holdsBuildPath };
}
