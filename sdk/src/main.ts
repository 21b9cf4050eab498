/**
 * The handler's program: the only place of the SDK that reads argv, sets the exit code and listens to signals.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { EXIT_CODES } from './contract/exit-codes.ts';
import { HandlerError, toHandlerError } from './errors.ts';
import type { HandlerDefinition } from './handler.ts';
import { realProgramPath } from './handler-files.ts';
import { createHost } from './host.ts';
import { DETACH_WORD, RUNTIME_VARIABLES } from './launcher-words.ts';
import { runOperation } from './lifecycle.ts';

/** Milliseconds after the operation's end at which the process ends even if the author's code still holds it. */
const LINGER_MS = 10_000;

/**
 * Runs the operation that the command line names, and sets the exit code. Call it at the end of the extension's
 * `main.ts`; `description` is the content of `extension.json`. Never throws.
 */
export async function runHandler<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  description: unknown,
): Promise<void> {
  const [, script, ...words] = process.argv;
  if (words.at(-1) === DETACH_WORD) {
    detach(script, words.slice(0, -1));
    return;
  }
  // They are the launcher's word to this process, not to what it starts.
  for (const name of Object.keys(RUNTIME_VARIABLES)) delete process.env[name];
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(name, () =>
      stop.abort(new HandlerError('INTERRUPTED', `the run was ended by ${name} before it finished`)),
    );
  }
  const onStray = (thrown: unknown): void =>
    stop.abort(
      new HandlerError('INTERNAL', `an error that nobody caught: ${toHandlerError(thrown).message}`),
    );
  process.on('uncaughtException', onStray);
  process.on('unhandledRejection', onStray);
  process.exitCode = await runOperation(definition, description, words, {
    host: createHost(),
    programPath: realProgramPath(isScript(script) ? script : process.execPath),
    signal: stop.signal,
    stderr: (text) => process.stderr.write(text),
  });
  endIfHeld();
}

/** The same command in a session of its own, without streams; this process ends at once. */
function detach(script: string | undefined, words: readonly string[]): void {
  const own = isScript(script) ? [...process.execArgv, script] : [];
  const child = spawn(process.execPath, [...own, ...words], { detached: true, stdio: 'ignore' });
  child.once('error', (error) => {
    process.stderr.write(`${process.execPath} cannot be started: ${error.message}\n`);
    process.exitCode = EXIT_CODES.handlerError;
  });
  child.unref();
}

/** False in a compiled program: there the script is a name inside the executable, and bun says that it exists. */
function isScript(script: string | undefined): script is string {
  return script !== undefined && !script.startsWith('/$bunfs/') && existsSync(script);
}

/**
 * Ends the process when code of the author's goes on after the result was written: a timer or a socket left open would
 * hold it until the agent's time limit. Does nothing when the process ends by itself.
 */
function endIfHeld(): void {
  const timer = setTimeout(() => {
    process.stderr.write(
      "the operation has ended, but the extension's code left a timer or a socket open; close it\n",
    );
    process.kill(process.pid, 'SIGKILL');
  }, LINGER_MS);
  timer.unref();
}
