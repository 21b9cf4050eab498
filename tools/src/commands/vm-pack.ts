/**
 * Packs an extension's folder for the local VM: for this machine's architecture only, into the VM's own folder, and without
 * compression, which takes longer than all the rest.
 */
import { join } from 'node:path';
import type { PackResult } from '../pack/pack.ts';
import { packProject } from '../pack/pack.ts';
import { hostArchitecture } from '../pack/runtime.ts';
import { withWorkFolder } from '../pack/work-folder.ts';
import type { CommandContext } from '../tool-deps.ts';

export interface VmPackOptions {
  /** The extension's folder. */
  readonly project: string;
  readonly vmFolder: string;
  /** True: for a debugger. */
  readonly inspectable: boolean;
}

/** Calls `use` with the packed extension; its zip is deleted afterwards. Throws what packing throws. */
export async function withPackedProject<T>(
  { project, vmFolder, inspectable }: VmPackOptions,
  context: CommandContext,
  use: (packed: PackResult) => Promise<T>,
): Promise<T> {
  const { ui, deps, signal } = context;
  return await withWorkFolder(vmFolder, async (folder) => {
    const packed = await packProject(
      {
        folder: project,
        out: join(folder, 'package.zip'),
        architectures: [hostArchitecture()],
        inspectable,
        uncompressed: true,
      },
      { progress: ui.progress, env: deps.env, signal },
    );
    for (const warning of packed.warnings) ui.warning(warning);
    return await use(packed);
  });
}
