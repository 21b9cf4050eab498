/**
 * `Host` is the only way from the SDK and from an extension to the machine: folders, environment, time, child
 * processes and HTTP. A test gives another one, and nothing else has to change.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecOptions, ExecResult } from './exec.ts';
import { execCommand } from './exec.ts';
import { createFetch } from './host-fetch.ts';

/** The machine, as the SDK and an extension's code see it. {@link createHost} gives the real one. */
export interface Host {
  /** `/` on a VM; a temporary folder in tests. */
  readonly root: string;
  /** Environment variables of this process. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Wall-clock time, for timestamps only. */
  now(): Date;
  /** Milliseconds of a clock that never jumps, for durations and limits. */
  elapsedMs(): number;
  /** Waits, 24 days at most; rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Runs a program to its end. See {@link ExecOptions}. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** HTTP. Goes through the proxy that the environment names, on Node as on bun; never for link-local or loopback. */
  fetch: typeof globalThis.fetch;
  /** Where an absolute path of the VM is found on this machine. Every path of the VM goes through it. */
  path(absolute: string): string;
}

/** What a timer can measure, 24 days: it would take more for nothing. */
const LONGEST_SLEEP_MS = 2 ** 31 - 1;

/** The machine that this process runs on. */
export function createHost(env: Readonly<Record<string, string | undefined>> = process.env): Host {
  return {
    root: '/',
    env,
    now: () => new Date(),
    elapsedMs: () => performance.now(),
    sleep: async (ms, signal) => {
      try {
        await delay(Math.min(Math.max(0, ms), LONGEST_SLEEP_MS), undefined, { ...(signal && { signal }) });
      } catch (thrown) {
        throw signal?.aborted === true ? signal.reason : thrown;
      }
    },
    exec: execCommand,
    fetch: createFetch(env),
    path: (absolute) => absolute,
  };
}
