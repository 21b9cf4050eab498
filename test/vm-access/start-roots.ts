/**
 * Starts making the root file systems that the tests of VM Access run in, beside all other tests: the first time on a machine it
 * takes a minute. Nobody waits here; who needs one does, in `roots.ts`.
 */
import { spawn } from 'node:child_process';
import { MAKE_ROOT, RELEASES } from './roots.ts';

export function setup(): () => void {
  const children = RELEASES.map((release) =>
    spawn('nice', ['bash', MAKE_ROOT, release], { detached: true, stdio: 'ignore' }),
  );
  for (const child of children) {
    // A machine without these programs says so where the root is needed.
    child.on('error', () => {});
    child.unref();
  }
  return () => {
    for (const { pid, exitCode, signalCode } of children) {
      if (pid === undefined || exitCode !== null || signalCode !== null) continue;
      try {
        process.kill(-pid, 'SIGTERM');
      } catch {
        // Ended by itself.
      }
    }
  };
}
