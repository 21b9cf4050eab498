/**
 * `heartbeat.log`: a handler that runs on says whether it is well. Read only with `reportHeartbeat` in the manifest.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` collect_heartbeat, is_responsive; agent-contract 9.
 */
import { ContractError, decodeString, element, isAbsent, member, parseJson } from './json.ts';

/** Seconds after which the agent calls a handler `Unresponsive`, by the file's modification time. */
export const HEARTBEAT_STALE_SECONDS = 600;
/** How often a living handler refreshes the file. */
export const HEARTBEAT_INTERVAL_SECONDS = 60;
/** What the agent reports for a stale heartbeat. */
export const UNRESPONSIVE = 'Unresponsive';

/** The two values that the platform takes for healthy and unhealthy; the agent passes any text through as it is. */
export type HeartbeatStatus = 'Ready' | 'NotReady';

export interface Heartbeat {
  readonly status: HeartbeatStatus;
  readonly code: number;
  readonly message: string;
}

/** Formats the file with both forms of the message: what the agent reads, and what Microsoft's document shows. */
export function formatHeartbeat(heartbeat: Heartbeat): string {
  const { status, code, message } = heartbeat;
  const body = { status, code, formattedMessage: { lang: 'en-US', message }, Message: message };
  return `${JSON.stringify([{ version: 1.0, heartbeat: body }])}\n`;
}

/** What the agent takes from a heartbeat: the status as it stands, and a message if there is one. */
export interface HeartbeatReading {
  readonly status: string | undefined;
  /** `null` clears the handler's message; `undefined` leaves it. */
  readonly message: string | null | undefined;
}

/** Reads the file as the agent does; element 0 only, the code is ignored. Throws {@link ContractError}. */
export function parseHeartbeat(text: string, file: string): HeartbeatReading {
  const body = member(element(parseJson(text, file), 0), 'heartbeat');
  if (isAbsent(body)) return { status: undefined, message: undefined };
  const status = member(body, 'status');
  const formatted = member(body, 'formattedMessage');
  if (formatted.value !== undefined && formatted.value !== null && isAbsent(member(formatted, 'lang'))) {
    throw new ContractError(file, `${formatted.path}.lang`, 'is missing');
  }
  return {
    status: isAbsent(status) ? undefined : decodeString(status),
    message:
      formatted.value === undefined
        ? undefined
        : formatted.value === null
          ? null
          : decodeString(member(formatted, 'message')),
  };
}
