/**
 * The extension's log: one JSON object a line in the agent's log folder, one file for all versions and processes, and
 * telemetry events. Logging never fails an operation: what cannot be written is dropped and counted.
 */
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { EVENT_LIMITS, formatEvent, formatEventFile } from './contract/events.ts';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import { cleanText, cutText } from './contract/status.ts';
import type { Logger } from './handler.ts';
import { listFolder } from './handler-files.ts';
import type { Host } from './host.ts';
import type { Redactor } from './redaction.ts';

/** Name of the log in the handler's log folder. */
export const HANDLER_LOG_FILE = 'handler.log';
/** Bytes after which the log becomes `handler.log.1`; one older file is kept. */
const ROTATE_BYTES = 10 * 1024 * 1024;
/** A longer line, or one whose fields have no JSON form, keeps the beginning and the end of its message. */
const LINE_CHARACTERS = 16 * 1024;
const CUT_CHARACTERS = 2 * 1024;

export interface LogContext {
  readonly version: string;
  readonly operation: string;
  readonly sequence: number | undefined;
  readonly extensionName: string | undefined;
  /** Links the lines and events of one operation. */
  readonly operationId: string;
}

/** Opens the log of one operation. Writes nothing by itself. */
export function openLog(
  host: Host,
  environment: HandlerEnvironment,
  redactor: Redactor,
  context: LogContext,
): Logger {
  const file = host.path(join(environment.logFolder, HANDLER_LOG_FILE));
  const { operationId, ...shown } = context;
  const write = (level: string, message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    const head = { time: host.now().toISOString(), level, ...shown, pid: process.pid };
    // Each text by itself: in the finished line a secret and its neighbours could not be told from JSON's own characters.
    const clean = (text: string): string => cleanText(redactor.redact(text));
    const line = toJson({ ...head, message, ...fields }, clean);
    if (line !== undefined && line.length <= LINE_CHARACTERS) appendLine(file, line);
    else appendLine(file, JSON.stringify({ ...head, message: cutText(clean(message), CUT_CHARACTERS) }));
  };
  let events = 0;
  let dropped = 0;
  return {
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
    event: (level, taskName, message) => {
      const text = formatEvent({
        version: context.version,
        timestamp: host.now().toISOString(),
        taskName,
        level,
        message: redactor.redact(message),
        pid: process.pid,
        tid: process.pid,
        operationId,
      });
      const written =
        text !== undefined &&
        environment.eventsFolder !== undefined &&
        writeEvent(host, environment.eventsFolder, text, events++);
      if (!written && environment.eventsFolder !== undefined) {
        dropped++;
        write('debug', 'a telemetry event was dropped', { dropped });
      }
    },
  };
}

/** Appends one line in a single write, so that two processes do not mix theirs. */
function appendLine(file: string, line: string): void {
  try {
    rotate(file);
    append(file, line);
  } catch {
    try {
      mkdirSync(join(file, '..'), { recursive: true });
      append(file, line);
    } catch {
      // A full or read-only disk must not fail the operation.
    }
  }
}

/** Does not wait for a reader where somebody has put a pipe. */
function append(path: string, line: string): void {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  const file = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o640);
  try {
    if (fstatSync(file).isFile()) writeSync(file, `${line}\n`);
  } finally {
    closeSync(file);
  }
}

function rotate(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > ROTATE_BYTES) renameSync(file, `${file}.1`);
}

/** Writes an event outside the folder first: the agent deletes unfinished files inside it. False when it was dropped. */
function writeEvent(host: Host, folder: string, text: string, counter: number): boolean {
  const temporary = host.path(`${folder}.${process.pid}.tmp`);
  try {
    if (listFolder(host.path(folder)).length >= EVENT_LIMITS.eventsPerPeriod) return false;
    const name = formatEventFile(host.now().getTime(), (process.pid % 1000) * 1000 + counter);
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, host.path(join(folder, name)));
    return true;
  } catch {
    removeIfPossible(temporary);
    return false;
  }
}

/** Where the logs' folder is none, or cannot be written, this fails as the writing did. */
function removeIfPossible(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // There is nothing to remove, or it is not for us to remove.
  }
}

function toJson(
  line: Readonly<Record<string, unknown>>,
  clean: (text: string) => string,
): string | undefined {
  try {
    return JSON.stringify(line, (_, value: unknown) => (typeof value === 'string' ? clean(value) : value));
  } catch {
    return undefined;
  }
}
