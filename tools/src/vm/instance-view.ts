/**
 * The instance view of the VM's extensions: what `az vm get-instance-view --query instanceView.extensions` prints for what the
 * agent reports. Pure.
 * Source: docs-and-reliability 1.9 (codes); the output that Microsoft's Custom Script page shows for a misspelt command;
 * Azure/azure-cli issue 21393 and Azure/custom-script-extension-linux issue 137 (succeeded, transitioning); Get-AzVM
 * outputs of the domain join extension (`ComponentStatus/<name>/failed/1`). Keys are in the order in which `az` prints
 * them, and `time` is null as it is there for extensions. Not published: what Azure makes of `warning`; here it
 * succeeded with level `Warning`.
 */
import type { StatusValue } from '@handlerkit/sdk/contract';
import { explainFailure, explainHeartbeat } from '@handlerkit/sdk/contract';
import type { HandlerReport } from '../agent/agent.ts';

export interface InstanceViewStatus {
  readonly code: string;
  readonly displayStatus: string;
  readonly level: 'Info' | 'Warning' | 'Error';
  readonly message: string | null;
  readonly time: string | null;
}

export interface ExtensionInstanceView {
  readonly name: string;
  readonly statuses: readonly InstanceViewStatus[];
  readonly substatuses: readonly InstanceViewStatus[] | null;
  /** `Publisher.Type`. */
  readonly type: string;
  readonly typeHandlerVersion: string;
}

export type ProvisioningState = 'Succeeded' | 'Failed' | 'Updating';

/** One extension of the goal state together with what the agent reports of its handler. */
export interface ReportedExtension {
  readonly name: string;
  readonly handlerName: string;
  readonly version: string;
  /** `undefined`: the agent reports nothing of this handler. */
  readonly report: HandlerReport | undefined;
}

/** The view of one extension. */
export function formatInstanceView(extension: ReportedExtension): ExtensionInstanceView {
  const outcome = judge(extension.report);
  const substatus = outcome.showsSubstatus
    ? (extension.report?.extension?.verdict.reported.substatus ?? [])
    : [];
  return {
    name: extension.name,
    statuses: [formatStatus('ProvisioningState', outcome)],
    substatuses:
      substatus.length === 0
        ? null
        : substatus.map((item) =>
            formatStatus(`ComponentStatus/${item.name ?? ''}`, {
              value: item.status,
              code: item.code,
              message: item.message ?? null,
            }),
          ),
    type: extension.handlerName,
    typeHandlerVersion: extension.report?.handlerVersion ?? extension.version,
  };
}

/**
 * `provisioningState` of the resource, as `az vm extension show` prints it. A failure that is to be suppressed does not
 * fail the deployment; the instance view shows it all the same.
 */
export function provisioningState(
  report: HandlerReport | undefined,
  resource: { readonly suppressFailures?: boolean } = {},
): ProvisioningState {
  const { value } = judge(report);
  if (value === 'error') return resource.suppressFailures === true ? 'Succeeded' : 'Failed';
  return value === 'transitioning' ? 'Updating' : 'Succeeded';
}

/**
 * Why the view is what it is, in sentences for the author: what failed, what is allowed and what to do; none when all is
 * plain.
 * For `warnings` on the terminal: the view itself has no place for them.
 */
export function explainReport(extension: ReportedExtension): readonly string[] {
  const { report, name } = extension;
  if (report === undefined) return [`${name}: the agent reports nothing of this handler`];
  const sentences: string[] = [];
  if (report.silencesVm !== undefined) sentences.push(`${name}: ${report.silencesVm}`);
  const explanation = report.extension?.verdict.explanation;
  const failure = explainFailure(report);
  if (failure !== undefined) sentences.push(`${name}: ${failure}`);
  // What a handler that did not even start has not written is no news.
  if (explanation !== undefined && !isFailedHandler(report)) sentences.push(`${name}: ${explanation}`);
  if (report.extension === undefined && report.status === READY) {
    sentences.push(
      `${name}: it has no settings, so the agent reads no status file; the view shows the state of the handler (give --settings '{}' to see its status)`,
    );
  }
  const heartbeat = explainHeartbeat(report);
  if (heartbeat !== undefined) sentences.push(`${name}: ${heartbeat}`);
  return sentences;
}

interface Outcome {
  readonly value: StatusValue;
  readonly code: unknown;
  readonly message: string | null;
}

const READY = 'Ready';
const NOT_READY = 'NotReady';

function judge(report: HandlerReport | undefined): Outcome & { readonly showsSubstatus: boolean } {
  if (
    report === undefined ||
    report.silencesVm !== undefined ||
    report.extension?.verdict.silencesVm === true
  ) {
    return { value: 'transitioning', code: 0, message: null, showsSubstatus: false };
  }
  if (isFailedHandler(report)) {
    return { value: 'error', code: report.code, message: report.message, showsSubstatus: true };
  }
  // Of one of several configurations its own status counts: the handler is ready when any of them is enabled.
  const isConfiguration = report.extensionName !== undefined && report.extension !== undefined;
  if (report.status === NOT_READY && !isConfiguration) {
    return { value: 'transitioning', code: 0, message: report.message, showsSubstatus: true };
  }
  if (report.extension === undefined) {
    const value = report.status === READY ? 'success' : 'transitioning';
    return { value, code: 0, message: report.message, showsSubstatus: false };
  }
  const { status, code, message } = report.extension.verdict.reported;
  return { value: status ?? 'transitioning', code, message, showsSubstatus: true };
}

/** An operation failed: the agent then shows its own message, whatever the status file says. */
function isFailedHandler(report: HandlerReport): boolean {
  return report.status === NOT_READY && report.code !== 0;
}

function formatStatus(prefix: string, outcome: Outcome): InstanceViewStatus {
  const row = ROWS[outcome.value];
  const suffix = outcome.value === 'error' ? `/${formatCode(outcome.code)}` : '';
  return {
    code: `${prefix}/${row.word}${suffix}`,
    displayStatus: row.displayStatus,
    level: row.level,
    message: outcome.message,
    time: null,
  };
}

const ROWS = {
  success: { word: 'succeeded', level: 'Info', displayStatus: 'Provisioning succeeded' },
  warning: { word: 'succeeded', level: 'Warning', displayStatus: 'Provisioning succeeded' },
  error: { word: 'failed', level: 'Error', displayStatus: 'Provisioning failed' },
  transitioning: { word: 'transitioning', level: 'Info', displayStatus: 'Transitioning' },
} as const satisfies Record<StatusValue, unknown>;

/** The agent passes any JSON value through as the code. */
function formatCode(code: unknown): string {
  if (code === null || code === undefined) return '0';
  return typeof code === 'object' ? JSON.stringify(code) : String(code);
}
