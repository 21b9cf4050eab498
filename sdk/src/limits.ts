/**
 * The limits around the author's code: its signal is aborted from outside or by the time limit; then the code has a
 * grace time to clean up and report, after which the operation ends without it.
 */
import { HandlerError, toHandlerError } from './errors.ts';
import type { Host } from './host.ts';

/** Milliseconds that the author's code has, after its signal was aborted, to clean up and report. */
export const ABORT_GRACE_MS = 10_000;

export interface LimitsInput {
  readonly host: Host;
  /** Aborted when the operation is to end before its time; also by an error that nobody caught. */
  readonly outside: AbortSignal;
  readonly seconds: number;
  /** Says why the operation was ended from outside. */
  explain(reason: unknown): HandlerError;
}

export interface Limits {
  readonly signal: AbortSignal;
  /**
   * Runs the author's code and gives its result, also when it finished its work after an abort. Throws the reason of the
   * abort once the code has ended or its grace is over, and the error of stray code in any case.
   */
  guard<T>(author: () => Promise<T>): Promise<T>;
  /** True when the signal was aborted because the operation is to end, and not by an error of stray code. */
  wasEndedInOrder(): boolean;
  /** Stops the clock: from now on only the outside ends the author's code. */
  lift(): void;
  release(): void;
}

/** Ends a run in order: work that was finished all the same is a result. Any other reason is an error of the code. */
const ORDERLY: ReadonlySet<string> = new Set(['INTERRUPTED', 'TIMED_OUT', 'SUPERSEDED']);

/** Starts the clock. Call {@link Limits.release} at the end. */
export function createLimits({ host, outside, seconds, explain }: LimitsInput): Limits {
  const controller = new AbortController();
  const done = new AbortController();
  const clock = new AbortController();
  const after = (ms: number, end: AbortSignal, act: () => void): void => {
    host.sleep(ms, end).then(act, () => undefined);
  };
  const abandoned = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () =>
      after(ABORT_GRACE_MS, done.signal, () => reject(controller.signal.reason)),
    );
  });
  const onOutside = (): void => controller.abort(explain(outside.reason));
  if (outside.aborted) onOutside();
  else outside.addEventListener('abort', onOutside, { once: true });
  after(seconds * 1000, clock.signal, () => {
    const text = `the time limit of ${formatLimit(seconds)} was reached`;
    controller.abort(new HandlerError('TIMED_OUT', text));
  });
  return {
    signal: controller.signal,
    guard: async (author) => {
      // An operation that was ended before it began does not begin.
      controller.signal.throwIfAborted();
      try {
        const result = await Promise.race([author(), abandoned]);
        if (controller.signal.aborted && !isOrderly(controller.signal.reason)) throw controller.signal.reason;
        return result;
      } catch (thrown) {
        if (!controller.signal.aborted) throw thrown;
        const reason = toHandlerError(controller.signal.reason, 'INTERNAL');
        // The author's code may say more about the same end, such as the output so far.
        throw thrown instanceof HandlerError && thrown.code === reason.code ? thrown : reason;
      }
    },
    wasEndedInOrder: () => controller.signal.aborted && isOrderly(controller.signal.reason),
    lift: () => clock.abort(),
    release: () => {
      clock.abort();
      done.abort();
      outside.removeEventListener('abort', onOutside);
    },
  };
}

function isOrderly(reason: unknown): boolean {
  return reason instanceof HandlerError && ORDERLY.has(reason.code);
}

function formatLimit(seconds: number): string {
  const [count, unit] = seconds % 60 === 0 ? [seconds / 60, 'minute'] : [seconds, 'second'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}
