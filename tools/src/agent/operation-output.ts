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
import { pathIn } from './handler-instance.ts';

export interface Capture {
  readonly result: CommandResult;
  /** Stdout with up to a mebibyte, for a command of the agent's own. */
  readonly stdout: string;
  /** Both streams as they stand in the agent's messages. */
  readonly output: string;
}

/** Runs `commandLine` in the handler's folder. The files are gone afterwards. Throws the system's error when they cannot be made. */
export async function captureCommand(
  context: HandlerContext,
  commandLine: string,
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Capture> {
  const { agent, handler } = context;
  const id = randomUUID();
  const [stdoutFile, stderrFile] = [pathIn(handler, `.${id}.stdout`), pathIn(handler, `.${id}.stderr`)];
  const files: FileHandle[] = [];
  try {
    // Kept open, because an uninstall may delete the folder that its own output goes to.
    for (const path of [stdoutFile, stderrFile]) files.push(await open(path, 'wx+', 0o600));
    const result = await agent.machine.run(commandLine, {
      cwd: handler.folder,
      env,
      stdoutFile,
      stderrFile,
      timeoutMs,
      ...(agent.signal === undefined ? {} : { signal: agent.signal }),
    });
    const [stdout = EMPTY, stderr = EMPTY] = await Promise.all(files.map(readBeginning));
    const output = formatAgentOutput(decodeAgentOutput(stdout), decodeAgentOutput(stderr));
    return { result, stdout: stdout.toString('utf8'), output };
  } finally {
    await Promise.all(files.map((file) => file.close()));
    await Promise.all([stdoutFile, stderrFile].map((path) => rm(path, { force: true })));
  }
}

const EMPTY = Buffer.alloc(0);
const READ_BYTES = 1024 * 1024;

async function readBeginning(file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  const bytes = Buffer.alloc(Math.min(size, READ_BYTES));
  const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
  return bytes.subarray(0, bytesRead);
}
