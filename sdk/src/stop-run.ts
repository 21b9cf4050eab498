/**
 * Ends a run of another process in order: the worker gets SIGTERM and reports, and what does not end in time gets
 * SIGKILL. The caller has written the reason into the journal before, and ends afterwards what the worker left behind.
 */
import { findMarkedProcesses } from './child-mark.ts';
import { signalGroup } from './exec.ts';
import type { Host } from './host.ts';
import type { Journal } from './journal.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { isRunning } from './process-identity.ts';

/** Milliseconds that a worker has to end its children and report. */
export const STOP_GRACE_MS = 15_000;
const POLL_MS = 50;

/** Asks a worker to end and waits for it; SIGKILL after {@link STOP_GRACE_MS}. Ended already is no error. */
export async function stopWorker(host: Host, worker: ProcessIdentity): Promise<void> {
  const send = (signal: NodeJS.Signals): void => {
    try {
      if (isRunning(host, worker)) process.kill(worker.pid, signal);
    } catch {
      // Ended between the look and the signal.
    }
  };
  send('SIGTERM');
  // A stopped process hears of SIGTERM only when it goes on.
  send('SIGCONT');
  for (let waited = 0; waited < STOP_GRACE_MS && isRunning(host, worker); waited += POLL_MS)
    await host.sleep(POLL_MS);
  send('SIGKILL');
  for (let waited = 0; waited < 1_000 && isRunning(host, worker); waited += POLL_MS)
    await host.sleep(POLL_MS);
}

/**
 * Kills what a dead worker left behind, so that no half of a run goes on unseen: the process groups that it wrote down,
 * what is left of them without their leader, and the command that it started when it had no time left to write that down.
 * What a command has put into a session of its own, as a daemon is, lives on.
 */
export function killChildren(host: Host, journal: Journal): void {
  const { children, noted = 0, process: worker } = journal;
  for (const child of children) if (isRunning(host, child)) signalGroup(child.pid, 'SIGKILL');
  const sessions = new Set(children.map(({ pid }) => pid));
  const seen = new Set<number>();
  const killed = new Set<number>();
  // Looked for again, as one may have started another before it ended.
  for (let hasFound = true; hasFound; ) {
    hasFound = false;
    for (const { pid, session, number } of findMarkedProcesses(host, worker)) {
      // The oldest of a command that was not noted is that command.
      if (number > noted && !seen.has(number)) sessions.add(session);
      seen.add(number);
      if (killed.has(pid) || !sessions.has(session)) continue;
      killed.add(pid);
      kill(pid);
      hasFound = true;
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
