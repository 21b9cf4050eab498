/**
 * What the tool says, and where: the result on stdout, everything else on stderr. With `--json` stdout holds exactly one
 * document; `--quiet` leaves out the progress; colour only where the stream is a terminal and `NO_COLOR` is not set.
 */
import { styleText } from 'node:util';
import { OUTPUT_FAILED, type ToolError } from './errors.ts';

/** The part of a stream that is needed: `process.stdout` and `process.stderr` have it. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  /** Width of the terminal; `undefined` elsewhere. */
  readonly columns?: number | undefined;
}

export interface UiOptions {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

export interface Ui {
  /** True when stdout is to hold one JSON document. */
  readonly isJson: boolean;
  /** Says what is being done. Silent with `--quiet`. */
  progress(text: string): void;
  /** Says more about it; only with `--verbose`. */
  detail(text: string): void;
  /** Says something that the user should know although the command goes on. Not silenced. */
  warning(text: string): void;
  /** Prints the result for people on stdout. Prints nothing with `--json`. */
  result(text: string): void;
  /** Prints the result for programs on stdout. Prints nothing without `--json`; once per command. */
  json(value: unknown): void;
  /** Prints an error: for people on stderr; with `--json` as the document, unless that is there already or stdout fails. */
  error(error: ToolError): void;
}

/** How one operation of the agent ended, in one line. */
export interface OperationLine {
  readonly operation: string;
  /** The command as the manifest has it. */
  readonly command: string;
  /** Exit code, or words such as `timed out`. */
  readonly outcome: number | string;
  readonly durationMs: number;
}

/** Makes the voice of one command. Writes nothing yet. */
export function createUi(options: UiOptions): Ui {
  const { stdout, stderr } = options;
  const paint = painter(stderr, options.env);
  let documentWritten = false;
  const say = (text: string): void => {
    stderr.write(`${text}\n`);
  };
  const json = (value: unknown): void => {
    if (!options.json || documentWritten) return;
    documentWritten = true;
    stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  };
  return {
    isJson: options.json,
    progress: (text) => {
      if (!options.quiet) say(text);
    },
    detail: (text) => {
      if (options.verbose) say(paint('dim', text));
    },
    warning: (text) => say(`${paint('yellow', 'warning')} ${text}`),
    result: (text) => {
      if (!options.json) stdout.write(text.endsWith('\n') ? text : `${text}\n`);
    },
    json,
    error: (error) => {
      if (options.json && !documentWritten && error.code !== OUTPUT_FAILED) {
        const { code, message, file = null, hint = null } = error;
        json({ error: { code, message, file, hint } });
        return;
      }
      say(`${paint('red', 'error')} ${error.code}: ${error.message}`);
      if (error.file !== undefined) say(`  ${error.file}`);
      if (error.hint !== undefined) say(`Try: ${error.hint}`);
      if (options.verbose || error.code === 'INTERNAL') sayStack(error, say);
    },
  };
}

/** `  enable     bin/handler enable   exit 0   0.03 s` */
export function formatOperation(line: OperationLine): string {
  const outcome = typeof line.outcome === 'number' ? `exit ${line.outcome}` : line.outcome;
  return `  ${line.operation.padEnd(9)}  ${line.command}   ${outcome}   ${formatSeconds(line.durationMs)}`;
}

/** `0.03 s`, `12.4 s`, `3 min 20 s`. */
export function formatSeconds(durationMs: number): string {
  const seconds = Math.max(0, durationMs) / 1000;
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** The first line of a message that may be long; `no message` when there is none. */
export function firstLine(message: string | null | undefined): string {
  return (message ?? '').split('\n', 1)[0] || 'no message';
}

/** Rows as columns, the first row being the head. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

type Colour = 'red' | 'yellow' | 'dim';

function painter(stream: Output, env: UiOptions['env']): (colour: Colour, text: string) => string {
  const plain = stream.isTTY !== true || (env.NO_COLOR ?? '') !== '';
  return (colour, text) => (plain ? text : styleText(colour, text, { validateStream: false }));
}

function sayStack(error: ToolError, say: (text: string) => void): void {
  const { cause } = error;
  const stack = cause instanceof Error ? cause.stack : error.stack;
  if (stack !== undefined) say(stack);
}
