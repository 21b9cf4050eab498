/**
 * Takes extensions off a local VM: the goal state asks for it, the agent brings it about, and then they are forgotten. What was
 * cut off in the middle is remembered, and goes on with the next goal state, as on Azure. Call these under the VM's lock.
 */
import { findInstalled } from '../agent/handler-store.ts';
import { interruptedError, ToolError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { firstLine } from '../ui.ts';
import { checkRemoval } from './dependency-levels.ts';
import { collectVmEvents } from './event-log.ts';
import type { LocalVm } from './local-vm.ts';
import { reportOf } from './local-vm.ts';
import type { StoredExtension, VmStore } from './store.ts';
import { formatGoalState, handlerNameOf, isLeaving, markLeaving, writeStore } from './store.ts';

/**
 * Has the agent uninstall an extension, and takes it out of the goal state; those whose deletion was cut off go with it. Throws
 * `DELETE_FAILED` when the agent gave up because `disable` failed; the extension then stays. Throws `DEPENDENCY_IN_USE`
 * when others wait for it, `INTERRUPTED` when the command is given up: then the deletion goes on with the next command.
 */
export async function removeExtension(
  vm: LocalVm,
  store: VmStore,
  { name }: StoredExtension,
  context: CommandContext,
): Promise<VmStore> {
  checkRemoval(
    name,
    store.extensions.filter((one) => one.name === name || !isLeaving(one)),
  );
  return await advance(vm, markLeaving(store, [name]), name, context);
}

/** Goes on with deletions that were cut off; does nothing when there are none. Errors as {@link removeExtension}. */
export async function finishRemovals(vm: LocalVm, store: VmStore, context: CommandContext): Promise<VmStore> {
  const names = store.extensions.filter(isLeaving).map((extension) => extension.name);
  if (names.length === 0) return store;
  context.ui.progress(`Going on with the deletion of ${names.join(', ')}, which was cut off.`);
  return await advance(vm, store, names.join(', '), context);
}

/**
 * Has the agent uninstall extensions that come back at once, from another build. The store does not say that they leave:
 * should this be cut off, they are to stay. Throws `DELETE_FAILED`.
 */
export async function uninstallBuild(
  vm: LocalVm,
  store: VmStore,
  extensions: readonly StoredExtension[],
  context: CommandContext,
): Promise<VmStore> {
  const current = { ...store, incarnation: store.incarnation + 1 };
  writeStore(vm.folder, current);
  const names = extensions.map((extension) => extension.name);
  return await bringAbout(vm, markLeaving(current, names), context);
}

/**
 * Has the agent process the goal state as it is, and forgets what has left the VM by then. Gives the store as it is afterwards.
 * Throws `DELETE_FAILED`.
 */
export async function bringAbout(vm: LocalVm, store: VmStore, context: CommandContext): Promise<VmStore> {
  const goalState = formatGoalState(vm.folder, store);
  await vm.agent.processGoalState(goalState, context.signal);
  await collectVmEvents(vm, context);
  const leaving = store.extensions.filter(isLeaving);
  if (leaving.length === 0) return store;
  const reports = await vm.hastyAgent.report(goalState);
  const gone = new Set<string>();
  const failures: ToolError[] = [];
  let isStale = false;
  for (const extension of leaving) {
    const left = reportOf(reports, extension);
    // What is reported then is a version whose update or installation failed before; it goes with the goal state.
    const isGone =
      left === undefined || (await findInstalled(vm.machine, handlerNameOf(extension))) === undefined;
    if (isGone) gone.add(extension.name);
    else failures.push(deleteFailed(extension, left.message));
    isStale ||= isGone && left !== undefined;
  }
  const stays = store.extensions.filter((one) => !gone.has(one.name));
  const next: VmStore = {
    ...store,
    incarnation: store.incarnation + (isStale ? 1 : 0),
    // Azure gives up on a deletion that has failed, and so does the store.
    extensions: stays.map(({ leaving: _, ...one }) => one),
  };
  writeStore(vm.folder, next);
  const [failure] = failures;
  if (failure !== undefined) throw failure;
  if (isStale) await vm.agent.processGoalState(formatGoalState(vm.folder, next), context.signal);
  return next;
}

/** Stores the next goal state, and has the agent bring it about. */
async function advance(
  vm: LocalVm,
  store: VmStore,
  names: string,
  context: CommandContext,
): Promise<VmStore> {
  const current = { ...store, incarnation: store.incarnation + 1 };
  writeStore(vm.folder, current);
  try {
    return await bringAbout(vm, current, context);
  } catch (thrown) {
    if (!context.signal.aborted) throw thrown;
    throw interruptedError(
      `The deletion of ${names} goes on with the next handlerkit vm reboot, vm set or vm delete.`,
    );
  }
}

function deleteFailed({ name }: StoredExtension, message: string | null): ToolError {
  return new ToolError('DELETE_FAILED', `The agent could not remove "${name}": ${firstLine(message)}`, {
    hint: `Look into the logs: handlerkit vm logs ${name}. To start anew: handlerkit vm reset.`,
  });
}
