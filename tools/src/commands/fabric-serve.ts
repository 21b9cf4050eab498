/** `handlerkit fabric serve`, the service itself: runs in the network of the VM, on Azure's addresses, until it is asked to end. */
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { startFabric } from '../fabric/fabric.ts';
import { AZURE_ENDPOINTS } from '../fabric/fabric-addresses.ts';
import { createFileDeps, FABRIC_FILES } from '../fabric/fabric-files.ts';
import { createIdentity } from '../fabric/fabric-identity.ts';
import type { CommandContext } from '../tool-deps.ts';

/** End of a line of the log: everything listens. */
export const FABRIC_READY = 'The fabric is ready.';

export interface FabricServeOptions {
  /** Absolute path of the VM's folder. */
  readonly folder: string;
  readonly vmSettings: boolean;
}

/** Serves until the signal, which is no failure. Throws the system's error when the addresses are not to be had. */
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
  const line = `${deps.now().toISOString()} ${FABRIC_READY}\n`;
  appendFileSync(join(folder, FABRIC_FILES.log), line, { mode: 0o600 });
  if (!signal.aborted) await once(signal, 'abort');
  await fabric.close();
}
