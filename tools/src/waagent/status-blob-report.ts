/** The status blob that the real agent uploads, as the reports that the embedded agent gives. Pure. */
import type { UploadedHandler, UploadedStatus } from '@handlerkit/sdk/contract';
import { parseUploadedStatus } from '@handlerkit/sdk/contract';
import type { GoalState, GoalStateExtension } from '../agent/goal-state.ts';
import { isToBeDisabled } from '../agent/goal-state.ts';
import type { HandlerReport } from '../agent/handler-report.ts';

/** What a status blob says. */
export interface StatusBlob extends Omit<UploadedStatus, 'handlers'> {
  readonly handlers: readonly HandlerReport[];
}

/** Reads a status blob. Throws `ContractError`, which names `file`. */
export function parseStatusBlob(text: string, file: string): StatusBlob {
  const { handlers, ...rest } = parseUploadedStatus(text, file);
  return { ...rest, handlers: handlers.map(reportHandler) };
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

function reportHandler({ settings, ...handler }: UploadedHandler): HandlerReport {
  return {
    ...handler,
    extension:
      settings === undefined
        ? undefined
        : {
            name: handler.extensionName ?? handler.handlerName,
            sequence: settings.sequence,
            verdict: { reported: settings.status, explanation: undefined, silencesVm: false },
          },
    silencesVm: undefined,
  };
}
