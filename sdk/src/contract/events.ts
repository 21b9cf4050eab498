/**
 * Telemetry events: files in the events folder that the agent sends on and deletes.
 * Source: WALinuxAgent 2.15 `ga/collect_telemetry_events.py`; agent-contract 10.
 */
import { countCharacters, firstCharacters } from './characters.ts';
import { ContractError, parseJson, typeName } from './json.ts';
import { redactSas } from './sas-token.ts';
import { cleanText } from './status.ts';

/** Levels of a telemetry event, the gravest first. */
export const EVENT_LEVELS = [
  'Critical',
  'Error',
  'Warning',
  'Informational',
  'Verbose',
  'LogAlways',
] as const;
/** One of {@link EVENT_LEVELS}. */
export type EventLevel = (typeof EVENT_LEVELS)[number];

/** Limits of the agent. */
export const EVENT_LIMITS = {
  fileBytes: 4 * 1024 * 1024,
  messageCharacters: 3072,
  eventCharacters: 6144,
  eventsPerPeriod: 360,
  periodSeconds: 300,
} as const;

/** One event for the agent to send on. Its texts are cut where the agent would drop the event. */
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
  const message = bound(event.message, EVENT_LIMITS.messageCharacters);
  if (message === '') return undefined;
  return JSON.stringify({
    Version: bound(event.version, 128),
    Timestamp: bound(event.timestamp, 64),
    TaskName: bound(event.taskName, 1024),
    EventLevel: event.level,
    Message: message,
    EventPid: String(event.pid),
    EventTid: String(event.tid),
    OperationId: bound(event.operationId, 256),
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

/** In the order in which the agent looks at them, the alphabetical one, with the names that it uses in its reasons. */
const FIELDS = [
  ['level', 'eventlevel'],
  ['pid', 'eventpid'],
  ['tid', 'eventtid'],
  ['message', 'message'],
  ['operationId', 'operationid'],
  ['taskName', 'taskname'],
  ['timestamp', 'timestamp'],
  ['version', 'version'],
] as const;

type Field = (typeof FIELDS)[number][0];

/**
 * The reason why the agent dropped an event, as {@link parseEventFile} gives it, with what an author is to do about it.
 */
export function explainDroppedEvent(reason: string): string {
  if (reason.startsWith('MissingKeyError')) {
    return `${reason}; an event needs Version, Timestamp, TaskName, EventLevel, Message, EventPid, EventTid and OperationId`;
  }
  if (reason.startsWith('OversizeEventError')) return `${reason}; shorten its texts`;
  if (reason.startsWith('EmptyMessageError')) return reason;
  return `${reason}; every value must be a text, and EventPid and EventTid may be whole numbers`;
}

/** An event as the agent sends it on: all texts, trimmed. */
export type CollectedEvent = Readonly<Record<Field, string>>;

/** What the agent takes from one file of events. */
export interface CollectedEvents {
  readonly events: readonly CollectedEvent[];
  /** One reason for each event that the agent drops. */
  readonly dropped: readonly string[];
}

/**
 * Reads an event file as the agent does: one event or an array of them; an event with a fault is dropped, with its reason.
 * Throws {@link ContractError} for a file that is no JSON, which the agent gives up on. Counts neither files nor bytes.
 */
export function parseEventFile(text: string, file: string): CollectedEvents {
  if (text.startsWith('\uFEFF')) throw new ContractError(file, '', 'begins with a byte order mark');
  const { value } = parseJson(text, file);
  const events: CollectedEvent[] = [];
  const dropped: string[] = [];
  for (const item of Array.isArray(value) ? value : [value]) {
    const event = readEvent(item);
    if (typeof event === 'string') dropped.push(event);
    else events.push(event);
  }
  return { events, dropped };
}

function readEvent(value: unknown): CollectedEvent | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return `the event is ${typeName(value)}, not an object`;
  }
  const given = new Map<string, unknown>();
  for (const [key, one] of Object.entries(value)) given.set(key.toLowerCase(), one);
  const row = new Map<Field, string>();
  for (const [field, key] of FIELDS) {
    if (!given.has(key)) continue;
    const text = fieldText(field, given.get(key));
    if (text === undefined) return `${key} is ${typeName(given.get(key))}, not a text`;
    row.set(field, text);
  }
  const message = row.get('message');
  if (message === undefined) return 'MissingKeyError: Message not found';
  if (message === '') return 'EmptyMessageError: Message should not be empty';
  row.set('message', firstCharacters(redactSas(message), EVENT_LIMITS.messageCharacters));
  return completeEvent(row);
}

function completeEvent(row: ReadonlyMap<Field, string>): CollectedEvent | string {
  const event: Record<Field, string> = {
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
  for (const [field, key] of FIELDS) {
    const text = row.get(field);
    if (text === undefined) return `MissingKeyError: ${key} not found`;
    // The agent checks before it adds a field, so the last one, the version, is never counted.
    if (characters > EVENT_LIMITS.eventCharacters) {
      return `OversizeEventError: max event size allowed: ${EVENT_LIMITS.eventCharacters}`;
    }
    characters += countCharacters(text);
    event[field] = text;
  }
  return event;
}

function fieldText(field: Field, value: unknown): string | undefined {
  if (typeof value === 'string') return value.trim();
  const isNumber = (field === 'pid' || field === 'tid') && Number.isInteger(value);
  return isNumber ? String(value) : undefined;
}

/** Cuts before it cleans, so that the work does not grow with the text. */
function bound(text: string, characters: number): string {
  return cleanText(text.trim().slice(0, characters));
}
