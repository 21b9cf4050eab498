/**
 * What the agent makes of a status file: what it reports for every text a handler can leave, and in words why.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` collect_ext_status, parse_ext_status, _truncate_message,
 * `common/utils/textutil.py` redact_sas_token; agent-contract 8.2, 8.3, 8.5.
 */

import type { Located } from './json.ts';
import { isAbsent, member, parseJson } from './json.ts';
import { AGENT_ERROR_CODES } from './operations.ts';
import type { StatusValue } from './status.ts';
import { AGENT_STATUS_LIMIT_CHARACTERS, STATUS_VALUES } from './status.ts';

/** A substatus as the agent reports it; `code` is passed through whatever it is. */
export interface ReportedSubstatus {
  readonly name: string | undefined;
  readonly status: StatusValue;
  readonly code: unknown;
  readonly message: string | undefined;
}

/** The status of one extension as the agent reports it to the platform. `null` values come from an empty array. */
export interface ReportedStatus {
  readonly operation: unknown;
  readonly status: StatusValue | null;
  readonly code: unknown;
  readonly message: string | null;
  readonly substatus: readonly ReportedSubstatus[];
}

export interface StatusVerdict {
  readonly reported: ReportedStatus;
  /** Why the agent reports something else than the file says; `undefined` when it reports just that. */
  readonly explanation: string | undefined;
  /** True when this file stops the status report of the whole VM: nothing is uploaded for any extension. */
  readonly silencesVm: boolean;
}

export interface StatusSource {
  /** Text of the status file; `undefined` when there is none. */
  readonly text: string | undefined;
  /** Path of the status file, for messages. */
  readonly file: string;
  /** `Publisher.Type` and, for one of several configurations, its name: what the agent calls the extension. */
  readonly extension: string;
  /** `Publisher.Type-1.2.3`. */
  readonly handlerFolder: string;
  readonly sequence: number;
}

const TOP_MESSAGE_CHARACTERS = 1024;
const SUBSTATUS_FIELD_CHARACTERS = 10 * 1024;
const TRUNCATED = ' ... [TRUNCATED]';

/** Judges a status file as the agent does. Never throws. */
export function judgeStatus(source: StatusSource): StatusVerdict {
  if (source.text === undefined) return missing(source);
  let root: Located;
  try {
    if (source.text.startsWith('\uFEFF')) throw new Error('byte order mark');
    root = parseJson(source.text, source.file);
  } catch {
    return unreadable(source, source.text);
  }
  if (!Array.isArray(root.value)) {
    return malformed(
      source,
      '[ExtensionStatusError] The extension status must be an array',
      'the file is an object, not an array',
    );
  }
  if (root.value.length === 0) {
    return verdict(
      { operation: null, status: null, code: null, message: null, substatus: [] },
      'the array is empty, so the agent reports no status at all',
    );
  }
  const found = parseEntry({ file: source.file, path: '[0]', value: root.value[0] });
  if (found.kind === 'silences') return silence(found.reason);
  if (found.kind === 'malformed') return malformed(source, found.agentText, found.reason);
  return limit(found.reported, source.text, found.explanation);
}

/** What the agent reports when the status file is there but cannot be read, for the reason that the system gave. */
export function judgeUnreadableStatus(source: Omit<StatusSource, 'text'>, reason: string): StatusVerdict {
  const message = `We couldn't read any status for ${source.handlerFolder} extension, for the sequence number ${source.sequence}. It failed due to ${reason}`;
  const code = AGENT_ERROR_CODES.unknownFailure;
  return verdict(
    { operation: null, status: 'error', code, message: redactSas(message), substatus: [] },
    `the agent reports ${code} because it cannot read ${source.file}: ${reason}`,
  );
}

type Entry =
  | { readonly kind: 'ok'; readonly reported: ReportedStatus; readonly explanation: string | undefined }
  | { readonly kind: 'malformed'; readonly agentText: string; readonly reason: string }
  | { readonly kind: 'silences'; readonly reason: string };

function parseEntry(entry: Located): Entry {
  if (!isObject(entry.value)) return { kind: 'silences', reason: 'the first element is not an object' };
  const body = member(entry, 'status');
  if (body.value === undefined) return missingKey('status');
  if (!isObject(body.value)) return { kind: 'silences', reason: '`status` is not an object' };
  const value = member(body, 'status');
  if (value.value === undefined) return missingKey('status/status');
  const message = parseMessage(member(body, 'formattedMessage'), 'status/formattedMessage');
  if ('kind' in message) return message;
  const items: ReportedSubstatus[] = [];
  const list = member(body, 'substatus');
  if (!isAbsent(list)) {
    if (!Array.isArray(list.value)) return { kind: 'silences', reason: '`substatus` is not an array' };
    for (const [index, raw] of list.value.entries()) {
      if (raw === null) continue;
      const item = parseSubstatus({ file: list.file, path: `substatus[${index}]`, value: raw });
      if ('kind' in item) return item;
      items.push(item);
    }
  }
  const known = STATUS_VALUES.find((one) => one === value.value);
  const code = member(body, 'code').value;
  return {
    kind: 'ok',
    reported: {
      operation: member(body, 'operation').value ?? null,
      status: known ?? 'error',
      code: code === undefined ? 0 : code,
      message: message.text === undefined ? null : redactSas(message.text),
      substatus: items,
    },
    explanation:
      known === undefined
        ? `status.status is ${JSON.stringify(value.value)}, which the agent turns into error; allowed: ${STATUS_VALUES.join(', ')}`
        : undefined,
  };
}

