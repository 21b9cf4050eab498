/**
 * Where Debian's package of the real agent, version 2.7.3, does something else than 2.15, whose behaviour the embedded agent
 * has. A case that asks for a row here asserts under the real agent what the row says.
 */
import type { AgentName } from './agent-vm.ts';

export interface VersionDifference {
  /** What 2.7.3 does. */
  readonly real: string;
  /** Where that stands in the source of 2.7.3. */
  readonly source: string;
}

export const VERSION_DIFFERENCES = {
  'update-error-code': {
    real: 'reports -1, not 1008, when a command of the old version stops an update',
    source: 'azurelinuxagent/common/exception.py ExtensionUpdateError has no code of its own',
  },
  'heartbeat-message': {
    real: 'takes only the status out of a heartbeat; the message stays that of the handler status',
    source: 'azurelinuxagent/ga/exthandlers.py report_ext_handler_status',
  },
  'boolean-texts': {
    real: 'takes every text in the handler manifest that is not empty for true, "false" among them',
    source: 'azurelinuxagent/ga/exthandlers.py HandlerManifest',
  },
  'sas-redaction': {
    real: 'reports the query of a URL as it is',
    source: 'azurelinuxagent/common/protocol/wire.py __get_formatted_msg_for_status_reporting',
  },
  'message-kind': {
    real: 'reports a message that is no text as it is, where 2.15 fails on it while it looks for URLs',
    source: 'azurelinuxagent/common/protocol/wire.py __get_formatted_msg_for_status_reporting',
  },
  'update-forgets-configurations': {
    real: 'deletes state, settings and statuses of each configuration that it disables in an update, too',
    source: 'azurelinuxagent/ga/exthandlers.py disable',
  },
} as const satisfies Readonly<Record<string, VersionDifference>>;

/** True when this agent does what the row says; false when it does what the contract says. */
export function differs(agent: AgentName, row: keyof typeof VERSION_DIFFERENCES): boolean {
  return agent === 'waagent' && row in VERSION_DIFFERENCES;
}
