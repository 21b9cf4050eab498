/** `handlerkit vm ui`: a page of the VM on loopback, until Ctrl-C. Opens no browser: the user opens the address that it prints. */
import { usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { servePage } from '../ui-page/page-server.ts';
import type { VmChoice } from '../vm/local-vm.ts';
import { vmFolder } from '../vm/local-vm.ts';
import { findState } from '../vm/machine-state.ts';

export interface VmUiOptions {
  /** What a VM is made of that the page makes, too. */
  readonly vm: VmChoice;
  /** As text; `undefined`: any free one. */
  readonly port: string | undefined;
}

/** Runs until the signal, which is the end and no failure; an action of the page is given up then. Throws `PORT_TAKEN`. */
export async function vmUi({ vm, port }: VmUiOptions, context: CommandContext): Promise<void> {
  const { ui, signal } = context;
  const folder = vmFolder(vm.folder, context);
  // A folder that is no VM should be known at once.
  findState(folder);
  const server = await servePage({ vm, port: parsePort(port) }, context);
  try {
    ui.progress(
      `The page of the VM in ${folder}. Open the address in a browser of this machine; it is good once.`,
    );
    ui.progress('Ctrl-C ends the page. What runs in the VM goes on.');
    ui.result(server.url);
    ui.json({ url: server.url });
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
  } finally {
    await server.close();
  }
}

const HIGHEST_PORT = 65_535;

function parsePort(text = '0'): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= HIGHEST_PORT) return port;
  throw usageError('--port must be a number from 0 to 65535.', 'For instance: --port 8080');
}
