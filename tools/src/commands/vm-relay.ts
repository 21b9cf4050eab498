/** `handlerkit vm relay`, for this tool itself: a service in the network of a VM that leads connections to a port there. */
import type { CommandContext } from '../tool-deps.ts';
import { type RelayWords, serveRelay } from '../vm/port-relay.ts';

export interface VmRelayOptions {
  /** Folder on this machine for its socket; deleted at the end. */
  readonly folder: string;
  readonly port: number;
}

/** The words of the command line that start the service. */
export const relayWords: RelayWords = (folder, port) => ['vm', 'relay', folder, String(port)];

/** Runs until the tool that started it has ended, or the signal. */
export async function vmRelay({ folder, port }: VmRelayOptions, { signal }: CommandContext): Promise<void> {
  await serveRelay(folder, port, signal);
}
