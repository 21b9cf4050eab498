/**
 * `status/<sequence>.status`: how the settings of one sequence number fared.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` parse_ext_status, parse_ext_substatus, _process_substatus_list;
 * agent-contract 8. What the agent makes of any text is in `status-verdict.ts`.
 */

import type { Located } from './json.ts';
import {
  ContractError,
  decodeArray,
  decodeNumber,
  decodeString,
  decodeText,
  element,
  isAbsent,
  member,
  optional,
  parseJson,
} from './json.ts';

/** What a status can be; all but the first are final. */
export const STATUS_VALUES = ['transitioning', 'success', 'warning', 'error'] as const;
/** One of {@link STATUS_VALUES}. */
export type StatusValue = (typeof STATUS_VALUES)[number];

/** The agent cuts a status file of more characters than this. Ours stay under {@link STATUS_TARGET_BYTES}. */
export const AGENT_STATUS_LIMIT_CHARACTERS = 128 * 1024;
/** What {@link formatStatus} stays under: half of the agent's limit, in bytes of UTF-8. */
export const STATUS_TARGET_BYTES = 64 * 1024;
/** Stands where text was cut. */
export const CUT_MARK = ' ... [cut]';

/** Name of the substatus that carries an error's code to the platform. Source: Custom Script 2.1.19 section 8. */
export const ERROR_CLARIFICATION = 'ErrorClarification';

/** One part of a status, which the platform shows under its own name. */
export interface Substatus {
  readonly name: string;
  readonly status: StatusValue;
  readonly code: number;
  readonly message: string;
}

/** What a status file says of one enable. */
export interface Status {
  /** The operation's title, such as `Enable`. */
  readonly operation: string;
  readonly status: StatusValue;
  /** 0 when all is well; below zero the platform's fault, above zero the user's. */
  readonly code: number;
  readonly message: string;
  readonly substatus: readonly Substatus[];
  /** ISO 8601 in UTC, to the second: `2026-01-02T03:04:05Z`. */
  readonly time: string;
}

/**
 * What the agent takes for the end when another extension waits for this one: `warning` is none, so it waits on.
 * Source: agent-contract 7.6.
 */
export const AGENT_TERMINAL_STATUSES: readonly StatusValue[] = ['success', 'error'];

/** True for a status that will not change any more. The agent's own notion is {@link AGENT_TERMINAL_STATUSES}. */
export function isFinal(status: StatusValue): boolean {
  return status !== 'transitioning';
}

/** The contract's form of a time: UTC, to the second. */
export function formatTime(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}

/**
 * Formats the file: an array of one element in which every key that the agent or the portal reads has the right type.
 * Text is made valid (lone surrogates and control characters replaced) and cut with {@link CUT_MARK}, so that the file
 * stays under {@link STATUS_TARGET_BYTES}: the agent never cuts it, and none of the shapes that silence the whole VM's
 * report can come out, whatever a caller without types passes. Texts share the room, the longest are cut first and keep
 * their beginning and end. When there are too many substatuses the last ones are left out, but never the first
 * {@link ERROR_CLARIFICATION}. Takes milliseconds for a text of any length.
 */
export function formatStatus(status: Status): string {
  const operation = boundText(status.operation, NAME_CHARACTERS);
  const time = boundText(status.time, TIME_CHARACTERS);
  for (let count = Math.min(status.substatus.length, MOST_SUBSTATUSES); ; count = Math.floor(count / 2)) {
    const items = keptSubstatuses(status.substatus, count);
    const lengths = [status.message, ...items.map((item) => item.message)].map((text) => text?.length ?? 0);
    for (let limit = fairShare(lengths, STATUS_TARGET_BYTES); ; limit = Math.floor(limit * 0.75)) {
      const text = formatBounded(status, operation, time, items, limit);
      if (Buffer.byteLength(text) < STATUS_TARGET_BYTES) return text;
      if (limit < LEAST_MESSAGE_CHARACTERS) break;
    }
  }
}

/**
 * Reads a status file that a handler wrote, and wants all of it to be right: throws {@link ContractError} where the agent
 * would report an invalid status, and also for an unknown status value or a code that is no number, which the agent
 * passes on in its own way (see `judgeStatus`).
 */
export function parseStatus(text: string, file: string): Status {
  if (text.startsWith('\uFEFF')) throw new ContractError(file, '', 'begins with a byte order mark');
  const entry = element(parseJson(text, file), 0);
  const body = member(entry, 'status');
  const substatus = member(body, 'substatus');
  return {
    operation: optional(member(body, 'operation'), decodeString, ''),
    status: decodeStatusValue(member(body, 'status')),
    code: optional(member(body, 'code'), decodeNumber, 0),
    message: decodeMessage(member(body, 'formattedMessage')),
    substatus: isAbsent(substatus)
      ? []
      : decodeArray(substatus).flatMap((value, index) =>
          value === null ? [] : [parseSubstatus(element(substatus, index))],
        ),
    time: optional(member(entry, 'timestampUTC'), decodeString, ''),
  };
}

