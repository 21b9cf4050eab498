/**
 * Reads the status file of an extension as often as the agent does, and judges it.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` _read_status_file, collect_ext_status; agent-contract 8.1, 8.3.
 */
import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import type { StatusSource, StatusVerdict } from '@handlerkit/sdk/contract';
import {
  formatStatusFile,
  judgeStatus,
  judgeUnreadableStatus,
  STATUS_FOLDER,
  STATUS_READ_ATTEMPTS,
  STATUS_READ_PAUSE_SECONDS,
} from '@handlerkit/sdk/contract';
import { isMissing } from './agent-files.ts';
import type { GoalStateExtension } from './goal-state.ts';
import { sequenceOf } from './goal-state.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { pathIn } from './handler-instance.ts';
import { pythonOsError } from './python-os-error.ts';

/**
 * The agent's verdict on the status of a goal state's extension. A file that is missing, cannot be read or is no JSON is
 * read again after a pause, in case the handler is just writing it; a missing one in the end counts as transitioning.
 */
export async function readStatus(
  handler: HandlerInstance,
  extension: GoalStateExtension,
  deps: { sleep(ms: number): Promise<void> },
): Promise<StatusVerdict> {
  const source = statusSource(handler, extension);
  for (let attempt = 1; ; attempt++) {
    const { text, problem } = await readOnce(handler, extension);
    const isDone = attempt === STATUS_READ_ATTEMPTS || (text !== undefined && isJson(text));
    if (isDone)
      return problem === undefined
        ? judgeStatus({ ...source, text })
        : judgeUnreadableStatus(source, problem);
    await deps.sleep(STATUS_READ_PAUSE_SECONDS * 1000);
  }
}

/** True when the status file of the goal state's sequence number is there. */
export async function hasStatus(handler: HandlerInstance, extension: GoalStateExtension): Promise<boolean> {
  const { text, problem } = await readOnce(handler, extension);
  return text !== undefined || problem !== undefined;
}

interface Reading {
  readonly text: string | undefined;
  /** The system's reason why an existing file cannot be read. */
  readonly problem: string | undefined;
}

async function readOnce(handler: HandlerInstance, extension: GoalStateExtension): Promise<Reading> {
  const path = pathIn(
    handler,
    STATUS_FOLDER,
    formatStatusFile(sequenceOf(extension), extension.extensionName),
  );
  try {
    return { text: decode(await readFile(path)), problem: undefined };
  } catch (thrown) {
    if (isMissing(thrown)) return { text: undefined, problem: undefined };
    const file = statusSource(handler, extension).file;
    return { text: undefined, problem: pythonOsError(thrown, file) };
  }
}

function statusSource(handler: HandlerInstance, extension: GoalStateExtension): Omit<StatusSource, 'text'> {
  const sequence = sequenceOf(extension);
  return {
    file: `${handler.folder}/${STATUS_FOLDER}/${formatStatusFile(sequence, extension.extensionName)}`,
    extension: extension.extensionName ?? handler.handlerName,
    handlerFolder: handler.folderName,
    sequence,
  };
}

/** Python refuses a text that is no UTF-8 as a whole. The mark in front makes it no JSON for the verdict either. */
function decode(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return isUtf8(bytes) ? text : `\uFFFD${text}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
