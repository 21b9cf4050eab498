/**
 * The status file that the agent itself writes in the place of a handler that could not.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` create_status_file; agent-contract 8.4.
 */
import { formatPythonJson } from './python-values.ts';
import { redactSas } from './sas-token.ts';

/** The agent's names of what it was doing. Source: `common/event.py` WALAEventOperation. */
export const AGENT_ACTIVITIES = {
  download: 'Download',
  install: 'Install',
  enable: 'Enable',
  disable: 'Disable',
  update: 'Update',
  uninstall: 'UnInstall',
  processing: 'ExtensionProcessing',
  invalidConfiguration: 'InvalidExtensionConfig',
} as const;
/** One of {@link AGENT_ACTIVITIES}. */
export type AgentActivity = (typeof AGENT_ACTIVITIES)[keyof typeof AGENT_ACTIVITIES];

/** What such a file says; its status is always `error`. */
export interface AgentStatus {
  /** The handler's name, with a dot and the configuration's for one of several. */
  readonly name: string;
  /** `null` when the agent was doing nothing yet. */
  readonly activity: AgentActivity | null;
  readonly code: number;
  readonly message: string;
  /** ISO 8601 in UTC, to the second. */
  readonly time: string;
}

/** The agent's text, one line with Python's separators. */
export function formatAgentStatus(status: AgentStatus): string {
  const body = formatPythonJson({
    name: status.name,
    operation: status.activity,
    status: 'error',
    code: status.code,
    formattedMessage: { lang: 'en-US', message: redactSas(status.message) },
  });
  // The version is a float in Python, 1.0, which JSON.stringify cannot write.
  return `[{"version": 1.0, "timestampUTC": ${formatPythonJson(status.time)}, "status": ${body}}]`;
}
