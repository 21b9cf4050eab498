/** What a command gets from the world: streams, environment, time, signals. A test gives others. */
import { extname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';
import type { ToolError } from './errors.ts';
import type { Terminal } from './scaffold/questions.ts';
import type { Output, Ui } from './ui.ts';
import { watchOutput } from './watched-output.ts';

export interface ToolDeps {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Where questions can be asked; `undefined` when nobody sits there. */
  readonly terminal: Terminal | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder that relative paths of the command line start from. */
  readonly cwd: string;
  /** User id of this process. */
  readonly uid: number;
  /** Program and first arguments that start this tool once more, before its own arguments. */
  readonly toolCommand: readonly [string, ...string[]];
  now(): Date;
  /** Milliseconds of a clock that never jumps. */
  elapsedMs(): number;
  /** Waits; rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `listener` when the program is asked to end. Gives back what takes the listener away. */
  onInterrupt(listener: () => void): () => void;
  /** Calls `listener` with the system's error when stdout cannot be written, also when this is found out late. */
  onOutputFailure(listener: (thrown: unknown) => void): void;
  /** Waits until all that was written to stdout is out. Rejects with the system's error when it could not be written. */
  flushOutput(): Promise<void>;
  /** Sets the code with which the program will end. */
  setExitCode(code: number): void;
}

/** What a command gets besides its own options. */
export interface CommandContext {
  readonly ui: Ui;
  readonly deps: ToolDeps;
  /** Aborted by SIGINT and SIGTERM, with the error that the program then reports. */
  readonly signal: AbortSignal;
  /** Gives the command up for a reason that the program then reports, whatever else the command says. */
  abort(reason: ToolError): void;
}

/** The world of this process. */
export function createToolDeps(): ToolDeps {
  const output = watchOutput(process.stdout, process.stderr);
  return {
    stdout: output.stdout,
    stderr: process.stderr,
    // A getter: to touch stdin is to open it, and only questions need it.
    get terminal() {
      const isTerminal = isatty(0) && isatty(2);
      return isTerminal ? { input: process.stdin, output: process.stderr } : undefined;
    },
    env: process.env,
    cwd: process.cwd(),
    uid: process.getuid?.() ?? -1,
    toolCommand: [process.execPath, ...process.execArgv, PROGRAM],
    now: () => new Date(),
    elapsedMs: () => performance.now(),
    sleep: async (ms, signal) => {
      try {
        await delay(ms, undefined, signal === undefined ? {} : { signal });
      } catch (thrown) {
        // The timer's own error says less than the reason.
        throw signal?.aborted === true ? signal.reason : thrown;
      }
    },
    onInterrupt: (listener) => {
      for (const name of END_SIGNALS) process.on(name, listener);
      return () => {
        for (const name of END_SIGNALS) process.off(name, listener);
      };
    },
    onOutputFailure: output.onFailure,
    flushOutput: output.flush,
    setExitCode: (code) => {
      process.exitCode = code;
    },
  };
}

/** The file that runs the command line, beside this one: `cli.ts` in the sources, `cli.js` when built. */
const PROGRAM = fileURLToPath(new URL(`./cli${extname(import.meta.url)}`, import.meta.url));

const END_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
