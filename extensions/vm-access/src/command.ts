/**
 * Runs the programs of the system: found in the folders where systems keep them, whatever the agent's PATH says, in the
 * C locale, with a time limit. A program that fails, is missing or takes too long becomes one clear error.
 */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { ExecResult, Host, UserAccount } from '@handlerkit/sdk';
import { accessError } from './errors.ts';

/** How a program is run. */
export interface CommandOptions {
  /** What it reads. Secrets go this way, never into `argv`. */
  readonly stdin?: string;
  /** Milliseconds; default: a minute. */
  readonly timeoutMs?: number;
  /** Exit codes that are no error; default: 0 only. */
  readonly accept?: readonly number[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Bytes of its output that are kept, from the end; default: 64 KiB. */
  readonly tailBytes?: number;
  /** Who runs it, with the groups of that user; default: who runs this process. */
  readonly user?: Pick<UserAccount, 'name' | 'uid' | 'gid'>;
}

/** Runs `argv` to its end and gives what it printed; `argv[0]` is a bare name or an absolute path. */
export type RunCommand = (argv: readonly string[], options?: CommandOptions) => Promise<ExecResult>;

/** Where systems keep their programs, in the order in which they are looked for. */
const PROGRAM_FOLDERS = [
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
  '/usr/local/sbin',
  '/usr/local/bin',
] as const;

/** The absolute path of a program of the VM, or `undefined` when it has none of that name. */
export function findProgram(host: Host, name: string): string | undefined {
  return PROGRAM_FOLDERS.map((folder) => join(folder, name)).find((path) => {
    try {
      accessSync(host.path(path), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Gives the runner. It throws `PROGRAM_MISSING` for a program that the VM has not, and `COMMAND_FAILED`, with the end of
 * what the program said, for one that fails. `redact` hides the secrets in that.
 */
export function createRunCommand(
  host: Host,
  signal: AbortSignal,
  redact: (text: string) => string,
): RunCommand {
  return async (argv, options = {}) => {
    const [name = '', ...args] = argv;
    const program = name.startsWith('/') ? name : findProgram(host, name);
    if (program === undefined) {
      throw accessError('PROGRAM_MISSING', `this VM has no program ${name}; install it and try again`);
    }
    const { stdin, timeoutMs = DEFAULT_TIMEOUT_MS, accept = [0], env = {}, cwd, tailBytes, user } = options;
    const result = await host.exec([program, ...args], {
      env: { PATH: PROGRAM_FOLDERS.join(':'), LC_ALL: 'C', ...env },
      timeoutMs,
      signal,
      ...(stdin === undefined ? {} : { stdin }),
      ...(cwd === undefined ? {} : { cwd }),
      ...(tailBytes === undefined ? {} : { tailBytes }),
      ...(user === undefined ? {} : { user }),
    });
    if (result.aborted) throw signal.reason;
    if (result.exitCode !== null && accept.includes(result.exitCode) && !result.timedOut) return result;
    throw accessError('COMMAND_FAILED', describeFailure(name, result, timeoutMs, redact));
  };
}

const DEFAULT_TIMEOUT_MS = 60_000;
const SHOWN_CHARACTERS = 500;

function describeFailure(
  name: string,
  result: ExecResult,
  timeoutMs: number,
  redact: (text: string) => string,
): string {
  // Before it is cut: half of a secret would not be found.
  const said = redact(result.stderr.trim() || result.stdout.trim()).slice(-SHOWN_CHARACTERS);
  const how = result.timedOut
    ? `did not end within ${timeoutMs / 1000} seconds`
    : `failed with ${result.exitCode === null ? `signal ${result.signal}` : `exit code ${result.exitCode}`}`;
  return `${name} ${how}${said === '' ? '' : `: ${said}`}`;
}