/**
 * Cuts `text` to at most `characters` UTF-16 units, in the middle, with {@link CUT_MARK}; never through a surrogate pair.
 * Takes the same time for a text of any length.
 */
export function cutText(text: string, characters: number): string {
  if (text.length <= characters) return text;
  const mark = `${CUT_MARK}\n`;
  const room = Math.max(0, characters - mark.length);
  if (room === 0) return text.slice(0, Math.max(0, characters)).replace(/[\ud800-\udbff]$/, '');
  const tail = Math.floor(room / 2);
  const head = text.slice(0, room - tail).replace(/[\ud800-\udbff]$/, '');
  return `${head}${mark}${text.slice(text.length - tail).replace(/^[\udc00-\udfff]/, '')}`;
}

/** Valid text for people: lone surrogates and control characters (but tab and line break) become U+FFFD. */
export function cleanText(text: string): string {
  return text.toWellFormed().replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, '\uFFFD');
}

const LANGUAGE = 'en-US';
const NAME_CHARACTERS = 256;
const TIME_CHARACTERS = 64;
const LEAST_MESSAGE_CHARACTERS = 512;
const MOST_SUBSTATUSES = 256;

function formatBounded(
  status: Status,
  operation: string,
  time: string,
  items: readonly Substatus[],
  limit: number,
): string {
  const body = {
    name: operation,
    operation,
    configurationAppliedTime: time,
    status: statusValue(status.status),
    code: integer(status.code),
    formattedMessage: { lang: LANGUAGE, message: boundText(status.message, limit) },
    substatus: items.map((item) => ({
      name: boundText(item.name, NAME_CHARACTERS),
      status: statusValue(item.status),
      code: integer(item.code),
      formattedMessage: { lang: LANGUAGE, message: boundText(item.message, limit) },
    })),
  };
  return `${JSON.stringify([{ version: 1.0, timestampUTC: time, status: body }], null, 2)}\n`;
}

/** The first `count`, and the error's code even when it stands further back. */
function keptSubstatuses(all: readonly Substatus[], count: number): readonly Substatus[] {
  const kept = all.slice(0, count);
  const clarification = all.find((item) => item.name === ERROR_CLARIFICATION);
  return clarification === undefined || kept.includes(clarification) ? kept : [...kept, clarification];
}

/** The most that each text may have, so that all together have no more than `total`: short ones leave room to long ones. */
function fairShare(lengths: readonly number[], total: number): number {
  let rest = total;
  const ascending = [...lengths].sort((a, b) => a - b);
  for (const [index, length] of ascending.entries()) {
    const share = Math.floor(rest / (ascending.length - index));
    if (length > share) return share;
    rest -= length;
  }
  return ascending.at(-1) ?? 0;
}

/** Cuts before it cleans, so that the work does not grow with the text. What is no text becomes empty. */
function boundText(text: string, characters: number): string {
  return typeof text === 'string' ? cleanText(cutText(text, characters)) : '';
}

/** An unknown value is an error to the agent; in a substatus it would cost the whole status. */
function statusValue(value: StatusValue): StatusValue {
  return STATUS_VALUES.includes(value) ? value : 'error';
}

function parseSubstatus(at: Located): Substatus {
  return {
    name: optional(member(at, 'name'), decodeString, ''),
    status: decodeStatusValue(member(at, 'status')),
    code: optional(member(at, 'code'), decodeNumber, 0),
    message: decodeMessage(member(at, 'formattedMessage')),
  };
}

function decodeMessage(at: Located): string {
  if (isAbsent(at)) return '';
  const message = member(at, 'message');
  for (const part of [member(at, 'lang'), message]) {
    if (part.value === undefined) throw new ContractError(part.file, part.path, 'is missing');
  }
  return optional(message, decodeString, '');
}

function decodeStatusValue(at: Located): StatusValue {
  const value = decodeText(at);
  const known = STATUS_VALUES.find((one) => one === value);
  if (known === undefined)
    throw new ContractError(at.file, at.path, `must be one of ${STATUS_VALUES.join(', ')}`);
  return known;
}

/** The portal shows whole numbers; anything else would stop the report. */
function integer(code: number): number {
  return Number.isSafeInteger(code) ? code : -1;
}
