/**
 * A program that has the streams of the tool, as a shell that the user works in. On a terminal it stays in the tool's session,
 * so that job control and Ctrl-C are its own; else it has a session of its own, and ends with the tool.
 * Source: setpriv(1) `--pdeathsig`, setsid(2), tcsetpgrp(3).
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { withServiceUmask } from './agent-command.ts';
import { isGroupAlive } from './linux-process.ts';

export interface AttachedCommand {
  readonly argv: readonly [string, ...string[]];
  /** Folder, as the VM sees it. */
  readonly cwd: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** True: stdin is a terminal that the program is to have. */
  readonly onTerminal: boolean;
  /** True: what the program prints goes into the result, not to the tool's streams. */
  readonly captured: boolean;
  /** Kills the program; not looked at on a terminal, where Ctrl-C is the program's. */
  readonly signal: AbortSignal;
}

export interface AttachedResult {
  /** 128+n when signal n ended the program; 126 or 127 when it could not be started, as in a shell. */
  readonly exitCode: number;
  /** Empty unless captured. */
  readonly stdout: string;
  readonly stderr: string;
}

export interface AttachedLaunch {
  readonly argv: readonly [string, ...string[]];
  /** Folder on this machine. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly killGroups: (pid: number) => readonly number[];
}

/** Runs the program to its end. Rejects with the system's error when the launching program is missing. */
export async function runAttached(launch: AttachedLaunch, command: AttachedCommand): Promise<AttachedResult> {
  const [program, ...args] = launch.argv;
  const output = command.captured ? 'pipe' : 'inherit';
  const child = withServiceUmask(() =>
    spawn(program, args, {
      cwd: launch.cwd,
      env: launch.env,
      detached: !command.onTerminal,
      stdio: ['inherit', output, output],
    }),
  );
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
  });
  let killed: readonly number[] = [];
  const end = (): void => {
    if (child.pid !== undefined) killed = launch.killGroups(child.pid);
  };
  if (!command.onTerminal) {
    command.signal.addEventListener('abort', end, { once: true });
    if (command.signal.aborted) end();
  }
  try {
    const [exitCode, stdout, stderr] = await Promise.all([ended, read(child.stdout), read(child.stderr)]);
    const until = performance.now() + GONE_PATIENCE_MS;
    while (killed.some(isGroupAlive) && performance.now() < until) await delay(2);
    return { exitCode, stdout, stderr };
  } finally {
    command.signal.removeEventListener('abort', end);
  }
}

const GONE_PATIENCE_MS = 1000;

function read(stream: Readable | null): Promise<string> {
  return stream === null ? Promise.resolve('') : text(stream);
}
