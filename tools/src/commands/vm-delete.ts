/** `handlerkit vm delete` and `vm reset`: takes one extension off the VM as the agent does, or the whole VM. */
import { rmdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { CommandContext } from '../tool-deps.ts';
import { requireExtension, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import { destroyMachine } from '../vm/machine.ts';
import { removeExtension } from '../vm/remove-extension.ts';
import { readStore } from '../vm/store.ts';

/** Runs disable and uninstall through the agent. Throws `NOT_FOUND`, or `DELETE_FAILED` when disable failed. */
export async function vmDelete(
  options: { readonly folder: string; readonly name: string },
  context: CommandContext,
): Promise<void> {
  requireExtension(readStore(vmFolder(options.folder, context)), options.name);
  await withLocalVm(options, context, (vm) =>
    vm.exclusively(async () => {
      const store = readStore(vm.folder);
      const extension = requireExtension(store, options.name);
      await removeExtension(vm, store, extension, context);
      context.ui.json({ deleted: extension.name });
      context.ui.result(`Deleted ${extension.name}.`);
    }),
  );
}

/** Ends the VM's processes and deletes its folder. No uninstall runs: the VM is gone with all that was in it. */
export async function vmReset(options: { readonly folder: string }, context: CommandContext): Promise<void> {
  const { deps, ui } = context;
  const folder = vmFolder(options.folder, context);
  await destroyMachine(folder, { uid: deps.uid, searchPath: deps.env.PATH ?? '' });
  removeDefaultParent(folder);
  ui.json({ reset: folder });
  ui.result(`The VM in ${folder} is gone.`);
}

/** The default folder lies in one of our own making; it goes too once it is empty. */
function removeDefaultParent(folder: string): void {
  const parent = dirname(folder);
  if (basename(parent) !== DEFAULT_PARENT) return;
  try {
    rmdirSync(parent);
  } catch {
    // It holds another VM or somebody else's files, or it was never there.
  }
}

const DEFAULT_PARENT = '.handlerkit';
