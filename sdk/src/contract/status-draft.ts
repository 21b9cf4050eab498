/**
 * Reading of a status file's JSON as the agent reads it, step by step, with the same faults in the same order. What
 * becomes of the result is in `status-verdict.ts`.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` parse_ext_status, parse_ext_substatus, parse_formatted_message,
 * validate_has_key, validate_in_range; agent-contract 8.2, 8.3.
 */
import { typeName } from './json.ts';
import { formatPythonValue, pythonLookup } from './python-values.ts';
import type { StatusValue } from './status.ts';
import { STATUS_VALUES } from './status.ts';

/** What the agent has read so far: a fault further on leaves it in the report. Messages can still be anything. */
export interface StatusDraft {
  operation: unknown;
  configurationAppliedTime: unknown;
  status: StatusValue | null;
  code: unknown;
  message: unknown;
  substatus: { name: unknown; status: StatusValue; code: unknown; message: unknown }[];
  notes: string[];
}

export type StatusFault =
  | { readonly kind: 'malformed'; readonly agentText: string; readonly reason: string }
  | { readonly kind: 'silences'; readonly reason: string };

/** Reads the decoded file into `draft`; the fault at which the agent stops, if there is one. Never throws. */
export function readStatusFile(root: unknown, draft: StatusDraft): StatusFault | undefined {
  if (root === null) {
    draft.notes.push('the file holds null, so the agent reports no status at all');
    return undefined;
  }
  if (!Array.isArray(root)) {
    return {
      kind: 'malformed',
      agentText: `The extension status must be an array: ${formatPythonValue(root, SHOWN_CHARACTERS)}`,
      reason: `the file is ${typeName(root)}, not an array; allowed: an array whose first element is the status`,
    };
  }
  if (root.length === 0) {
    draft.notes.push('the array is empty, so the agent reports no status at all');
    return undefined;
  }
  if (root.length > 1) draft.notes.push(`of the ${root.length} elements only the first is read`);
  return readEntry(root[0], draft);
}

function readEntry(entry: unknown, draft: StatusDraft): StatusFault | undefined {
  const body = lookUp(entry, 'status', 'the first element', 'status');
  if (isFault(body)) return body;
  const status = lookUp(body.value, 'status', '`status`', 'status/status');
  if (isFault(status)) return status;
  const known = STATUS_VALUES.find((one) => one === status.value);
  if (known === undefined) draft.notes.push(unknownStatus(status.value));
  draft.configurationAppliedTime = memberOf(body.value, 'configurationAppliedTime') ?? null;
  draft.operation = memberOf(body.value, 'operation') ?? null;
  draft.status = known ?? 'error';
  draft.code = codeOf(body.value);
  const message = readMessage(memberOf(body.value, 'formattedMessage'), '`formattedMessage`');
  if (isFault(message)) return message;
  draft.message = message.value;
  return readSubstatuses(memberOf(body.value, 'substatus'), draft);
}

function readSubstatuses(list: unknown, draft: StatusDraft): StatusFault | undefined {
  if (list === undefined || list === null || list === '') return undefined;
  // Python walks a text letter by letter, and finds no status in the first one.
  if (typeof list === 'string')
    return missingKey('the first letter of `substatus`', 'substatus/status', 'status');
  if (!Array.isArray(list)) {
    const isEmptyObject = typeof list === 'object' && Object.keys(list).length === 0;
    return isEmptyObject ? undefined : { kind: 'silences', reason: '`substatus` is not an array' };
  }
  for (const [index, item] of list.entries()) {
    const fault = item === null ? undefined : readSubstatus(item, `substatus[${index}]`, draft);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function readSubstatus(item: unknown, where: string, draft: StatusDraft): StatusFault | undefined {
  const status = lookUp(item, 'status', where, 'substatus/status');
  if (isFault(status)) return status;
  const known = STATUS_VALUES.find((one) => one === status.value);
  if (known === undefined) {
    const shown = formatPythonValue(status.value, SHOWN_CHARACTERS);
    return {
      kind: 'malformed',
      agentText: `Invalid value ${shown} in range ${AGENT_RANGE} at the node substatus/status`,
      reason: `${where}.status is ${valueText(status.value)}; allowed: ${ALLOWED}; unlike at the top, that costs the whole status`,
    };
  }
  const message = readMessage(memberOf(item, 'formattedMessage'), `${where}.formattedMessage`);
  if (isFault(message)) return message;
  const name = memberOf(item, 'name');
  draft.substatus.push({ name, status: known, code: codeOf(item), message: message.value ?? undefined });
  return undefined;
}

function readMessage(formatted: unknown, where: string): { readonly value: unknown } | StatusFault {
  if (formatted === undefined || formatted === null) return { value: null };
  if (typeof formatted === 'string') {
    return { kind: 'silences', reason: `${where} is a text; it must be an object with lang and message` };
  }
  const language = lookUp(formatted, 'lang', where, 'formattedMessage/lang');
  return isFault(language) ? language : lookUp(formatted, 'message', where, 'formattedMessage/message');
}

/** Reads a member that must be there. A value that Python cannot look into stops the agent. */
function lookUp(
  value: unknown,
  key: string,
  where: string,
  agentPath: string,
): { value: unknown } | StatusFault {
  const found = pythonLookup(value, key);
  if (found === 'found') return { value: memberOf(value, key) };
  if (found === 'crash') return { kind: 'silences', reason: `${where} is ${typeName(value)}, not an object` };
  return missingKey(where, agentPath, key);
}

function missingKey(where: string, agentPath: string, key: string): StatusFault {
  return {
    kind: 'malformed',
    agentText: `Invalid status format by extension: Missing ${agentPath} key`,
    reason: `${where} has no ${key}, which is required`,
  };
}

function unknownStatus(value: unknown): string {
  return `\`status.status\` is ${valueText(value)}, which the agent turns into error; allowed: ${ALLOWED}, in lower case`;
}

/** A value for people: cut, and as JSON unless it is a text. */
function valueText(value: unknown): string {
  return typeof value === 'string' ? `\`${value.slice(0, 100)}\`` : formatPythonValue(value, 100);
}

function codeOf(object: unknown): unknown {
  const code = memberOf(object, 'code');
  return code === undefined ? 0 : code;
}

function memberOf(object: unknown, key: string): unknown {
  if (typeof object !== 'object' || object === null || !Object.hasOwn(object, key)) return undefined;
  return Reflect.get(object, key);
}

function isFault(result: { readonly value: unknown } | StatusFault): result is StatusFault {
  return 'kind' in result;
}

/** The agent's list of values, in its order and as Python shows it. */
const AGENT_RANGE = "['transitioning', 'warning', 'error', 'success']";
const ALLOWED = STATUS_VALUES.join(', ');
const SHOWN_CHARACTERS = 4096;
