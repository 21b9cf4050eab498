/**
 * Runs the command: `/bin/sh`, working folder and output files of the run, nothing on stdin. A public command is exactly
 * `/bin/sh -c COMMAND`. A protected one is in no process's arguments or environment; the shell reads it from a file that
 * has no name any more, and its messages, `$0` and exit codes stay those of `sh -c`.
 * Source: Custom Script 2.1.19 sections 7 and 8.
 */
import { join } from 'node:path';
import type { ExecResult, Host, UserAccount } from '@handlerkit/sdk';
import { HandlerError } from '@handlerkit/sdk';
import { STDERR_FILE, STDOUT_FILE } from './download/file-name.ts';
import type { Environment } from './environment.ts';
import { scriptError, systemCode } from './errors.ts';
import { shownTail } from './shown-tail.ts';

export interface CommandRun {
  readonly host: Host;
  readonly command: string;
  /** True when the command's text must be seen nowhere. */
  readonly isProtected: boolean;
  /** Working folder of the command, as the VM sees it. */
  readonly folder: string;
  /** Where the files of its output lie; only root enters it. */
  readonly outputFolder: string;
  /** Who runs the command; default: the user of this process. */
  readonly user?: UserAccount | undefined;
  /** Its whole environment; default: that of this process. */
  readonly env?: Environment | undefined;
  /** Limit of the command itself. */
  readonly timeoutSeconds?: number | undefined;
  readonly signal: AbortSignal;
  /** Hides secrets in the output before it is cut. */
  readonly redact: (text: string, options: { readonly isTail: boolean }) => string;
}

/** Bytes of each output that the status shows. */
export const SHOWN_BYTES = 4096;

/**
 * What `/bin/sh -c` gets for a command that comes on stdin. dash and busybox run this text first and then, because of
 * `-s`, read stdin as their script. So the command becomes an alias, and stdin becomes a script of one line without end
 * that gives stdin up and is that alias: the command is parsed line by line as the shell's own input, from line 1 on,
 * outside of any builtin whose name would stand in the messages. `cat` has its path, as the settings may give another PATH. bash reads no stdin after `-c`, but its `eval` keeps
 * lines and messages (only a syntax error says `eval` where it would say `-c`). In dash nothing differs. `$(/bin/cat)` is an argument of no program.
 */
export const READ_COMMAND = [
  'case ${BASH_VERSION-} in ?*) eval "$(/bin/cat)" </dev/null; exit;; esac;',
  'alias handlerkit_command="$(/bin/cat)";',
  'printf %s "exec </dev/null; handlerkit_command" >/proc/self/fd/0;',
  // Without the line's end, busybox takes the end of this text for the end of its input.
  'exec </proc/self/fd/0\n',
].join(' ');

/** The arguments with which a protected command is run; the command itself goes to stdin. */
export const PROTECTED_ARGV = ['/bin/sh', '-s', '-c', READ_COMMAND] as const;

/**
 * Runs the command to its end and gives the block of text that shows its output. Throws `COMMAND_FAILED` when it ends
 * badly (the status carries its exit code), `TIMED_OUT` at its own limit, and the signal's reason when it was ended from
 * outside; the messages show the output so far.
 */
export async function runCommand(run: CommandRun): Promise<string> {
  const limit = startLimit(run);
  const result = await start(run, limit.signal).finally(limit.lift);
  const show = (output: string): string => {
    // What came before was not read; a character that the cut goes through has at most three bytes left.
    const isTail = Buffer.byteLength(output) > READ_BYTES - 4;
    return shownTail(run.redact(output, { isTail }), SHOWN_BYTES);
  };
  const block = `\n[stdout]\n${show(result.stdout)}\n[stderr]\n${show(result.stderr)}`;
  if (result.aborted || run.signal.aborted) throw withOutput(limit.signal.reason, block);
  if (result.exitCode === 0) return block;
  const status = result.exitCode ?? -1;
  const by = result.signal === null ? '' : ` (ended by ${result.signal})`;
  const text = `failed to execute command: command terminated with exit status=${status}${by}${block}`;
  const { code, statusCode, exitCode } = scriptError('COMMAND_FAILED', text);
  throw new HandlerError(code, text, {
    statusCode: result.exitCode ?? statusCode,
    clarificationCode: statusCode,
    exitCode,
  });
}

/** The command line that runs a file; a path that the shell would take apart is quoted. */
export function quotePath(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** More than is shown, so that a secret on the border of that is read as a whole. */
const READ_BYTES = 4 * SHOWN_BYTES;

/** The signal that ends the command: from outside, or at its own limit. */
function startLimit({ host, signal, timeoutSeconds }: CommandRun): {
  readonly signal: AbortSignal;
  lift(): void;
} {
  const limit = new AbortController();
  const lifted = new AbortController();
  if (timeoutSeconds !== undefined) {
    const onLimit = (): void => {
      const seconds = `${timeoutSeconds} second${timeoutSeconds === 1 ? '' : 's'}`;
      const text = `failed to execute command: it did not end within ${seconds} ('timeoutInSeconds') and was ended`;
      limit.abort(new HandlerError('TIMED_OUT', text));
    };
    host.sleep(timeoutSeconds * 1000, lifted.signal).then(onLimit, () => undefined);
  }
  return { signal: AbortSignal.any([signal, limit.signal]), lift: () => lifted.abort() };
}

async function start(run: CommandRun, signal: AbortSignal): Promise<ExecResult> {
  const { host, folder, outputFolder, user, env } = run;
  const stdoutFile = host.path(join(outputFolder, STDOUT_FILE));
  const stderrFile = host.path(join(outputFolder, STDERR_FILE));
  const options = {
    ...{ cwd: host.path(folder), stdoutFile, stderrFile, tailBytes: READ_BYTES, signal },
    ...(user === undefined ? {} : { user }),
    ...(env === undefined ? {} : { env }),
  };
  try {
    return await (run.isProtected
      ? host.exec(PROTECTED_ARGV, { ...options, stdin: run.command })
      : host.exec(['/bin/sh', '-c', run.command], options));
  } catch (thrown) {
    if (thrown instanceof HandlerError) {
      throw scriptError('COMMAND_UNKNOWN', `failed to execute command: ${thrown.message}`, thrown);
    }
    const path = thrown instanceof Error && 'path' in thrown ? thrown.path : undefined;
    const name = path === stdoutFile ? STDOUT_FILE : path === stderrFile ? STDERR_FILE : undefined;
    if (name === undefined) {
      throw scriptError('COMMAND_UNKNOWN', `failed to execute command: ${systemCode(thrown)}`, thrown);
    }
    const error = name === STDOUT_FILE ? 'STDOUT_NOT_OPENED' : 'STDERR_NOT_OPENED';
    throw scriptError(
      error,
      `failed to open ${name} file ${join(outputFolder, name)}: ${systemCode(thrown)}`,
      thrown,
    );
  }
}

function withOutput(reason: unknown, block: string): HandlerError {
  if (!(reason instanceof HandlerError))
    return new HandlerError('INTERRUPTED', `the command was ended${block}`);
  return new HandlerError(reason.code, `${reason.message}${block}`, {
    cause: reason,
    statusCode: reason.statusCode,
    exitCode: reason.exitCode,
  });
}
