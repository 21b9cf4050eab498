import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { HandlerError } from './errors.ts';
import type { Host } from './host.ts';
import { createHost } from './host.ts';
import type { Limits } from './limits.ts';
import { ABORT_GRACE_MS, createLimits } from './limits.ts';

/** A host on which a thousand milliseconds take two. */
const host: Host = { ...createHost(), sleep: (ms, signal) => createHost().sleep(ms / 500, signal) };
const opened: Limits[] = [];
afterEach(() => {
  for (const limits of opened.splice(0)) limits.release();
});

function open(seconds = 3_600): { limits: Limits; stop: (reason: unknown) => void } {
  const outside = new AbortController();
  const limits = createLimits({
    host,
    outside: outside.signal,
    seconds,
    explain: (reason) =>
      reason instanceof HandlerError ? reason : new HandlerError('INTERNAL', String(reason)),
  });
  opened.push(limits);
  return { limits, stop: (reason) => outside.abort(reason) };
}
const interrupted = new HandlerError('INTERRUPTED', 'ended by SIGTERM');
const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

describe('the limits around the author’s code', () => {
  it('give its result, and its own error', async () => {
    const { limits } = open();
    expect(await limits.guard(async () => 'result')).toBe('result');
    await expect(limits.guard(() => Promise.reject(new TypeError('own')))).rejects.toThrow('own');
  });

  it('say so when the time is over, in minutes where they are whole', async () => {
    for (const [seconds, text] of [
      [60, '1 minute'],
      [7, '7 seconds'],
    ] as const) {
      const { limits } = open(seconds);
      const run = limits.guard(() => untilAborted(limits.signal).then(() => limits.signal.throwIfAborted()));
      await expect(run).rejects.toMatchObject({
        code: 'TIMED_OUT',
        message: `the time limit of ${text} was reached`,
      });
    }
  });

  it('wait for code that ends in order, and take what it says of the same end', async () => {
    const { limits, stop } = open();
    const run = limits.guard(async () => {
      await untilAborted(limits.signal);
      throw new HandlerError('INTERRUPTED', 'ended by SIGTERM; its output so far was x');
    });
    stop(interrupted);
    await expect(run).rejects.toThrow('its output so far was x');
  });

  it('put the reason before an error that only follows from it', async () => {
    const { limits, stop } = open();
    const run = limits.guard(async () => {
      await untilAborted(limits.signal);
      throw new Error('socket hang up');
    });
    stop(interrupted);
    await expect(run).rejects.toBe(interrupted);
  });

  it('take work that was finished all the same for finished', async () => {
    const { limits, stop } = open();
    const run = limits.guard(async () => {
      await untilAborted(limits.signal);
      return 'finished';
    });
    stop(interrupted);
    expect(await run).toBe('finished');
  });

  it('do not take it so after an error that nobody caught', async () => {
    const { limits, stop } = open();
    const run = limits.guard(async () => {
      await untilAborted(limits.signal);
      return 'finished';
    });
    stop(new TypeError('stray'));
    await expect(run).rejects.toMatchObject({ code: 'INTERNAL', message: 'TypeError: stray' });
  });

  it('go on without code that does not listen, when its grace is over', async () => {
    const { limits, stop } = open();
    const since = performance.now();
    const run = limits.guard(() => new Promise<never>(() => undefined));
    stop(interrupted);
    await expect(run).rejects.toBe(interrupted);
    expect(performance.now() - since).toBeGreaterThanOrEqual(ABORT_GRACE_MS / 500 - 2);
  });

  it('begin nothing that was ended before', async () => {
    const outside = AbortSignal.abort(interrupted);
    const limits = createLimits({ host, outside, seconds: 60, explain: () => interrupted });
    let begun = false;
    const run = limits.guard(async () => {
      begun = true;
    });
    await expect(run).rejects.toBe(interrupted);
    expect([begun, limits.signal.aborted]).toEqual([false, true]);
    limits.release();
  });

  it('are no limits any more once they are released', async () => {
    const { limits, stop } = open(1);
    limits.release();
    stop(interrupted);
    await delay(10);
    expect(limits.signal.aborted).toBe(false);
  });
});
