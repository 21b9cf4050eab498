/**
 * The errors of the command line: a stable code, a sentence for people, where, and what to try next. What is thrown by
 * the SDK or by Node becomes one of these at the top, in `cli.ts`; no message holds a stack or a secret.
 */
/** How the program ends: done, the thing failed, the command line was wrong, the user stopped it. */
export const TOOL_EXIT_CODES = { done: 0, failed: 1, wrongUsage: 2, interrupted: 130 } as const;
export interface ToolErrorOptions {
  /** File or folder that the error is about. */
  readonly file?: string | undefined;
  /** What to do next, one sentence or a command. */
  readonly hint?: string | undefined;
  /** One of {@link TOOL_EXIT_CODES}, or that of a command whose exit code is passed on. */
  readonly exitCode?: number;
  readonly cause?: unknown;
}

/** An error that is meant for the person at the terminal. `code` is upper case with underscores and never changes. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
  readonly code: string;
  readonly file: string | undefined;
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(code: string, message: string, options: ToolErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.file = options.file;
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? TOOL_EXIT_CODES.failed;
  }
}

/** The command line itself is wrong: exit code 2. */
export function usageError(message: string, hint: string): ToolError {
  return new ToolError('WRONG_USAGE', message, { hint, exitCode: TOOL_EXIT_CODES.wrongUsage });
}

/** The user pressed Ctrl-C, or the program was asked to end: exit code 130. */
export function interruptedError(hint?: string): ToolError {
  return new ToolError('INTERRUPTED', 'Stopped before the end.', {
    hint,
    exitCode: TOOL_EXIT_CODES.interrupted,
  });
}

/** Code of the error that is never printed on stdout, because it is about stdout. */
export const OUTPUT_FAILED = 'OUTPUT_FAILED';
/** Code of the error that is no failure: whoever read stdout has read enough, as with `| head`. */
export const OUTPUT_CLOSED = 'OUTPUT_CLOSED';

/** Code of the error that is never printed: a command of the user's ended with another code than 0, and has said why itself. */
export const EXIT_PASSED_ON = 'EXIT_PASSED_ON';

/** Stdout could not be written: {@link OUTPUT_CLOSED}, with exit code 0, when its reader is gone. */
export function outputError(thrown: unknown): ToolError {
  if (isBrokenPipe(thrown)) {
    return new ToolError(OUTPUT_CLOSED, 'Nobody reads the output any more.', {
      exitCode: TOOL_EXIT_CODES.done,
      cause: thrown,
    });
  }
  const { message, hint } = toToolError(thrown);
  return new ToolError(OUTPUT_FAILED, `The output could not be written: ${message}`, { hint, cause: thrown });
}

/**
 * Makes a {@link ToolError} of anything thrown. An error that nobody foresaw becomes `INTERNAL`. The SDK's errors are
 * known by their names, so that `--help` does not have to load the SDK.
 */
export function toToolError(thrown: unknown): ToolError {
  if (thrown instanceof ToolError) return thrown;
  if (!(thrown instanceof Error)) return internalError(String(thrown), thrown);
  if (thrown.name === 'ContractError') return contractError(thrown);
  const code = textMember(thrown, 'code');
  if (code !== undefined && 'syscall' in thrown) return systemError(thrown, code);
  if (code !== undefined && CODED_ERRORS.has(thrown.name)) {
    return new ToolError(code.toUpperCase().replaceAll('-', '_'), thrown.message, {
      hint: textMember(thrown, 'hint'),
      cause: thrown,
    });
  }
  return internalError(thrown.message, thrown);
}

/** Errors of other parts whose message is a whole sentence for people. */
const CODED_ERRORS = new Set(['HandlerError', 'MachineError', 'ToolError']);

const SYSTEM_SENTENCES: Readonly<Record<string, { sentence: string; hint: string }>> = {
  ENOENT: { sentence: 'There is no such file or folder.', hint: 'Check the path.' },
  EACCES: { sentence: 'The permission to use this file was denied.', hint: 'Check its owner and mode.' },
  EPERM: { sentence: 'The system does not allow this operation.', hint: 'Check owner and mode of the file.' },
  ENOSPC: { sentence: 'The disk is full.', hint: 'Free some space and run the command again.' },
  EISDIR: { sentence: 'A file was expected, but this is a folder.', hint: 'Check the path.' },
  ENOTDIR: { sentence: 'A folder was expected, but this is a file.', hint: 'Check the path.' },
  EROFS: { sentence: 'The file system is read-only.', hint: 'Choose another folder with --vm DIR.' },
};

function internalError(message: string, cause: unknown): ToolError {
  return new ToolError('INTERNAL', `Something unexpected happened: ${message}`, {
    hint: 'Run the command again with --verbose, and report what it prints.',
    cause,
  });
}

function contractError(thrown: Error): ToolError {
  const path = textMember(thrown, 'path') ?? '';
  const problem = textMember(thrown, 'problem') ?? 'is malformed';
  const end = /[.?!]$/.test(problem) ? '' : '.';
  return new ToolError('INVALID_FILE', `${path === '' ? 'The file' : path} ${problem}${end}`, {
    file: textMember(thrown, 'file'),
    hint: 'Correct the file at this place.',
    cause: thrown,
  });
}

function systemError(thrown: Error, code: string): ToolError {
  const known = SYSTEM_SENTENCES[code];
  return new ToolError(code, known?.sentence ?? `The system reported ${code}.`, {
    file: textMember(thrown, 'path'),
    hint: known?.hint ?? 'Run the command again with --verbose to see where it happened.',
    cause: thrown,
  });
}

function isBrokenPipe(thrown: unknown): boolean {
  return thrown instanceof Error && textMember(thrown, 'code') === 'EPIPE';
}

function textMember(thrown: Error, key: string): string | undefined {
  const value: unknown = Reflect.get(thrown, key);
  return typeof value === 'string' ? value : undefined;
}
