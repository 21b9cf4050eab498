/**
 * Standard output whose failure (a full disk, a reader that has gone) is told to the program instead of ending it with a
 * stack. A failure may be found out after the write, so it is watched until the program ends.
 */
import type { Output } from './ui.ts';

export interface WatchedOutput {
  readonly stdout: Output;
  /** Calls `listener` with the system's error of the first write that fails. Watches from then on. */
  onFailure(listener: (thrown: unknown) => void): void;
  /** Waits until all is written. Rejects with the error of the first write that failed. */
  flush(): Promise<void>;
}

/** Watches the streams once there is a listener. Of `stderr` nothing is told: it is where a failure would be told. */
export function watchOutput(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream): WatchedOutput {
  const failures: unknown[] = [];
  const listeners: ((thrown: unknown) => void)[] = [];
  const fail = (thrown: unknown): void => {
    failures.push(thrown);
    if (failures.length === 1) for (const listener of listeners) listener(thrown);
  };
  return {
    stdout: {
      get isTTY() {
        return stdout.isTTY;
      },
      get columns() {
        return stdout.columns;
      },
      write: (text) => {
        // Node tells of a failed write to a file by throwing, of one to a pipe by an event.
        try {
          stdout.write(text);
        } catch (thrown) {
          fail(thrown);
        }
      },
    },
    onFailure: (listener) => {
      listeners.push(listener);
      if (listeners.length > 1) return;
      stdout.on('error', fail);
      stderr.on('error', ignore);
    },
    flush: async () => {
      if (failures.length === 0) await written(stdout);
      if (failures.length > 0) throw failures[0];
    },
  };
}

function ignore(): void {
  // There is nowhere left to say it.
}

/** Resolves once what was written before has gone, or has failed and its event has been told. */
async function written(stream: NodeJS.WriteStream): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.write('', () => setImmediate(resolve));
  });
}
