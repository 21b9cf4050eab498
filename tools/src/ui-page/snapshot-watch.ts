/**
 * Looks at a VM again and again while somebody watches, and only when something can have changed: a VM that is asleep is left
 * asleep. It is woken once more after its work has ended, to see the end.
 */
import type { CommandContext } from '../tool-deps.ts';
import { livingKeeper } from '../vm/keeper.ts';
import { vmFolder } from '../vm/local-vm.ts';
import { findState, readKeeper, readMark } from '../vm/machine-state.ts';
import { readStore } from '../vm/store.ts';
import { createProtectedKeyReader } from './protected-keys.ts';
import type { Snapshot } from './vm-snapshot.ts';
import { takeSnapshot } from './vm-snapshot.ts';

export interface SnapshotWatch {
  /** Has the next round look, whatever it thinks of it. */
  refresh(): void;
  /** Waits for the end of the watch, which comes after the signal. */
  settled(): Promise<void>;
}

export interface WatchOptions {
  readonly folder: string;
  /** False: nobody would see it. */
  readonly isWatched: () => boolean;
  readonly onSnapshot: (snapshot: Snapshot) => void;
}

/** Watches until the context's signal. `context` is asked to say nothing: the page shows what is to be said. */
export function watchVm(
  { folder, isWatched, onSnapshot }: WatchOptions,
  context: CommandContext,
): SnapshotWatch {
  const { deps, signal } = context;
  const readKeys = createProtectedKeyReader();
  const path = vmFolder(folder, context);
  let seen: string | undefined;
  let wasAwake = false;
  const round = async (): Promise<void> => {
    const isAwake = isVmAwake(path);
    if (isAwake || wasAwake || seen === undefined || markOf(path) !== seen) {
      // What is changed meanwhile is seen in the next round.
      seen = '';
      const snapshot = await takeSnapshot(folder, readKeys, context);
      if (seen === '') seen = markOf(path);
      onSnapshot(snapshot);
    }
    wasAwake = isAwake;
  };
  const follow = async (): Promise<void> => {
    while (!signal.aborted) {
      if (isWatched()) await round();
      await deps.sleep(POLL_MS, signal);
    }
  };
  const ended = follow().catch((thrown: unknown) => {
    if (!signal.aborted) throw thrown;
  });
  return {
    refresh: () => {
      seen = undefined;
    },
    settled: () => ended,
  };
}

const POLL_MS = 500;
/** Files of a relocated VM change without a process of the VM's that could be known. */
function isVmAwake(folder: string): boolean {
  try {
    const state = findState(folder);
    if (state === undefined) return false;
    return readMark(state)?.kind === 'relocated' || livingKeeper(state) !== undefined;
  } catch {
    return false;
  }
}

/** Another text when another command has changed or started the VM. */
function markOf(folder: string): string {
  try {
    const state = findState(folder);
    if (state === undefined) return '';
    return JSON.stringify([readMark(state), readKeeper(state), readStore(folder)]);
  } catch {
    return 'damaged';
  }
}
