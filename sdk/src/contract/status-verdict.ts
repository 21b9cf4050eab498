/**
 * What the agent makes of a status file: what it reports for every text a handler can leave, and in words why.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` collect_ext_status, parse_ext_status, _truncate_message,
 * `common/utils/textutil.py` redact_sas_token; agent-contract 8.2, 8.3, 8.5.
 */

import { countCharacters, firstCharacters } from './characters.ts';
import { parseJson, typeName } from './json.ts';
import { AGENT_ERROR_CODES } from './operations.ts';
import { pythonJsonError } from './python-json-error.ts';
import { redactSas } from './sas-token.ts';
import type { StatusValue } from './status.ts';
import { AGENT_STATUS_LIMIT_CHARACTERS } from './status.ts';
import type { StatusDraft, StatusFault } from './status-draft.ts';
import { readStatusFile } from './status-draft.ts';

/** A substatus as the agent reports it; `name` and `code` are passed through whatever they are. */
export interface ReportedSubstatus {
  readonly name: unknown;
  readonly status: StatusValue;
  readonly code: unknown;
  readonly message: string | undefined;
}

/** The status of one extension as the agent reports it to the platform. `null` values come from an empty array. */
export interface ReportedStatus {
  readonly operation: unknown;
  readonly configurationAppliedTime: unknown;
  readonly status: StatusValue | null;
  readonly code: unknown;
  readonly message: string | null;
  readonly substatus: readonly ReportedSubstatus[];
}

/** What becomes of a status file in the report of the VM. */
export interface StatusVerdict {
  readonly reported: ReportedStatus;
  /** In words, why the agent reports something else than the file says; `undefined` when it reports just that. */
  readonly explanation: string | undefined;
  /** True when this file stops the status report of the whole VM: nothing is uploaded for any extension. */
  readonly silencesVm: boolean;
}

/** A status file as the agent finds it. */
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
/** Of a file that is no JSON, this much is shown. */
const UNREADABLE_CHARACTERS = 2000;

/** Judges a status file as the agent does. Never throws. */
export function judgeStatus(source: StatusSource): StatusVerdict {
  if (source.text === undefined) return missing(source);
  let root: unknown;
  try {
    if (source.text.startsWith('\uFEFF')) return unreadable(source, source.text, BYTE_ORDER_MARK);
    if (isNestedTooDeep(source.text)) return silence('the file is nested too deep to be read');
    root = parseJson(source.text, source.file).value;
  } catch {
    const empty = source.text.trim() === '';
    return unreadable(source, source.text, empty ? EMPTY_FILE : INVALID_JSON);
  }
  const draft: StatusDraft = { ...NOTHING_REPORTED, substatus: [], notes: [] };
  const fault = readStatusFile(root, draft);
  if (fault?.kind === 'silences') return silence(fault.reason);
  if (fault?.kind === 'malformed') return malformed(source, fault, draft);
  return report(draft, source.text);
}

/** What the agent reports when the status file is there but cannot be read; `reason` is the system's, in Python's words. */
export function judgeUnreadableStatus(source: Omit<StatusSource, 'text'>, reason: string): StatusVerdict {
  const problem = `[ExtensionStatusError] ${reason}\nInner error: ${reason}`;
  const message = `We couldn't read any status for ${source.handlerFolder} extension, for the sequence number ${source.sequence}. It failed due to ${problem}`;
  const code = AGENT_ERROR_CODES.unknownFailure;
  return verdict(
    { ...NOTHING_REPORTED, status: 'error', code, message: redactSas(message) },
    `the agent reports ${code} because it cannot read ${source.file}: ${reason}; it must be a regular file that root can read`,
  );
}

/** Python reads JSON by recursion and stops near its limit of 1000 calls, with an error that the agent does not catch. */
const DEEPEST_NESTING = 950;

function isNestedTooDeep(text: string): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length && depth <= DEEPEST_NESTING; at++) {
    const unit = text[at];
    if (inString && unit === '\\') at++;
    else if (unit === '"') inString = !inString;
    else if (!inString && (unit === '[' || unit === '{')) depth++;
    else if (!inString && (unit === ']' || unit === '}')) depth--;
  }
  return depth > DEEPEST_NESTING;
}

const NOTHING_REPORTED: ReportedStatus = {
  operation: null,
  configurationAppliedTime: null,
  status: null,
  code: null,
  message: null,
  substatus: [],
};

const ATOMIC = 'write it under another name in the same folder and rename it, as the SDK does';
const BYTE_ORDER_MARK = 'the file begins with a byte order mark; write UTF-8 without one';
const EMPTY_FILE = `the file is empty; ${ATOMIC}`;
const INVALID_JSON = `the file is not valid JSON: malformed, or read while it was being written; ${ATOMIC}`;

