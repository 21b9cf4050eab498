/** Packs an extension's folder for the local VM: for this machine's architecture only, into the VM's own folder. */
import { join } from 'node:path';
import { packProject } from '../pack/pack.ts';
import { hostArchitecture } from '../pack/runtime.ts';
import { withWorkFolder } from '../pack/work-folder.ts';
import type { CommandContext } from '../tool-deps.ts';

/** Calls `use` with the zip of the extension in `project`; the zip is deleted afterwards. Throws what packing throws. */
export async function withPackedProject<T>(
  project: string,
  vmFolder: string,
  context: CommandContext,
  use: (zip: string) => Promise<T>,
): Promise<T> {
  const { ui, deps, signal } = context;
  return await withWorkFolder(vmFolder, async (folder) => {
    const packed = await packProject(
      { folder: project, out: join(folder, 'package.zip'), architectures: [hostArchitecture()] },
      { progress: ui.progress, env: deps.env, signal },
    );
    for (const warning of packed.warnings) ui.warning(warning);
    return await use(packed.file);
  });
}
