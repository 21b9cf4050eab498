/** Tells in the status, while a run works, what it is doing: at once when that changes, then every fifteen seconds. */
import type { Host, StatusReporter } from '@handlerkit/sdk';

/** Milliseconds between two reports of the same work. */
export const PROGRESS_INTERVAL_MS = 15_000;

export interface Progress {
  /** From now on the status says what `describe` gives; it gets the seconds since this call. */
  show(describe: (seconds: number) => string | Promise<string>): Promise<void>;
  /** Nothing is told any more. */
  end(): void;
}

/** Starts to tell. Secrets in the texts are hidden by the status; a text that cannot be made is left out. */
export function startProgress(host: Host, status: Pick<StatusReporter, 'transitioning'>): Progress {
  const done = new AbortController();
  let phase: AbortController | undefined;
  return {
    show: async (describe) => {
      phase?.abort();
      const current = new AbortController();
      phase = current;
      const isOver = (): boolean => current.signal.aborted || done.signal.aborted;
      const started = host.elapsedMs();
      const tell = async (): Promise<void> => {
        const text = await describe(Math.round((host.elapsedMs() - started) / 1000));
        if (!isOver()) await status.transitioning(text);
      };
      await tell();
      const signal = AbortSignal.any([current.signal, done.signal]);
      const repeat = async (): Promise<void> => {
        while (!isOver()) {
          await host.sleep(PROGRESS_INTERVAL_MS, signal);
          // What cannot be told now may be told the next time; the work goes on.
          await tell().catch(() => undefined);
        }
      };
      repeat().catch(() => undefined);
    },
    end: () => done.abort(),
  };
}