/** The report of a file in which every key is as it must be: cut when the file is too long, refused when a text is none. */
function report(draft: StatusDraft, text: string): StatusVerdict {
  const characters = text.length > AGENT_STATUS_LIMIT_CHARACTERS ? countCharacters(text) : text.length;
  const notes = [...draft.notes];
  let { message, substatus } = draft;
  if (characters > AGENT_STATUS_LIMIT_CHARACTERS) {
    if (typeof message !== 'string')
      return silence(
        'the file is too long and has no message (`status.formattedMessage.message`); above the limit it must be a text',
      );
    message = truncate(message, TOP_MESSAGE_CHARACTERS);
    const kept = truncateSubstatuses(substatus, countCharacters(String(message)));
    if (kept === undefined) {
      return silence(
        'the file is too long and a substatus has no name or no message; above the limit both must be texts',
      );
    }
    substatus = kept;
    notes.push(
      `the file has ${characters} characters, more than ${AGENT_STATUS_LIMIT_CHARACTERS}, so the agent cuts its texts: the message to ${TOP_MESSAGE_CHARACTERS} characters, names and messages of substatuses to ${SUBSTATUS_FIELD_CHARACTERS}${dropped(draft.substatus.length - substatus.length)}; write less`,
    );
  }
  return reportTexts({ ...draft, message, substatus }, notes);
}

function dropped(count: number): string {
  return count === 0 ? '' : `, and the last ${count} of the substatuses go`;
}

/** Messages go through a text replacement, which stops the agent when one is no text. */
function reportTexts(draft: StatusDraft, notes: readonly string[]): StatusVerdict {
  const { operation, configurationAppliedTime, status, code, message } = draft;
  if (message !== null && typeof message !== 'string') {
    return silence(`the message is ${typeName(message)}, not a text (\`status.formattedMessage.message\`)`);
  }
  const substatus: ReportedSubstatus[] = [];
  for (const item of draft.substatus) {
    if (item.message !== undefined && typeof item.message !== 'string') {
      return silence(`the message of a substatus is ${typeName(item.message)}, not a text`);
    }
    substatus.push({ ...item, message: item.message === undefined ? undefined : redactSas(item.message) });
  }
  const shown = message === null ? null : redactSas(message);
  const hidden =
    shown !== message || substatus.some((item, index) => item.message !== draft.substatus[index]?.message);
  const all = hidden
    ? [...notes, 'the agent hides the query of shared access signatures in messages']
    : notes;
  const reported = { operation, configurationAppliedTime, status, code, message: shown, substatus };
  return verdict(reported, all.length === 0 ? undefined : all.join('; '));
}

/** `undefined` when a text is missing: the agent gives up on the whole report then. */
function truncateSubstatuses(
  list: StatusDraft['substatus'],
  size: number,
): StatusDraft['substatus'] | undefined {
  const kept: StatusDraft['substatus'] = [];
  let total = size;
  for (const item of list) {
    if (typeof item.name !== 'string' || typeof item.message !== 'string') return undefined;
    const name = truncate(item.name, SUBSTATUS_FIELD_CHARACTERS);
    const message = truncate(item.message, SUBSTATUS_FIELD_CHARACTERS);
    total += countCharacters(name) + countCharacters(message);
    if (total > AGENT_STATUS_LIMIT_CHARACTERS) break;
    kept.push({ ...item, name, message });
  }
  return kept;
}

/** A text of exactly the limit is already marked as cut. */
function truncate(text: string, characters: number): string {
  return countCharacters(text) < characters ? text : `${firstCharacters(text, characters)}${TRUNCATED}`;
}

function missing(source: StatusSource): StatusVerdict {
  const message = `This status is being reported by the Guest Agent since no status file was reported by extension ${source.extension}: [ExtensionStatusError] Status file ${source.file} does not exist`;
  return verdict(
    { ...NOTHING_REPORTED, status: 'transitioning', code: 0, message },
    `there is no file ${source.file}: the handler has not written a status for sequence number ${source.sequence}, so the agent reports transitioning until it does; a status of another number does not count`,
  );
}

function unreadable(source: StatusSource, text: string, why: string): StatusVerdict {
  const code = AGENT_ERROR_CODES.statusInvalid;
  const shown = firstCharacters(text, UNREADABLE_CHARACTERS).toWellFormed();
  // Python reads what JSON does not have, such as NaN; then its reader has nothing to say.
  const syntax = pythonJsonError(text) ?? 'Expecting value: line 1 column 1 (char 0)';
  const message = `The status reported by the extension ${source.handlerFolder}(Sequence number ${source.sequence}), was in an incorrect format and the agent could not parse it correctly. Failed due to [ExtensionStatusError] ${syntax} \n First 2000 Bytes of status file:\n ${shown}\nInner error: ${syntax}`;
  return verdict(
    { ...NOTHING_REPORTED, status: 'error', code, message: redactSas(message) },
    `the agent reports ${code} because ${why} (${source.file}: ${syntax})`,
  );
}

function malformed(
  source: StatusSource,
  fault: Extract<StatusFault, { kind: 'malformed' }>,
  draft: StatusDraft,
): StatusVerdict {
  const code = AGENT_ERROR_CODES.statusInvalid;
  const message = `Could not get a valid status from the extension ${source.handlerFolder}. Encountered the following error: [ExtensionStatusError] ${fault.agentText}`;
  const notes = [`the agent reports ${code} because ${fault.reason}`];
  return reportTexts({ ...draft, status: 'error', code, message }, notes);
}

function silence(reason: string): StatusVerdict {
  return {
    reported: NOTHING_REPORTED,
    explanation: `${reason}: the agent gives up on the report of the whole VM, so no extension's status is uploaded until the file is right`,
    silencesVm: true,
  };
}

function verdict(reported: ReportedStatus, explanation: string | undefined): StatusVerdict {
  return { reported, explanation, silencesVm: false };
}
