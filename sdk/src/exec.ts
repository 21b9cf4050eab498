/**
 * Runs a child process: argv array, own session, time limit with a grace time, cancellation; its output goes to files
 * and is read from the tail, so that memory stays constant whatever the child prints, and a background process that
 * keeps the streams open holds up nobody.
 */

import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync, constants as fsConstants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { constants as osConstants, tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { CapturedOutput } from './captured-output.ts';
import { captureOutput, readTail } from './captured-output.ts';
import { HandlerError } from './errors.ts';
import { openScratchFile, scratchFolders } from './scratch-file.ts';

/** How a program is run: where, with what, how long, and where its output goes. */
export interface ExecOptions {
  readonly cwd?: string;
  /** The child's whole environment; default: the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** What the child reads; default: nothing (end of file at once). */
  readonly stdin?: string | Uint8Array;
  /** A file that the child reads as its stdin instead; opened read-only. */
  readonly stdinFile?: string;
  /** Where the whole of stdout goes, made anew with mode 0600; default: a temporary file without a name. */
  readonly stdoutFile?: string;
  readonly stderrFile?: string;
  /** Milliseconds after which the whole process group gets SIGTERM; default, and beyond 24 days: no limit. */
  readonly timeoutMs?: number;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly graceMs?: number;
  /** Ends the process group in the same way when it is aborted; aborted beforehand, nothing is started. */
  readonly signal?: AbortSignal;
  /** Bytes of each stream that the result holds, counted from the end. */
  readonly tailBytes?: number;
  /**
   * Bytes of a stream without a file of its own that may lie on the disk; at more the beginning is thrown away. Looked at
   * ten times a second while the child runs: a process that it leaves behind in the background should write elsewhere.
   */
  readonly captureLimitBytes?: number;
  /**
   * Runs the program as this user, with the user's groups; output files and input then belong to the user. This process
   * must be root, unless it is that user. No login: no PAM session, and the environment stays as `env` says. A program
   * that cannot be started is then a result with an exit code of `setpriv`.
   */
  readonly user?: CommandUser;
  /** Called with the child's pid as soon as it runs; the pid is also the id of its process group. */
  readonly onStart?: (pid: number) => void;
}

/** Who runs a command. A {@link UserAccount} is one. */
export interface CommandUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** How a program ended, and the ends of what it printed. */
export interface ExecResult {
  /** `null` when a signal ended the child. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
  readonly aborted: boolean;
  /** The last bytes of stdout as text; what is no UTF-8 is U+FFFD. */
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

export const DEFAULT_GRACE_MS = 5_000;
export const DEFAULT_TAIL_BYTES = 64 * 1024;
export const DEFAULT_CAPTURE_LIMIT_BYTES = 32 * 1024 * 1024;

/**
 * Runs `argv` to its end. A program that fails is a result, not an error. Throws `COMMAND_NOT_STARTED` when it cannot
 * be started, or no folder of the machine takes its temporary files. Does not wait for processes that the child leaves behind in the background.
 */
export async function execCommand(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  if (argv.length === 0) throw new HandlerError('COMMAND_NOT_STARTED', 'no program was named');
  if (options.signal?.aborted === true) return NOT_STARTED;
  const [program = '', ...args] = [...switchUser(options.user), ...argv];
  const files: FileHandle[] = [];
  const keep = (handle: FileHandle): FileHandle => {
    files.push(handle);
    return handle;
  };
  const watches: CapturedOutput[] = [];
  const openOutput = async (path: string | undefined): Promise<Output> => {
    const { tailBytes = DEFAULT_TAIL_BYTES, captureLimitBytes = DEFAULT_CAPTURE_LIMIT_BYTES } = options;
    if (path !== undefined) {
      const file = keep(await openOutputFile(path));
      return { file, readTail: () => readTail(file, tailBytes) };
    }
    const file = keep(await openScratchFile(scratchFolders(tmpdir(), options)));
    const captured = captureOutput(file, captureLimitBytes, tailBytes);
    watches.push(captured);
    return { file, readTail: captured.readTail };
  };
  try {
    const stdout = await openOutput(options.stdoutFile);
    const stderr = await openOutput(options.stderrFile);
    const stdin = keep(await openInput(options));
    // A program opens its own streams again by /dev/stderr or /dev/stdin, and is stopped there by a file of root's.
    const shared =
      options.stdinFile === undefined ? [stdin, stdout.file, stderr.file] : [stdout.file, stderr.file];
    if (options.user !== undefined) await giveTo(options.user, shared);
    const started = performance.now();
    const child = start(program, args, {
      detached: true,
      stdio: [stdin.fd, stdout.file.fd, stderr.file.fd],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: { ...options.env } }),
    });
    const end = await waitForEnd(child, program, options);
    return {
      ...end,
      stdout: stdout.readTail(),
      stderr: stderr.readTail(),
      durationMs: performance.now() - started,
    };
  } finally {
    for (const watch of watches) watch.end();
    await Promise.all(files.map((file) => file.close()));
  }
}

/** Sends `signal` to a whole process group; a group that is gone already is no error. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended by itself.
  }
}

/** The exit code that a shell would report: 128 + n for signal n. */
export function shellExitCode(result: Pick<ExecResult, 'exitCode' | 'signal'>): number {
  if (result.exitCode !== null) return result.exitCode;
  return 128 + (result.signal === null ? 0 : (osConstants.signals[result.signal] ?? 0));
}

