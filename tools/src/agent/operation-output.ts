/**
 * Runs a command line with its output in two files in the handler's folder, and reads back what the agent reads of them.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` launch_command, `ga/extensionprocessutil.py` read_output; agent-contract 6.1, 6.6.
 */
import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import { decodeAgentOutput, formatAgentOutput } from '@handlerkit/sdk/contract';
import type { CommandResult } from '../vm/machine.ts';
import type { HandlerContext } from './handler-context.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { pathIn } from './handler-instance.ts';

export interface Capture {
  readonly result: CommandResult;
  /** Stdout with up to a mebibyte, for a command of the agent's own. */
  readonly stdout: string;
  /** Both streams as they stand in the agent's messages. */
  readonly output: string;
}

/**
 * Runs `commandLine` in the handler's folder. The files have no name any more when it starts: the handler does not see
 * them, an uninstall that deletes the folder does not lose its output, and nothing stays behind whatever happens.
 * Throws the system's error when they cannot be made.
 */
export async function captureCommand(
  context: HandlerContext,
  commandLine: string,
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Capture> {
  const { agent, handler } = context;
  const stdoutFile = await openNameless(handler);
  const stderrFile = await openNameless(handler);
  try {
    const result = await agent.machine.run(commandLine, {
      cwd: handler.folder,
      env,
      stdoutFile: pathOf(stdoutFile),
      stderrFile: pathOf(stderrFile),
      timeoutMs,
      ...(agent.signal === undefined ? {} : { signal: agent.signal }),
    });
    const [stdout, stderr] = [await readBeginning(stdoutFile), await readBeginning(stderrFile)];
    const output = formatAgentOutput(decodeAgentOutput(stdout), decodeAgentOutput(stderr));
    return { result, stdout: stdout.toString('utf8'), output };
  } finally {
    await stdoutFile.close();
    await stderrFile.close();
  }
}

const READ_BYTES = 1024 * 1024;

async function openNameless(handler: HandlerInstance): Promise<FileHandle> {
  const path = pathIn(handler, `.${randomUUID()}.output`);
  const file = await open(path, 'wx+', 0o600);
  await rm(path, { force: true });
  return file;
}

/** A path through which this process can open the file again although it has no name. */
function pathOf(file: FileHandle): string {
  return `/proc/self/fd/${file.fd}`;
}

async function readBeginning(file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  const bytes = Buffer.alloc(Math.min(size, READ_BYTES));
  const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
  return bytes.subarray(0, bytesRead);
}
