/**
 * Watches the processes that the author's code starts in enable: the journal names their groups, and they carry the mark
 * of their run, so that none goes on unseen after a crash, and none outlives a run that was ended.
 */
import { markEnvironment } from './child-mark.ts';
import { signalGroup } from './exec.ts';
import type { Host } from './host.ts';
import { withLock } from './lock.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { identifyProcess } from './process-identity.ts';
import type { RunStore } from './run-store.ts';

export interface ChildTracker {
  /** The host for the author's code. */
  readonly host: Host;
  /** Kills the groups of all commands that still run. */
  kill(): void;
}

export interface ChildTrackerInput {
  readonly host: Host;
  readonly store: RunStore;
  readonly sequence: number;
  /** Folder of the lock under which the journal is written. */
  readonly lockFolder: string;
  /** A command that runs when it is aborted is ended in order; one that starts later, to clean up, is not. */
  readonly signal: AbortSignal;
}

export function trackChildren(input: ChildTrackerInput): ChildTracker {
  const { host, store, sequence, lockFolder, signal } = input;
  const worker = identifyProcess(host, process.pid);
  const running = new Map<number, ProcessIdentity>();
  let commands = 0;
  let noted = 0;
  const write = (): void => {
    const journal = store.readJournal();
    if (journal?.sequence !== sequence || journal.state !== 'running') return;
    store.writeJournal({ ...journal, children: [...running.values()], noted }, { durable: false });
  };
  const note = (): void => {
    // Without the note only the end of an orphan is lost, so a full disk does not fail the command.
    withLock(host, lockFolder, write).catch(() => undefined);
  };
  const exec: Host['exec'] = async (argv, options = {}) => {
    const signals = [...(signal.aborted ? [] : [signal]), ...(options.signal ? [options.signal] : [])];
    let started: number | undefined;
    const number = ++commands;
    const env = options.env ?? host.env;
    try {
      return await host.exec(argv, {
        ...options,
        ...(worker && { env: markEnvironment(env, worker, number) }),
        signal: AbortSignal.any(signals),
        onStart: (pid) => {
          started = pid;
          const identity = identifyProcess(host, pid);
          if (identity !== undefined) {
            running.set(pid, identity);
            noted = Math.max(noted, number);
            note();
          }
          options.onStart?.(pid);
        },
      });
    } finally {
      if (started !== undefined) running.delete(started);
    }
  };
  return {
    host: { ...host, exec },
    kill: () => {
      for (const pid of running.keys()) signalGroup(pid, 'SIGKILL');
    },
  };
}