// O_APPEND: a child that opens /dev/stderr by itself must not write over what is there.
const OUTPUT_FLAGS =
  fsConstants.O_RDWR |
  fsConstants.O_CREAT |
  fsConstants.O_TRUNC |
  fsConstants.O_APPEND |
  fsConstants.O_NOFOLLOW;

/** One stream of the child. */
interface Output {
  readonly file: FileHandle;
  readTail(): string;
}

/** The longest time that a timer can measure; it takes more for none. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const POLL_MS = 20;

/** Where util-linux has it; looked for by path, since the child's PATH may name a folder of anyone's. */
const SETPRIV_FILES = ['/usr/bin/setpriv', '/bin/setpriv'];

/** The words before a command that make it another user's. The runtimes do not all do it themselves. */
function switchUser(user: CommandUser | undefined): readonly string[] {
  if (user === undefined || user.uid === process.getuid?.()) return [];
  const refuse = (problem: string): HandlerError =>
    new HandlerError('COMMAND_NOT_STARTED', `no program can be run as the user ${user.name}: ${problem}`);
  if (process.getuid?.() !== 0) throw refuse('that needs root');
  const setpriv = SETPRIV_FILES.find((file) => existsSync(file));
  if (setpriv === undefined) throw refuse('setpriv is missing; install util-linux');
  return [setpriv, `--reuid=${user.uid}`, `--regid=${user.gid}`, '--init-groups', '--'];
}

async function giveTo(user: CommandUser, files: readonly FileHandle[]): Promise<void> {
  for (const file of files) if ((await file.stat()).isFile()) await file.chown(user.uid, user.gid);
}

/** What a command gives that was aborted before it began: the same as one that its abort ended. */
const NOT_STARTED: ExecResult = {
  exitCode: null,
  signal: 'SIGTERM',
  timedOut: false,
  aborted: true,
  stdout: '',
  stderr: '',
  durationMs: 0,
};

/** `spawn` throws some failures and tells others later; the thrown ones may show an argument, so only their code is kept. */
function start(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  try {
    return spawn(program, args, options);
  } catch (cause) {
    throw notStarted(program, cause);
  }
}

function notStarted(program: string, cause: unknown): HandlerError {
  const reason =
    typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : 'unknown reason';
  return new HandlerError('COMMAND_NOT_STARTED', `${program} cannot be started: ${reason}`);
}

async function openOutputFile(path: string): Promise<FileHandle> {
  const handle = await open(path, OUTPUT_FLAGS, 0o600);
  try {
    // A file of an earlier run keeps its mode when it is opened.
    if ((await handle.stat()).isFile()) await handle.chmod(0o600);
    return handle;
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

async function openInput(options: ExecOptions): Promise<FileHandle> {
  const { stdin, stdinFile } = options;
  if (stdinFile !== undefined) return open(stdinFile, fsConstants.O_RDONLY);
  if (stdin === undefined) return open('/dev/null', fsConstants.O_RDONLY);
  return openScratchFile(scratchFolders(tmpdir(), options), Buffer.from(stdin));
}

/**
 * What the child left in its own group must not outlive a limit or a cancellation, but has the same grace: a shell ends
 * at once, the package manager that it started needs a moment.
 */
async function endGroup(pid: number, killAt: number): Promise<void> {
  while (groupExists(pid) && performance.now() < killAt) await delay(POLL_MS);
  signalGroup(pid, 'SIGKILL');
}

function groupExists(pid: number): boolean {
  try {
    return process.kill(-pid, 0);
  } catch {
    return false;
  }
}

type End = Pick<ExecResult, 'exitCode' | 'signal' | 'timedOut' | 'aborted'>;

function waitForEnd(child: ChildProcess, program: string, options: ExecOptions): Promise<End> {
  return new Promise((resolve, reject) => {
    const { pid } = child;
    const { timeoutMs = Number.POSITIVE_INFINITY, graceMs = DEFAULT_GRACE_MS } = options;
    let timedOut = false;
    let aborted = false;
    let killer: NodeJS.Timeout | undefined;
    let killAt = 0;
    const stop = (): void => {
      if (pid === undefined || killer !== undefined) return;
      signalGroup(pid, 'SIGTERM');
      // A stopped process hears of SIGTERM only when it goes on.
      signalGroup(pid, 'SIGCONT');
      killAt = performance.now() + graceMs;
      killer = setTimeout(() => signalGroup(pid, 'SIGKILL'), graceMs);
    };
    const limit =
      timeoutMs > LONGEST_TIMER_MS
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            stop();
          }, timeoutMs);
    const onAbort = (): void => {
      aborted = true;
      stop();
    };
    const settle = (): void => {
      clearTimeout(limit);
      clearTimeout(killer);
      options.signal?.removeEventListener('abort', onAbort);
    };
    child.once('error', (cause) => {
      settle();
      reject(notStarted(program, cause));
    });
    child.once('exit', (exitCode, signal) => {
      // Somebody else has killed it in the middle of its work: what it waited for is as unfinished as itself.
      if (signal !== null) stop();
      settle();
      const end = { exitCode, signal, timedOut, aborted };
      if (pid === undefined || killer === undefined) resolve(end);
      else endGroup(pid, killAt).then(() => resolve(end), reject);
    });
    if (pid !== undefined) options.onStart?.(pid);
    if (options.signal?.aborted === true) onAbort();
    else options.signal?.addEventListener('abort', onAbort, { once: true });
  });
}
