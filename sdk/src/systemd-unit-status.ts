/** What `systemctl show` says of a unit. Source: systemctl(1), org.freedesktop.systemd1(5) (names and values). */

export interface UnitStatus {
  /** True when systemd knows the unit. */
  readonly isLoaded: boolean;
  /** `active`, `activating`, `deactivating`, `inactive`, `failed` or `reloading`. */
  readonly activeState: string;
  /** More of the same, by the type of the unit: `running`, `exited`, `dead`, `auto-restart`. */
  readonly subState: string;
  /** Pid of the service's process; `undefined` while there is none. */
  readonly mainPid: number | undefined;
  /** True when the unit starts at boot. */
  readonly isEnabled: boolean;
  /** Why it ended: `success`, `exit-code`, `signal`, `timeout`. */
  readonly result: string;
}

/** A status with what the SDK itself needs besides. */
export interface ShownUnit {
  readonly status: UnitStatus;
  readonly type: string;
  /** True when the file has changed since systemd read it. */
  readonly needsReload: boolean;
}

/** The properties to ask for. */
export const SHOWN_PROPERTIES = [
  'LoadState',
  'ActiveState',
  'SubState',
  'MainPID',
  'UnitFileState',
  'Result',
  'Type',
  'NeedDaemonReload',
];

/** Reads `NAME=value` lines in any order; `undefined` when they tell no state. */
export function parseShown(text: string): ShownUnit | undefined {
  const shown = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) shown.set(line.slice(0, at), line.slice(at + 1).trim());
  }
  const activeState = shown.get('ActiveState');
  if (activeState === undefined) return undefined;
  const pid = Number(shown.get('MainPID'));
  return {
    status: {
      isLoaded: shown.get('LoadState') === 'loaded',
      activeState,
      subState: shown.get('SubState') ?? '',
      mainPid: Number.isSafeInteger(pid) && pid > 0 ? pid : undefined,
      isEnabled: shown.get('UnitFileState') === 'enabled',
      result: shown.get('Result') ?? '',
    },
    type: shown.get('Type') ?? '',
    needsReload: shown.get('NeedDaemonReload') === 'yes',
  };
}
