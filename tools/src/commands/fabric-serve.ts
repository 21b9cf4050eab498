/** `handlerkit fabric serve`, the service itself: runs in the network of the VM, on Azure's addresses, until the VM ends. */
import { startFabric } from '../fabric/fabric.ts';
import { AZURE_ENDPOINTS } from '../fabric/fabric-addresses.ts';
import { createFileDeps } from '../fabric/fabric-files.ts';
import { createIdentity } from '../fabric/fabric-identity.ts';
import type { CommandContext } from '../tool-deps.ts';
import { awaitVmEnd } from '../vm/vm-process.ts';

export interface FabricServeOptions {
  /** Absolute path of the VM's folder. */
  readonly folder: string;
  readonly vmSettings: boolean;
}

/** Serves until the VM ends or the signal comes, which is no failure. Throws the system's error when the addresses are not to be had. */
export async function fabricServe(
  options: FabricServeOptions,
  { deps, signal }: CommandContext,
): Promise<void> {
  const { folder } = options;
  const fabric = await startFabric(
    {
      identity: createIdentity(folder),
      endpoints: AZURE_ENDPOINTS,
      vmSettings: options.vmSettings ? 'FastTrack' : undefined,
    },
    createFileDeps(folder, deps.now),
  );
  await awaitVmEnd(folder, signal);
  await fabric.close();
}
