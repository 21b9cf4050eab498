/**
 * Telemetry events: files in the events folder that the agent sends on and deletes.
 * Source: WALinuxAgent 2.15 `ga/collect_telemetry_events.py`; agent-contract 10.
 */
import { decodeArray, decodeObject, parseJson } from './json.ts';
import { cleanText } from './status.ts';

export const EVENT_LEVELS = [
  'Critical',
  'Error',
  'Warning',
  'Informational',
  'Verbose',
  'LogAlways',
] as const;
export type EventLevel = (typeof EVENT_LEVELS)[number];

/** Limits of the agent. */
export const EVENT_LIMITS = {
  fileBytes: 4 * 1024 * 1024,
  messageCharacters: 3072,
  eventCharacters: 6144,
  eventsPerPeriod: 360,
  periodSeconds: 300,
} as const;

export interface TelemetryEvent {
  /** Version of the extension. */
  readonly version: string;
  /** ISO 8601 in UTC. */
  readonly timestamp: string;
  readonly taskName: string;
  readonly level: EventLevel;
  readonly message: string;
  readonly pid: number;
  readonly tid: number;
  /** Links events of one operation. */
  readonly operationId: string;
}

/**
 * Formats one event with the eight fields that the agent asks for, cut so that it is not dropped; `undefined` for a
 * blank message, which the agent would drop.
 */
export function formatEvent(event: TelemetryEvent): string | undefined {
  const message = cleanText(event.message).trim().slice(0, EVENT_LIMITS.messageCharacters).toWellFormed();
  if (message === '') return undefined;
  return JSON.stringify({
    Version: event.version.slice(0, 128),
    Timestamp: event.timestamp,
    TaskName: cleanText(event.taskName).slice(0, 1024),
    EventLevel: event.level,
    Message: message,
    EventPid: String(event.pid),
    EventTid: String(event.tid),
    OperationId: event.operationId.slice(0, 256),
  });
}

/** The name of an event's file: digits only, in the order of time; `counter` keeps two of one moment apart. */
export function formatEventFile(timeMs: number, counter: number): string {
  return `${Math.trunc(timeMs)}${String(counter % 1_000_000).padStart(6, '0')}.json`;
}

/** True for a file that the agent reads; others in the folder are deleted unread. */
export function isEventFile(name: string): boolean {
  return /^\d+\.json$/i.test(name);
}

const FIELDS = [
  ['version', 'Version'],
  ['timestamp', 'Timestamp'],
  ['taskName', 'TaskName'],
  ['level', 'EventLevel'],
  ['message', 'Message'],
  ['pid', 'EventPid'],
  ['tid', 'EventTid'],
  ['operationId', 'OperationId'],
] as const;

export interface CollectedEvents {
  readonly events: readonly Readonly<Record<(typeof FIELDS)[number][0], string>>[];
  /** One reason for each event that the agent drops. */
  readonly dropped: readonly string[];
}

/** Reads an event file as the agent does: one event or an array of them; an event with a fault is dropped, with its reason. */
export function parseEventFile(text: string, file: string): CollectedEvents {
  const root = parseJson(text, file);
  const items = Array.isArray(root.value) ? decodeArray(root) : [root.value];
  const events: Record<(typeof FIELDS)[number][0], string>[] = [];
  const dropped: string[] = [];
  for (const [index, value] of items.entries()) {
    const row = readEvent(decodeObject({ file, path: `[${index}]`, value }));
    if (typeof row === 'string') dropped.push(row);
    else events.push(row);
  }
  return { events, dropped };
}

function readEvent(object: Record<string, unknown>): Record<(typeof FIELDS)[number][0], string> | string {
  const byName = new Map(Object.entries(object).map(([key, value]) => [key.toLowerCase(), value]));
  const row = {
    version: '',
    timestamp: '',
    taskName: '',
    level: '',
    message: '',
    pid: '',
    tid: '',
    operationId: '',
  };
  let characters = 0;
  for (const [name, key] of FIELDS) {
    const value = byName.get(key.toLowerCase());
    if (value === undefined) return `MissingKeyError: ${key} not found`;
    const isNumberField = name === 'pid' || name === 'tid';
    if (typeof value !== 'string' && !(isNumberField && Number.isInteger(value)))
      return `${key} must be a string`;
    row[name] =
      name === 'message' ? String(value).trim().slice(0, EVENT_LIMITS.messageCharacters) : String(value);
    if (name === 'message' && row.message === '') return 'EmptyMessageError: the message is blank';
    // The agent adds up the fields in alphabetical order and checks before the last one, which is Version.
    if (name !== 'version') characters += row[name].length;
  }
  return characters > EVENT_LIMITS.eventCharacters
    ? 'OversizeEventError: the event has too many characters'
    : row;
}
