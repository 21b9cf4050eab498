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

export const STATUS_VALUES = ['transitioning', 'success', 'warning', 'error'] as const;
export type StatusValue = (typeof STATUS_VALUES)[number];

/** The agent cuts a status file of more characters than this. Ours stay under {@link STATUS_TARGET_BYTES}. */
export const AGENT_STATUS_LIMIT_CHARACTERS = 128 * 1024;
/** What {@link formatStatus} stays under: half of the agent's limit, in bytes of UTF-8. */
export const STATUS_TARGET_BYTES = 64 * 1024;
/** Stands where text was cut. */
export const CUT_MARK = ' ... [cut]';

/** Name of the substatus that carries an error's code to the platform. Source: Custom Script 2.1.19 section 8. */
export const ERROR_CLARIFICATION = 'ErrorClarification';

export interface Substatus {
  readonly name: string;
  readonly status: StatusValue;
  readonly code: number;
  readonly message: string;
}

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

/** True for a status that will not change any more. */
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
 * report can come out. The message keeps its beginning and its end; a substatus that does not fit any more is left out,
 * except the first ones, of which the error's code is one.
 */
export function formatStatus(status: Status): string {
  const message = cleanText(status.message);
  const substatus = status.substatus.map((item) => ({
    name: cutText(cleanText(item.name), 256),
    status: item.status,
    code: integer(item.code),
    formattedMessage: { lang: LANGUAGE, message: cleanText(item.message) },
  }));
  const build = (limit: number, count: number): string =>
    `${JSON.stringify(
      [
        {
          version: 1.0,
          timestampUTC: status.time,
          status: {
            name: cutText(cleanText(status.operation), 256),
            operation: cutText(cleanText(status.operation), 256),
            configurationAppliedTime: status.time,
            status: status.status,
            code: integer(status.code),
            formattedMessage: { lang: LANGUAGE, message: cutText(message, limit * 2) },
            substatus: substatus.slice(0, count).map((item) => ({
              ...item,
              formattedMessage: { lang: LANGUAGE, message: cutText(item.formattedMessage.message, limit) },
            })),
          },
        },
      ],
      null,
      2,
    )}\n`;
  for (let count = Math.min(substatus.length, 512); ; count = Math.floor(count / 2)) {
    for (let limit = STATUS_TARGET_BYTES; limit >= 512; limit = Math.floor(limit / 2)) {
      const text = build(limit, count);
      if (Buffer.byteLength(text) < STATUS_TARGET_BYTES) return text;
    }
    if (count === 0) return build(256, 0);
  }
}

/** Reads a status file that a handler wrote. Throws {@link ContractError} where the agent would report one as invalid. */
export function parseStatus(text: string, file: string): Status {
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

/** Cuts `text` to `characters`, in the middle, with {@link CUT_MARK}; never through a surrogate pair. */
export function cutText(text: string, characters: number): string {
  if (text.length <= characters) return text;
  const room = Math.max(0, characters - CUT_MARK.length - 1);
  const head = Math.ceil(room / 2);
  const tail = room - head;
  return `${text.slice(0, head)}${CUT_MARK}\n${tail === 0 ? '' : text.slice(-tail)}`.toWellFormed();
}

/** Valid text for people: lone surrogates and control characters (but tab and line break) become U+FFFD. */
export function cleanText(text: string): string {
  return text.toWellFormed().replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, '\uFFFD');
}

const LANGUAGE = 'en-US';

function parseSubstatus(at: Located): Substatus {
  return {
    name: optional(member(at, 'name'), decodeString, ''),
    status: decodeStatusValue(member(at, 'status')),
    code: optional(member(at, 'code'), decodeNumber, 0),
    message: decodeMessage(member(at, 'formattedMessage')),
  };
}

function decodeMessage(at: Located): string {
  return isAbsent(at) ? '' : decodeString(member(at, 'message'));
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
