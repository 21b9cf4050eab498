/**
 * `handlerkit`: reads the command line, runs the command, and sets the exit code: 0 done, 1 failed, 2 wrong usage,
 * 130 interrupted. Nothing else in the tool reads argv or sets exit codes.
 */
import { realpathSync } from 'node:fs';
import type { Argv } from 'yargs';
import yargs from 'yargs';
import { registerCommands } from './commands/index.ts';
import {
  EXIT_PASSED_ON,
  interruptedError,
  OUTPUT_CLOSED,
  OUTPUT_FAILED,
  outputError,
  TOOL_EXIT_CODES,
  ToolError,
  toToolError,
  usageError,
} from './errors.ts';
import type { CommandContext, ToolDeps } from './tool-deps.ts';
import { createToolDeps } from './tool-deps.ts';
import { readToolVersion } from './tool-version.ts';
import { createUi } from './ui.ts';
import { COMMON_OPTIONS, explainUsage, findRepeated, putOwnOptionsFirst } from './usage-text.ts';

/** Runs one command line (without node and script) to its end and sets the exit code. Never rejects. */
export async function main(argv: readonly string[], deps: ToolDeps = createToolDeps()): Promise<void> {
  const ui = createUi({
    stdout: deps.stdout,
    stderr: deps.stderr,
    env: deps.env,
    json: hasFlag(argv, 'json'),
    quiet: hasFlag(argv, 'quiet'),
    verbose: hasFlag(argv, 'verbose'),
  });
  const controller = new AbortController();
  const removeListener = deps.onInterrupt(() => controller.abort(interruptedError()));
  deps.onOutputFailure((thrown) => controller.abort(outputError(thrown)));
  try {
    const abort = (reason: ToolError): void => controller.abort(reason);
    await runCommandLine(argv, { ui, deps, signal: controller.signal, abort });
    await deps.flushOutput();
    deps.setExitCode(TOOL_EXIT_CODES.done);
  } catch (thrown) {
    const error = explainEnd(thrown, controller.signal);
    if (error.code !== OUTPUT_CLOSED && error.code !== EXIT_PASSED_ON) ui.error(error);
    deps.setExitCode(error.exitCode);
  } finally {
    removeListener();
  }
}

/** Once the command is given up, whatever else went wrong is a consequence; a command may say more about an interruption. */
function explainEnd(thrown: unknown, signal: AbortSignal): ToolError {
  const error = toToolError(thrown);
  if (!signal.aborted) return error;
  const reason = toToolError(signal.reason);
  const isAboutOutput = reason.code === OUTPUT_CLOSED || reason.code === OUTPUT_FAILED;
  const isInterruption = reason.exitCode === TOOL_EXIT_CODES.interrupted;
  if (!isAboutOutput && !isInterruption) return reason;
  if (error.exitCode === TOOL_EXIT_CODES.interrupted || error.code === EXIT_PASSED_ON) return error;
  // A command that failed for a reason of its own did so, whoever reads of it.
  return isAboutOutput && thrown instanceof ToolError ? error : reason;
}

async function runCommandLine(argv: readonly string[], context: CommandContext): Promise<void> {
  const repeated = findRepeated(argv);
  if (repeated !== undefined) {
    throw usageError(
      `The option ${repeated} stands there twice.`,
      'Give it once, with all that it is to say.',
    );
  }
  const actions: ((context: CommandContext) => Promise<void>)[] = [];
  const parser = buildParser(argv, widthOf(context.deps));
  registerCommands(parser, (action) => {
    actions.push(action);
  });
  // With a callback yargs prints nothing itself: help and version come here as text.
  try {
    await parser.parseAsync([...argv], {}, (_error, _args, output) => {
      if (output !== '') context.deps.stdout.write(`${putOwnOptionsFirst(output)}\n`);
    });
  } catch (thrown) {
    // A command whose options were loaded late does not go through `fail` with an option that lacks its value.
    if (!(thrown instanceof Error) || thrown.name !== 'YError') throw thrown;
    throw usageError(...explainUsage(thrown.message, undefined, argv));
  }
  for (const action of actions) await action(context);
}

function buildParser(argv: readonly string[], columns: number | undefined): Argv {
  const parser: Argv = yargs([])
    .scriptName('handlerkit')
    .group(['json', 'quiet', 'verbose', 'help', 'version'], COMMON_OPTIONS)
    .locale('en')
    .usage('$0 <command> [options]\n\nWrite, try and pack Azure VM extensions for Linux.')
    .option('json', {
      type: 'boolean',
      describe: 'Print one JSON document on stdout, also for errors',
      global: true,
    })
    .option('quiet', { type: 'boolean', describe: 'Say nothing about the progress', global: true })
    .option('verbose', { type: 'boolean', describe: 'Say more, with stacks for errors', global: true })
    .parserConfiguration({
      // Repeated options are refused before; without this, of several files only the last one would count.
      'duplicate-arguments-array': true,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'dot-notation': false,
      'boolean-negation': false,
    })
    .strict()
    .recommendCommands()
    .demandCommand(1, NO_COMMAND)
    .help()
    .alias('help', 'h')
    .version(readToolVersion())
    .example('$0 init greeter', 'Make a project')
    .example('$0 vm set greeter --settings @settings.json', 'Pack it and try it on a local VM')
    .example('$0 check greeter', 'Find what Azure would trip over')
    .wrap(helpWidth(columns))
    .exitProcess(false)
    .fail((message: string | null | undefined, thrown: Error | undefined, current: Argv) => {
      // A command's own errors come through its promise; here are those of the command line.
      if (thrown !== undefined && thrown.name !== 'YError') throw thrown;
      throw usageError(...explainUsage(message ?? thrown?.message ?? '', current, argv));
    });
  return parser;
}

const NO_COMMAND = 'Name a command.';

/** Of the terminal; without one what the environment says, as `man` takes it. */
function widthOf({ stdout, env }: ToolDeps): number | undefined {
  if (stdout.columns !== undefined) return stdout.columns;
  return /^[1-9]\d{0,4}$/.test(env.COLUMNS ?? '') ? Number(env.COLUMNS) : undefined;
}

/** The terminal's width, within what can be read: a longer line is hard to follow, and a shorter one breaks words. */
function helpWidth(columns: number | undefined): number {
  return Math.max(NARROWEST, Math.min(columns ?? WIDEST, WIDEST));
}

const NARROWEST = 40;
const WIDEST = 110;

function hasFlag(argv: readonly string[], name: string): boolean {
  const end = argv.indexOf('--');
  const words = end === -1 ? argv : argv.slice(0, end);
  return words.some((word) => word === `--${name}` || word === `--${name}=true`);
}

/** True when this file is the program, not a module that the program imports. */
function isProgram(): boolean {
  const script = process.argv[1];
  if (script === undefined) return false;
  try {
    return realpathSync(script) === import.meta.filename;
  } catch {
    return false;
  }
}

if (isProgram()) await main(process.argv.slice(2));
