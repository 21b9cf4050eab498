/**
 * The agent's log in words: `CommandExecution.log` in the handler's log folder, and the same lines in the agent's own log.
 * Source: WALinuxAgent 2.15 `common/logger.py` Logger.log, `ga/exthandlers.py` __set_command_execution_log,
 * __truncate_file_head; agent-contract 11, 13.2.
 */
import { appendFile, open, rm, stat, writeFile } from 'node:fs/promises';
import { posix } from 'node:path';
import {
  AGENT_LOG_FILE,
  COMMAND_LOG_LIMIT_BYTES,
  formatCommandLogFile,
  redactSas,
} from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import type { AgentEvent } from './agent-event.ts';
import { isMissing, makeFolder } from './agent-files.ts';
import type { HandlerInstance } from './handler-instance.ts';

/** Log of one handler's version. */
export interface HandlerLog {
  info(text: string): Promise<void>;
  /** As `info`, and worth showing to whoever watches: also told as a note. */
  note(text: string): Promise<void>;
  warn(text: string): Promise<void>;
  error(text: string): Promise<void>;
}

export interface AgentLogDeps {
  now(): Date;
  readonly onEvent: (event: AgentEvent) => void;
}

/** Writes a line that belongs to no handler. */
export async function writeAgentLog(machine: Machine, text: string, deps: AgentLogDeps): Promise<void> {
  await appendLine(agentLogPath(machine), formatLine(deps.now(), 'INFO', undefined, text));
}

/** Opens the log of a handler, or of one of its configurations: makes its folder, and cuts the head off a log that has become too long. */
export async function openHandlerLog(
  handler: HandlerInstance,
  deps: AgentLogDeps,
  extensionName?: string,
): Promise<HandlerLog> {
  const { machine } = handler;
  await makeFolder(machine.hostPath(handler.logFolder), 0o755);
  const commandLog = machine.hostPath(`${handler.logFolder}/${formatCommandLogFile(extensionName)}`);
  await cutHead(commandLog, COMMAND_LOG_LIMIT_BYTES);
  const write = async (level: Level, text: string): Promise<void> => {
    const line = formatLine(deps.now(), level, handler.folderName, text);
    await appendLine(commandLog, line);
    await appendLine(agentLogPath(machine), line);
  };
  const tell = async (level: Level, text: string): Promise<void> => {
    await write(level, text);
    deps.onEvent({ kind: 'note', handlerName: handler.handlerName, text: redactSas(text) });
  };
  return {
    info: (text) => write('INFO', text),
    note: (text) => tell('INFO', text),
    warn: (text) => tell('WARNING', text),
    error: (text) => tell('ERROR', text),
  };
}

/** Keeps the last `limit` bytes of a file that is longer, from the next beginning of a line on. */
export async function cutHead(path: string, limit: number): Promise<void> {
  let size: number;
  try {
    ({ size } = await stat(path));
  } catch (thrown) {
    if (isMissing(thrown)) return;
    throw thrown;
  }
  if (size <= limit) return;
  const file = await open(path, 'r');
  const rest = Buffer.alloc(limit);
  try {
    await file.read(rest, 0, limit, size - limit);
  } finally {
    await file.close();
  }
  const lineEnd = rest.indexOf('\n');
  await rm(path, { force: true });
  await writeFile(path, rest.subarray(lineEnd + 1), { mode: LOG_MODE });
}

type Level = 'INFO' | 'WARNING' | 'ERROR';

/** Name of the agent's thread that works on handlers; a part of every line. */
const THREAD = 'ExtHandler';
const LOG_MODE = 0o644;

function agentLogPath(machine: Machine): string {
  // Beside the handlers' log folder, so that a relocated VM keeps it apart from this machine's own.
  return machine.hostPath(`${posix.dirname(machine.logFolder)}/${AGENT_LOG_FILE}`);
}

function formatLine(time: Date, level: Level, prefix: string | undefined, text: string): string {
  // Python writes microseconds.
  const stamp = `${time.toISOString().slice(0, -1)}000Z`;
  const name = prefix === undefined ? '' : `[${prefix}] `;
  return `${stamp} ${level} ${THREAD} ${name}${escapeNonAscii(redactSas(text))}\n`;
}

function escapeNonAscii(text: string): string {
  return text.replace(/[^\u0000-\u007f]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    if (code <= 0xff) return `\\x${hex.padStart(2, '0')}`;
    return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
  });
}

async function appendLine(path: string, line: string): Promise<void> {
  await appendFile(path, line, { mode: LOG_MODE });
}
