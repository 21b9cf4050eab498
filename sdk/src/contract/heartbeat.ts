/**
 * `heartbeat.log`: a handler that runs on says whether it is well. Read only with `reportHeartbeat` in the manifest.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` collect_heartbeat, is_responsive; agent-contract 9.
 */
import { ContractError, decodeString, element, member, optional, parseJson } from './json.ts';
import { cleanText, cutText } from './status.ts';

/** Seconds after which the agent calls a handler `Unresponsive`, by the file's modification time. */
export const HEARTBEAT_STALE_SECONDS = 600;
/** How often a living handler refreshes the file. */
export const HEARTBEAT_INTERVAL_SECONDS = 60;
/** What the agent reports for a stale heartbeat. */
export const UNRESPONSIVE = 'Unresponsive';

/** The two values that the platform takes for healthy and unhealthy; the agent passes any text through as it is. */
export type HeartbeatStatus = 'Ready' | 'NotReady';

/** What a handler says of itself while it works. */
export interface Heartbeat {
  readonly status: HeartbeatStatus;
  readonly code: number;
  readonly message: string;
}

/** Characters that {@link formatHeartbeat} keeps of a message: it becomes the message of the handler as a whole. */
export const HEARTBEAT_MESSAGE_CHARACTERS = 4096;

/**
 * Formats the file with both forms of the message: what the agent reads, and what Microsoft's document shows. The message
 * is made valid text and cut to {@link HEARTBEAT_MESSAGE_CHARACTERS}.
 */
export function formatHeartbeat(heartbeat: Heartbeat): string {
  const { status, code } = heartbeat;
  const message = cleanText(cutText(heartbeat.message, HEARTBEAT_MESSAGE_CHARACTERS));
  const body = { status, code, formattedMessage: { lang: 'en-US', message }, Message: message };
  return `${JSON.stringify([{ version: 1.0, heartbeat: body }])}\n`;
}

/** What the agent takes from a heartbeat: the status as it stands, and a message if there is one. */
export interface HeartbeatReading {
  readonly status: string | undefined;
  /** `null` clears the handler's message; `undefined` leaves it. */
  readonly message: string | null | undefined;
}

/**
 * Reads a heartbeat that is as it must be; element 0 only, the code is ignored. Throws {@link ContractError} for any
 * other: what the agent makes of that is in `heartbeat-verdict.ts`.
 */
export function parseHeartbeat(text: string, file: string): HeartbeatReading {
  if (text.startsWith('\uFEFF')) throw new ContractError(file, '', 'begins with a byte order mark');
  const body = member(element(parseJson(text, file), 0), 'heartbeat');
  if (body.value === null) return { status: undefined, message: undefined };
  const status = optional(member(body, 'status'), decodeString, undefined);
  const formatted = member(body, 'formattedMessage');
  if (formatted.value === undefined) return { status, message: undefined };
  if (formatted.value === null) return { status, message: null };
  for (const part of [member(formatted, 'lang'), member(formatted, 'message')]) {
    if (part.value === undefined) throw new ContractError(file, part.path, 'is missing');
  }
  return { status, message: optional(member(formatted, 'message'), decodeString, null) };
}
