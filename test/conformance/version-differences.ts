/**
 * Where Debian's package of the real agent, version 2.7.3, does something else than 2.15, whose behaviour the embedded agent
 * has. A case that this table names asserts under the real agent what the row says.
 */

export interface VersionDifference {
  /** What 2.7.3 does instead. */
  readonly real: string;
  /** Where that stands in its source. */
  readonly source: string;
}

export const VERSION_DIFFERENCES = {
  'heartbeat-message': {
    real: 'takes only the status out of a heartbeat; its message stays the handler status',
    source: 'WALinuxAgent 2.7.3 ga/exthandlers.py report_ext_handler_status',
  },
  'update-forgets-configurations': {
    real: 'deletes the state, settings and statuses of every configuration that it disables, also in an update',
    source: 'WALinuxAgent 2.7.3 ga/exthandlers.py disable',
  },
  'sas-redaction': {
    real: 'reports the query of a URL as it is',
    source: 'WALinuxAgent 2.7.3 common/protocol/wire.py ext_status_to_v1: no redaction',
  },
  'boolean-texts': {
    real: 'takes any text that is not empty, also "false", for true in the handler manifest',
    source: 'WALinuxAgent 2.7.3 ga/exthandlers.py HandlerManifest',
  },
} as const satisfies Readonly<Record<string, VersionDifference>>;