function parseSubstatus(at: Located): ReportedSubstatus | Exclude<Entry, { kind: 'ok' }> {
  if (!isObject(at.value)) return { kind: 'silences', reason: `${at.path} is not an object` };
  const value = member(at, 'status');
  if (value.value === undefined) return missingKey('substatus/status');
  const known = STATUS_VALUES.find((one) => one === value.value);
  if (known === undefined) {
    return {
      kind: 'malformed',
      agentText: `[ExtensionStatusError] Invalid value ${String(value.value)} in range [${STATUS_VALUES.join(', ')}] at the node substatus/status`,
      reason: `${at.path}.status is ${JSON.stringify(value.value)}; allowed: ${STATUS_VALUES.join(', ')}`,
    };
  }
  const message = parseMessage(member(at, 'formattedMessage'), 'substatus/formattedMessage');
  if ('kind' in message) return message;
  const name = member(at, 'name').value;
  const code = member(at, 'code').value;
  return {
    name: typeof name === 'string' ? name : undefined,
    status: known,
    code: code === undefined ? 0 : code,
    message: message.text === undefined ? undefined : redactSas(message.text),
  };
}

function parseMessage(
  at: Located,
  where: string,
): { text: string | undefined } | Exclude<Entry, { kind: 'ok' }> {
  if (isAbsent(at)) return { text: undefined };
  if (!isObject(at.value)) return { kind: 'silences', reason: `${at.path} is not an object` };
  for (const key of ['lang', 'message'] as const) {
    if (member(at, key).value === undefined) return missingKey(`${where}/${key}`);
  }
  const { value } = member(at, 'message');
  if (value === null) return { text: undefined };
  if (typeof value !== 'string') return { kind: 'silences', reason: `${at.path}.message is not a string` };
  return { text: value };
}

/** Over the limit the agent cuts the message and the substatuses; without their text it gives up on the whole report. */
function limit(reported: ReportedStatus, text: string, explanation: string | undefined): StatusVerdict {
  if (text.length <= AGENT_STATUS_LIMIT_CHARACTERS) return verdict(reported, explanation);
  if (reported.message === null) return silence('the file is too long and has no message');
  const kept: ReportedSubstatus[] = [];
  let total = 0;
  for (const item of reported.substatus) {
    if (item.name === undefined || item.message === undefined) {
      return silence('the file is too long and a substatus has no name or no message');
    }
    const name = truncate(item.name, SUBSTATUS_FIELD_CHARACTERS);
    const message = truncate(item.message, SUBSTATUS_FIELD_CHARACTERS);
    total += name.length + message.length;
    if (total > AGENT_STATUS_LIMIT_CHARACTERS) break;
    kept.push({ ...item, name, message });
  }
  const cut = `the file has ${text.length} characters, more than ${AGENT_STATUS_LIMIT_CHARACTERS}: the agent cut it`;
  return verdict(
    { ...reported, message: truncate(reported.message, TOP_MESSAGE_CHARACTERS), substatus: kept },
    explanation ?? cut,
  );
}

function truncate(text: string, characters: number): string {
  return text.length < characters ? text : `${text.slice(0, characters)}${TRUNCATED}`;
}

function missing(source: StatusSource): StatusVerdict {
  const text = `This status is being reported by the Guest Agent since no status file was reported by extension ${source.extension}: [ExtensionStatusError] Status file ${source.file} does not exist`;
  return verdict(
    { operation: null, status: 'transitioning', code: 0, message: text, substatus: [] },
    `there is no file ${source.file}: the handler has not written a status for sequence number ${source.sequence}`,
  );
}

function unreadable(source: StatusSource, text: string): StatusVerdict {
  const why = text.startsWith('\uFEFF')
    ? 'Unexpected UTF-8 BOM (decode using utf-8-sig)'
    : 'the file is not valid JSON';
  const message = `The status reported by the extension ${source.handlerFolder}(Sequence number ${source.sequence}), was in an incorrect format and the agent could not parse it correctly. Failed due to [ExtensionStatusError] ${why} \n First 2000 Bytes of status file:\n ${text.slice(0, 2000)}`;
  return invalid(
    message,
    text.startsWith('\uFEFF') ? 'the file begins with a byte order mark' : 'the file is not valid JSON',
  );
}

function malformed(source: StatusSource, agentText: string, reason: string): StatusVerdict {
  return invalid(
    `Could not get a valid status from the extension ${source.handlerFolder}. Encountered the following error: ${agentText}`,
    reason,
  );
}

function invalid(message: string, reason: string): StatusVerdict {
  const code = AGENT_ERROR_CODES.statusInvalid;
  return verdict(
    { operation: null, status: 'error', code, message: redactSas(message), substatus: [] },
    `the agent reports ${code} because ${reason}`,
  );
}

function silence(reason: string): StatusVerdict {
  return {
    reported: { operation: null, status: null, code: null, message: null, substatus: [] },
    explanation: `${reason}: the agent gives up on the report of the whole VM, so no extension's status is uploaded`,
    silencesVm: true,
  };
}

function verdict(reported: ReportedStatus, explanation: string | undefined): StatusVerdict {
  return { reported, explanation, silencesVm: false };
}

function missingKey(path: string): Exclude<Entry, { kind: 'ok' }> {
  return {
    kind: 'malformed',
    agentText: `[ExtensionStatusError] Invalid status format by extension: Missing ${path} key`,
    reason: `the key ${path} is missing`,
  };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The agent hides the query of a shared access signature in what it reports. Source: textutil.py redact_sas_token. */
export function redactSas(text: string): string {
  return text.replace(/(https:\/\/[^\s?"']+\?)(?:sv|st|se|sr|sp|sip|spr|sig)=[^\s"']*/g, '$1<redacted>');
}
