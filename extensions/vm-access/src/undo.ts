/**
 * How the changes of a run are taken back when a later one fails: the last first. What must not be lost until all has
 * succeeded (the home of a removed user) is deleted only then.
 */
import type { Logger } from '@handlerkit/sdk';

/** Collects what takes back the changes of a run. */
export interface Undo {
  /** Says, before a change is made, how it is taken back. `what` is for people: `sudo rights of alice`. */
  add(what: string, action: () => Promise<void>): void;
  /** Something to do when all steps have succeeded, such as deleting what was moved aside. A failure is only a warning. */
  afterSuccess(what: string, action: () => Promise<void>): void;
}

/** The collection, for who runs the steps. */
export interface UndoList extends Undo {
  /** Takes everything back, the last change first, whatever fails on the way. Gives what could not be taken back. */
  rollBack(): Promise<readonly string[]>;
  /** Does what waits for success, in order. Gives what could not be done. */
  finish(): Promise<readonly string[]>;
}

/** An empty collection. Each of its ends runs every action once, whatever the others do. */
export function createUndoList(log: Logger): UndoList {
  const changes: Entry[] = [];
  const ends: Entry[] = [];
  const runAll = async (entries: readonly Entry[], failure: string): Promise<readonly string[]> => {
    const failed: string[] = [];
    for (const { what, action } of entries) {
      try {
        await action();
      } catch (thrown) {
        log.error(failure, { what, reason: thrown instanceof Error ? thrown.message : String(thrown) });
        failed.push(what);
      }
    }
    return failed;
  };
  return {
    add: (what, action) => changes.push({ what, action }),
    afterSuccess: (what, action) => ends.push({ what, action }),
    rollBack: () => runAll(changes.splice(0).toReversed(), 'a change could not be taken back'),
    finish: () => runAll(ends.splice(0), 'something could not be cleared away'),
  };
}

interface Entry {
  readonly what: string;
  readonly action: () => Promise<void>;
}
