/**
 * Runs the packager's own child programs (npm, bun): no shell, own process group, time limit, and of what they print
 * only the end is kept for the error text.
 */
import { spawn } from 'node:child_process';
import { ToolError } from '../errors.ts';

export interface ChildOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs: number;
  /** Code of the error that is thrown when the program cannot be started, fails, or takes too long. */
  readonly errorCode: string;
  /** What was being done, for the error text: `compiling src/main.ts`. */
  readonly purpose: string;
  readonly hint?: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `argv` and gives its standard output. Throws {@link ToolError} with the end of its output when it does not exit
 * with 0 in time; the whole process group is killed then. Output beyond 1 MiB is dropped from the front.
 */
export async function runChild(argv: readonly string[], options: ChildOptions): Promise<string> {
  const [program = '', ...rest] = argv;
  options.signal?.throwIfAborted();
  const child = spawn(program, rest, {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const fail = (what: string, output: string, cause?: unknown): ToolError =>
    new ToolError(options.errorCode, `${options.purpose}: ${what}${output === '' ? '' : `\n${output}`}`, {
      cause,
      hint: options.hint,
    });
  const killGroup = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // The group is gone already.
    }
  };
  let stdout = '';
  let stderr = '';
  const clock = { ranOut: false };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout = `${stdout}${text}`.slice(-OUTPUT_LIMIT);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = `${stderr}${text}`.slice(-OUTPUT_LIMIT);
  });
  const timer = setTimeout(() => {
    clock.ranOut = true;
    killGroup();
  }, options.timeoutMs);
  options.signal?.addEventListener('abort', killGroup, { once: true });
  try {
    const code = await new Promise<number | string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exitCode, signal) => resolve(exitCode ?? signal ?? 'unknown'));
    }).catch((error: unknown) => {
      throw fail(
        `${program} could not be started (${error instanceof Error ? error.message : 'unknown'})`,
        '',
        error,
      );
    });
    options.signal?.throwIfAborted();
    const output = tail(`${stderr}\n${stdout}`);
    if (clock.ranOut) {
      throw fail(`${program} took longer than ${options.timeoutMs / 1000} s and was stopped`, output);
    }
    if (code !== 0) throw fail(`${program} ended with ${code}`, output);
    return stdout;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', killGroup);
  }
}

const OUTPUT_LIMIT = 1024 * 1024;

/** The last lines, without the query part of any address: it may be a credential. */
function tail(output: string): string {
  const lines = output
    .replace(/(\bhttps?:\/\/)[^\s/@]*@/g, '$1')
    .replace(/(\bhttps?:\/\/[^\s?#"']*)[?#][^\s"']*/g, '$1')
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
  return lines.slice(-20).join('\n').slice(-2000);
}
