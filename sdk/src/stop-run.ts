/**
 * Ends a run of another process in order: the worker gets SIGTERM and reports, and what does not end in time gets
 * SIGKILL. The caller has written the reason into the journal before, and ends afterwards what the worker left behind.
 */
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
  const kill = (signal: NodeJS.Signals): void => {
    try {
      if (isRunning(host, worker)) process.kill(worker.pid, signal);
    } catch {
      // Ended between the look and the signal.
    }
  };
  kill('SIGTERM');
  // A stopped process hears of SIGTERM only when it goes on.
  kill('SIGCONT');
  for (let waited = 0; waited < STOP_GRACE_MS && isRunning(host, worker); waited += POLL_MS)
    await host.sleep(POLL_MS);
  kill('SIGKILL');
  for (let waited = 0; waited < 1_000 && isRunning(host, worker); waited += POLL_MS)
    await host.sleep(POLL_MS);
}

/** Kills the process groups that a dead worker left behind, so that no half of a run goes on unseen. */
export function killChildren(host: Host, journal: Journal): void {
  for (const child of journal.children) if (isRunning(host, child)) signalGroup(child.pid, 'SIGKILL');
}
