/**
 * One command line, run as the agent runs it: a shell in a session and process group of its own, output to files,
 * SIGKILL to the group when the time is over, and only the shell itself is waited for.
 * Source: agent-contract 6.1 (EH:launch_command, CGC:start_extension_command), 6.4 (EPU:wait_for_process_completion_or_timeout).
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { isGroupAlive } from './linux-process.ts';

export interface CommandOptions {
  /** Folder, as the VM sees it. */
  readonly cwd: string;
  /** The whole environment; nothing of the tool's own is added. */
  readonly env: Readonly<Record<string, string>>;
  /** Paths on this machine (see `hostPath`). Made or emptied; both may be the same file. */
  readonly stdoutFile: string;
  readonly stderrFile: string;
  readonly timeoutMs: number;
  /** Ends the command as the time limit does, but `timedOut` stays false. */
  readonly signal?: AbortSignal;
}

export interface CommandResult {
  /** 128+n when signal n ended the shell; null when it never ran or its time was over. */
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  /** Why the shell could not be started. */
  readonly launchError?: string;
  readonly durationMs: number;
}

export interface Launch {
  readonly argv: readonly [string, ...string[]];
  /** Folder on this machine in which `argv` starts. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** SIGKILL to the command's process groups; gets the number of the process that `argv` became and returns the groups. */
  readonly killGroups: (pid: number) => readonly number[];
}

const GONE_PATIENCE_MS = 1000;

/** Calls `start` with the mask of a service, which what it spawns inherits, whatever the user's shell has. */
export function withServiceUmask<T>(start: () => T): T {
  const own = process.umask(0o022);
  try {
    return start();
  } finally {
    process.umask(own);
  }
}

/** Runs one command. Never rejects. */
export function runCommand(launch: Launch, options: CommandOptions): Promise<CommandResult> {
  const [program, ...args] = launch.argv;
  const begin = performance.now();
  const durationMs = () => Math.round(performance.now() - begin);
  const out = openSync(options.stdoutFile, 'w', 0o600);
  const err = options.stderrFile === options.stdoutFile ? out : openSync(options.stderrFile, 'w', 0o600);
  return new Promise((resolve) => {
    const child = withServiceUmask(() =>
      spawn(program, args, { cwd: launch.cwd, env: launch.env, detached: true, stdio: ['ignore', out, err] }),
    );
    let timedOut = false;
    let killed: readonly number[] = [];
    const end = () => {
      if (child.pid !== undefined) killed = launch.killGroups(child.pid);
    };
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, options.timeoutMs);
    const finish = async (result: Pick<CommandResult, 'exitCode' | 'launchError'>) => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', end);
      await gone(killed);
      resolve({ ...result, timedOut, durationMs: durationMs() });
    };
    // Only 'exit' counts: a grandchild that lives on must not hold the answer back.
    child.once('exit', (code, signal) => finish({ exitCode: timedOut ? null : exitCode(code, signal) }));
    child.once('error', (error) => finish({ exitCode: null, launchError: error.message }));
    options.signal?.addEventListener('abort', end, { once: true });
    if (options.signal?.aborted) end();
    closeSync(out);
    if (err !== out) closeSync(err);
  });
}

/** The group's last processes die a moment after the shell. One that hangs in the kernel is not waited for long. */
async function gone(groups: readonly number[]): Promise<void> {
  const until = performance.now() + GONE_PATIENCE_MS;
  while (groups.some(isGroupAlive) && performance.now() < until) await delay(2);
}

function exitCode(code: number | null, signal: NodeJS.Signals | null): number | null {
  if (signal === null) return code;
  return 128 + constants.signals[signal];
}
