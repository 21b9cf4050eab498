/**
 * The status blob: what the agent uploads about the VM, with the status of every handler and extension. It passes the handlers'
 * words on, of whatever kind they are.
 * Source: WALinuxAgent 2.15 `common/protocol/wire.py` vm_status_to_v1, ext_handler_status_to_v1; agent-contract 8.6, 12.6.
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
import { STATUS_VALUES, type StatusValue } from './status.ts';
import type { ReportedStatus, ReportedSubstatus } from './status-verdict.ts';

/** What a status blob says. */
export interface UploadedStatus {
  /** Version of the agent that wrote it. */
  readonly agentVersion: string;
  /** Number of the goal state that the agent has processed; `undefined` before the first one. */
  readonly incarnation: number | undefined;
  /** Why the agent did not take the goal state as a whole; `undefined` when it did. */
  readonly goalStateError: string | undefined;
  readonly handlers: readonly UploadedHandler[];
}

/** One handler, or one of its configurations. */
export interface UploadedHandler {
  readonly handlerName: string;
  readonly handlerVersion: string;
  /** Name of one of several configurations. */
  readonly extensionName: string | undefined;
  /** `Ready`, `NotReady`, or what a heartbeat says; `null` when a heartbeat says nothing. */
  readonly status: string | null;
  readonly code: number;
  readonly message: string | null;
  /** `undefined` when the handler has no settings or is not installed. */
  readonly settings: { readonly sequence: number; readonly status: ReportedStatus } | undefined;
}

/** Reads a status blob. Throws `ContractError`, which names `file`. */
export function parseUploadedStatus(text: string, file: string): UploadedStatus {
  const aggregate = member(parseJson(text, file), 'aggregateStatus');
  const goalState = below(aggregate, 'vmArtifactsAggregateStatus', 'goalStateAggregateStatus');
  const handlers = member(aggregate, 'handlerAggregateStatus');
  return {
    agentVersion: decodeString(below(aggregate, 'guestAgentStatus', 'version')),
    incarnation: optional(at(goalState, 'inSvdSeqNo'), (value) => Number(decodeText(value)), undefined),
    goalStateError: readGoalStateError(goalState),
    handlers: isAbsent(handlers)
      ? []
      : decodeArray(handlers).map((_, index) => readHandler(element(handlers, index))),
  };
}

const SUCCESS = 'Success';

function readGoalStateError(goalState: Located): string | undefined {
  if (isAbsent(goalState)) return undefined;
  const status = at(goalState, 'status');
  if (isAbsent(status) || decodeString(status) === SUCCESS) return undefined;
  return readMessage(goalState) ?? decodeString(status);
}

function readHandler(handler: Located): UploadedHandler {
  const settings = member(handler, 'runtimeSettingsStatus');
  return {
    handlerName: decodeText(member(handler, 'handlerName')),
    handlerVersion: decodeText(member(handler, 'handlerVersion')),
    extensionName: optional(at(settings, 'extensionName'), decodeText, undefined),
    status: optional(member(handler, 'status'), decodeWords, null),
    code: optional(member(handler, 'code'), decodeNumber, 0),
    message: readMessage(handler) ?? null,
    settings: isAbsent(settings)
      ? undefined
      : {
          sequence: optional(member(settings, 'sequenceNumber'), decodeNumber, 0),
          status: readStatus(below(settings, 'settingsStatus', 'status')),
        },
  };
}

function readStatus(status: Located): ReportedStatus {
  const substatus = at(status, 'substatus');
  return {
    operation: at(status, 'operation').value ?? null,
    configurationAppliedTime: at(status, 'configurationAppliedTime').value ?? null,
    status: readValue(at(status, 'status')) ?? null,
    code: at(status, 'code').value ?? null,
    message: readMessage(status) ?? null,
    substatus: isAbsent(substatus)
      ? []
      : decodeArray(substatus).flatMap((_, index) => readSubstatus(element(substatus, index))),
  };
}

function readSubstatus(substatus: Located): readonly ReportedSubstatus[] {
  const status = readValue(at(substatus, 'status'));
  if (status === undefined) return [];
  return [
    {
      name: at(substatus, 'name').value ?? null,
      status,
      code: at(substatus, 'code').value ?? null,
      message: readMessage(substatus),
    },
  ];
}

function readValue(status: Located): StatusValue | undefined {
  if (isAbsent(status)) return undefined;
  const value = decodeWords(status);
  return STATUS_VALUES.find((one) => one === value);
}

function readMessage(of: Located): string | undefined {
  return optional(below(of, 'formattedMessage', 'message'), decodeWords, undefined);
}

/** What a handler wrote may be of any kind, and 2.7.3 passes it on as it is. */
function decodeWords({ file, path, value }: Located): string {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value);
  } catch {
    throw new ContractError(file, path, 'is nested too deeply');
  }
}

/** The member of an object that may itself be missing. */
function at(parent: Located, key: string): Located {
  return isAbsent(parent) ? { ...parent, value: undefined } : member(parent, key);
}

function below(parent: Located, ...keys: readonly string[]): Located {
  return keys.reduce(at, parent);
}
