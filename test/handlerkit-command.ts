/**
 * Runs the tool as a user does: as a child process, bundled from the sources where that was done before (the tests), else
 * from the sources as they are. Its own environment has no variable of the agent.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const REPOSITORY = fileURLToPath(new URL('..', import.meta.url));

/** Variable that holds the path of the bundled tool. */
export const TOOL_VARIABLE = 'HANDLERKIT_BUNDLED_TOOL';

/** The command line that starts `handlerkit` inside the repository. */
export const HANDLERKIT: readonly string[] = [
  process.execPath,
  ...(process.env[TOOL_VARIABLE] === undefined
    ? [
        '--conditions=@handlerkit/source',
        '--import',
        pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href,
        fileURLToPath(new URL('../tools/src/cli.ts', import.meta.url)),
      ]
    : [process.env[TOOL_VARIABLE]]),
];

export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Shows the command's stderr while it runs. */
  readonly showProgress?: boolean;
  /** Path of a bundled tool to run in place of the usual one. */
  readonly tool?: string;
  /** Runs the command as this user and group; only root can. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

/** Runs `handlerkit <words>` to its end. A command that fails is a result, not an error. */
export function runHandlerkit(
  words: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const command = options.tool === undefined ? HANDLERKIT : [process.execPath, options.tool];
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args, ...words], {
      cwd: options.cwd ?? REPOSITORY,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', options.showProgress === true ? 'inherit' : 'pipe'],
      ...options.user,
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.once('error', reject);
    child.once('close', (exitCode) =>
      resolve({
        exitCode,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      }),
    );
  });
}
