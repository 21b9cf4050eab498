/**
 * `handlerkit vm reboot`: what a restart of the VM does to its extensions. Everything that runs in the VM is killed, `/run` is
 * emptied, the boot id is another one; then the agent starts and processes the goal state again, so that every enabled
 * extension gets `enable` with the sequence number that it has. A deletion that was cut off goes on.
 * Source: agent-contract 7.1.
 */
import { join } from 'node:path';
import { interruptedError, ToolError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { firstLine } from '../ui.ts';
import { lockFile } from '../vm/file-lock.ts';
import { formatInstanceView, provisioningState } from '../vm/instance-view.ts';
import type { LocalVm, ViewedExtension } from '../vm/local-vm.ts';
import { requireVm, sayExplanations, viewExtensions, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import { rebootMachine } from '../vm/machine.ts';
import { bringAbout } from '../vm/remove-extension.ts';
import { readStore, STORE_LOCK_FILE } from '../vm/store.ts';
import { findTool } from '../vm/system-tools.ts';

export interface VmRebootOptions {
  readonly folder: string;
  /** False: do not wait until every extension has finished. */
  readonly wait: boolean;
}

/**
 * Reboots the VM and prints its instance view. Throws `NOT_FOUND` without a VM, `EXTENSION_FAILED` when an extension has failed
 * afterwards, `DELETE_FAILED` when a deletion went on and failed.
 */
export async function vmReboot(options: VmRebootOptions, context: CommandContext): Promise<void> {
  const { deps, ui } = context;
  const folder = vmFolder(options.folder, context);
  requireVm(folder);
  const searchPath = deps.env.PATH ?? '';
  const lock = await lockFile(join(folder, STORE_LOCK_FILE), 'exclusive', findTool('flock', searchPath));
  try {
    await rebootMachine(folder, { uid: deps.uid, searchPath });
    ui.progress('The VM has been rebooted.');
    await withLocalVm({ folder: options.folder }, context, async (vm) => {
      if (vm.machine.kind === 'relocated') ui.warning(RELOCATED);
      await startAgent(vm, context);
      lock.release();
      const views = options.wait
        ? await waitForAll(vm, context)
        : await viewExtensions(vm, readStore(vm.folder));
      sayExplanations(views, context);
      const shown = views.map(formatInstanceView);
      ui.json(shown);
      ui.result(JSON.stringify(shown, null, 2));
      refuseFailures(views);
    });
  } finally {
    lock.release();
  }
}

const RELOCATED =
  "Only this VM's processes were ended: it shares boot id, /run and memory with this machine, so handlers see no other boot.";

/** Milliseconds between two looks at the report. */
const POLL_MS = 150;

async function startAgent(vm: LocalVm, context: CommandContext): Promise<void> {
  try {
    await vm.agent.start();
    await bringAbout(vm, readStore(vm.folder), context);
  } catch (thrown) {
    if (!context.signal.aborted) throw thrown;
    throw interruptedError('The agent had not enabled every extension. To go on: handlerkit vm reboot');
  }
}

/** Looks at the report until every extension has succeeded or failed. */
async function waitForAll(vm: LocalVm, context: CommandContext): Promise<readonly ViewedExtension[]> {
  let said: string | undefined;
  for (;;) {
    const views = await viewExtensions(vm, readStore(vm.folder));
    const waiting = views.filter((view) => provisioningState(view.report) === 'Updating');
    if (waiting.length === 0) return views;
    const text = `  Waiting for ${waiting.map((view) => view.name).join(', ')}`;
    if (text !== said) context.ui.progress(text);
    said = text;
    await context.deps.sleep(POLL_MS, context.signal);
  }
}

function refuseFailures(views: readonly ViewedExtension[]): void {
  const failed = views.find((view) => provisioningState(view.report) === 'Failed');
  if (failed === undefined) return;
  const message = firstLine(formatInstanceView(failed).statuses[0]?.message);
  throw new ToolError('EXTENSION_FAILED', `After the reboot "${failed.name}" has failed: ${message}`, {
    hint: `Look into its logs: handlerkit vm logs ${failed.name}`,
  });
}
