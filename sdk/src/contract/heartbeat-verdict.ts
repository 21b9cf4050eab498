/**
 * What the agent makes of a heartbeat file: every text a handler can leave, and its age.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` collect_heartbeat, is_responsive, report_ext_handler_status; agent-contract 9.
 */
import { HEARTBEAT_STALE_SECONDS, UNRESPONSIVE } from './heartbeat.ts';
import type { Located } from './json.ts';
import { isAbsent, member, parseJson } from './json.ts';
import { AGENT_ERROR_CODES } from './operations.ts';
import { pythonJsonError } from './python-json-error.ts';
import { formatPythonValue, pythonLookup } from './python-values.ts';

/** What becomes of a heartbeat in the report of the VM. */
export type HeartbeatVerdict =
  /** The heartbeat is JSON null: the handler is reported as if it had none. */
  | { readonly kind: 'ignored' }
  /** `message`: `null` clears the handler's message, `undefined` leaves it. The handler's code stays as it is. */
  | {
      readonly kind: 'reported';
      readonly status: string | null;
      readonly message: string | null | undefined;
    }
  /**
   * The agent notes `code` and `message` as the handler's status for its next report. `status` is what this report
   * already takes over; `undefined` when it takes nothing.
   */
  | {
      readonly kind: 'failed';
      readonly code: number;
      readonly message: string;
      readonly status: string | null | undefined;
    }
  /** The agent gives up on the report of the whole VM. */
  | { readonly kind: 'silences'; readonly reason: string };

/** A heartbeat as the agent finds it. */
export interface HeartbeatSource {
  /** Text of the file; `undefined` when there is none. */
  readonly text: string | undefined;
  /** Whole seconds since the file was last written. */
  readonly ageSeconds: number;
  /** Path of the file, for messages. */
  readonly file: string;
}

/** Code that the agent saves for a message without language or text. Source: `common/exception.py` ExtensionStatusError. */
const MESSAGE_INVALID_CODE = 3;

/** Judges a heartbeat as the agent does. Never throws. */
export function judgeHeartbeat(source: HeartbeatSource): HeartbeatVerdict {
  if (source.text === undefined) return failed('[ExtensionError] Failed to get heart beat file');
  if (source.ageSeconds > HEARTBEAT_STALE_SECONDS) {
    return { kind: 'reported', status: UNRESPONSIVE, message: undefined };
  }
  let root: Located;
  try {
    const syntax = pythonJsonError(source.text);
    if (syntax !== undefined) return malformed(syntax);
    root = parseJson(source.text, source.file);
  } catch {
    // Python takes NaN and Infinity, which stand for nothing that a heartbeat has.
    return malformed(NO_VALUE);
  }
  if (isObject(root.value)) return malformed(NO_FIRST_ELEMENT);
  if (!Array.isArray(root.value)) return silences('the heartbeat file is not an array');
  if (root.value.length === 0) return silences('the array in the heartbeat file is empty');
  if (!isObject(root.value[0])) return silences('the first element of the heartbeat file is not an object');
  const body = member({ file: source.file, path: '[0]', value: root.value[0] }, 'heartbeat');
  if (body.value === undefined) return malformed(NO_HEARTBEAT);
  if (body.value === null) return { kind: 'ignored' };
  if (!isObject(body.value)) return silences('`heartbeat` is not an object');
  const status = text(member(body, 'status'));
  const message = member(body, 'formattedMessage');
  if (message.value === undefined) return { kind: 'reported', status, message: undefined };
  if (message.value === null) return { kind: 'reported', status, message: null };
  for (const key of ['lang', 'message'] as const) {
    const found = pythonLookup(message.value, key);
    if (found === 'found') continue;
    if (found === 'crash') return silences('`formattedMessage` of the heartbeat is not an object');
    const problem = `[ExtensionStatusError] Invalid status format by extension: Missing formattedMessage/${key} key`;
    return { kind: 'failed', code: MESSAGE_INVALID_CODE, message: problem, status };
  }
  const words = member(message, 'message');
  if (!isAbsent(words) && typeof words.value !== 'string') {
    return silences('`formattedMessage.message` of the heartbeat is not a string');
  }
  return { kind: 'reported', status, message: text(words) };
}

const LONGEST_STATUS = 1024;

/** Python's words, of which the agent makes its message: what is wrong with a text, or the key that was not there. */
const NO_VALUE = 'Expecting value: line 1 column 1 (char 0)';
const NO_FIRST_ELEMENT = '0';
const NO_HEARTBEAT = "'heartbeat'";

/** The agent passes any value through; one that is no text is shown as Python shows it. */
function text(at: Located): string | null {
  if (isAbsent(at)) return null;
  return typeof at.value === 'string' ? at.value : formatPythonValue(at.value, LONGEST_STATUS);
}

function malformed(why: string): HeartbeatVerdict {
  return failed(`[ExtensionError] Malformed heartbeat file: ${why}`);
}

function failed(message: string): HeartbeatVerdict {
  return { kind: 'failed', code: AGENT_ERROR_CODES.unknownFailure, message, status: undefined };
}

function silences(reason: string): HeartbeatVerdict {
  return {
    kind: 'silences',
    reason: `${reason}: the agent gives up on the report of the whole VM, so no extension's status is uploaded`,
  };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
