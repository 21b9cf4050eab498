/**
 * The status blob that the real agent uploads, as the reports that the embedded agent gives. Pure.
 * Source: WALinuxAgent 2.15 `common/protocol/wire.py` vm_status_to_v1, ext_handler_status_to_v1; agent-contract 8.6, 12.6.
 */
import type { Located, ReportedStatus, ReportedSubstatus, StatusValue } from '@handlerkit/sdk/contract';
import {
  decodeArray,
  decodeNumber,
  decodeString,
  decodeText,
  element,
  isAbsent,
  member,
  optional,
  parseJson,
  STATUS_VALUES,
} from '@handlerkit/sdk/contract';
import type { GoalState, GoalStateExtension } from '../agent/goal-state.ts';
import { isToBeDisabled } from '../agent/goal-state.ts';
import type { ExtensionReport, HandlerReport } from '../agent/handler-report.ts';

/** What a status blob says. */
export interface StatusBlob {
  /** Version of the agent that wrote it. */
  readonly agentVersion: string;
  /** Number of the goal state that the agent has processed; `undefined` before the first one. */
  readonly incarnation: number | undefined;
  /** Why the agent did not take the goal state as a whole; `undefined` when it did. */
  readonly goalStateError: string | undefined;
  readonly handlers: readonly HandlerReport[];
}

/** Reads a status blob. Throws `ContractError`, which names `file`. */
export function parseStatusBlob(text: string, file: string): StatusBlob {
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

/** The reports of those extensions that the goal state names, in its order; the agent may report nothing of one. */
export function reportsFor(goalState: GoalState, blob: StatusBlob): readonly HandlerReport[] {
  return goalState.extensions.flatMap((extension) => {
    const report = blob.handlers.find((one) => isReportOf(one, extension));
    if (report === undefined) return [];
    return isToBeDisabled(extension) && report.extension === undefined ? [] : [report];
  });
}

function isReportOf(report: HandlerReport, extension: GoalStateExtension): boolean {
  const isSameHandler = report.handlerName.toLowerCase() === extension.handlerName.toLowerCase();
  return isSameHandler && report.extensionName === extension.extensionName;
}

const SUCCESS = 'Success';

function readGoalStateError(goalState: Located): string | undefined {
  if (isAbsent(goalState)) return undefined;
  const status = at(goalState, 'status');
  if (isAbsent(status) || decodeString(status) === SUCCESS) return undefined;
  return readMessage(goalState) ?? decodeString(status);
}

function readHandler(handler: Located): HandlerReport {
  const settings = member(handler, 'runtimeSettingsStatus');
  const handlerName = decodeText(member(handler, 'handlerName'));
  const extensionName = optional(at(settings, 'extensionName'), decodeText, undefined);
  return {
    handlerName,
    handlerVersion: decodeText(member(handler, 'handlerVersion')),
    extensionName,
    status: optional(member(handler, 'status'), decodeWords, null),
    code: optional(member(handler, 'code'), decodeNumber, 0),
    message: readMessage(handler) ?? null,
    extension: isAbsent(settings) ? undefined : readExtension(settings, extensionName ?? handlerName),
    silencesVm: undefined,
  };
}

function readExtension(settings: Located, name: string): ExtensionReport {
  const status = below(settings, 'settingsStatus', 'status');
  return {
    name,
    sequence: optional(member(settings, 'sequenceNumber'), decodeNumber, 0),
    verdict: { reported: readStatus(status), explanation: undefined, silencesVm: false },
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
function decodeWords({ value }: Located): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The member of an object that may itself be missing. */
function at(parent: Located, key: string): Located {
  return isAbsent(parent) ? { ...parent, value: undefined } : member(parent, key);
}

function below(parent: Located, ...keys: readonly string[]): Located {
  return keys.reduce(at, parent);
}
