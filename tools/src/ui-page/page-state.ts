/**
 * What the page of `handlerkit vm ui` is told by its server. Shapes only, and nothing imported: the script of the page is
 * checked against them in a browser's world.
 */

/** All that the page shows but logs. Sent whole each time something in it changes. */
export interface PageState {
  readonly vm: ShownVm;
  readonly extensions: readonly ShownExtension[];
  /** The newest last. */
  readonly operations: readonly ShownOperation[];
  /** What was started from the page, the newest last; at most one runs. */
  readonly actions: readonly ShownAction[];
  /** Why the VM could not be looked at just now. */
  readonly problem: ShownProblem | null;
}

export interface ShownVm {
  /** Absolute path of its folder. */
  readonly folder: string;
  readonly agent: string;
  /** `overlay` or `relocated`; `null`: there is no VM yet. */
  readonly isolation: string | null;
  readonly network: string;
}

export interface ShownExtension {
  readonly name: string;
  readonly publisher: string;
  readonly type: string;
  /** As the goal state has it. */
  readonly version: string;
  /** As the agent reports it; differs while an update has failed. */
  readonly reportedVersion: string;
  readonly sequence: number;
  /** `Succeeded`, `Failed`, `Updating`, `Deleting`. */
  readonly provisioningState: string;
  readonly statuses: readonly ShownStatus[];
  readonly substatuses: readonly ShownStatus[];
  /** What the agent says of the handler itself: `Ready`, `NotReady`; `null`: nothing. */
  readonly handlerStatus: string | null;
  /** 0, or the agent's error code. */
  readonly handlerCode: number;
  /** Sentences: why all this is so, and what to do. */
  readonly explanations: readonly string[];
  readonly settings: ShownSettings;
}

/** A line of the instance view. */
export interface ShownStatus {
  readonly code: string;
  readonly displayStatus: string;
  readonly level: string;
  readonly message: string;
}

export interface ShownSettings {
  /** JSON text with queries of URLs hidden; `null`: none. */
  readonly publicText: string | null;
  /** Names of the protected settings, which is all that leaves the server; `null`: none. */
  readonly protectedKeys: readonly string[] | null;
  /** True: there are protected settings, and the VM's key does not open them. */
  readonly isUnreadable: boolean;
}

/** One operation that the agent asked of a handler. */
export interface ShownOperation {
  /** ISO 8601 in UTC. */
  readonly startedAt: string;
  readonly handlerName: string;
  readonly version: string;
  /** Name of one of several configurations. */
  readonly extensionName: string | null;
  readonly operation: string;
  readonly sequence: number | null;
  /** `cut-off`: the agent ended before it did. */
  readonly outcome: 'running' | 'succeeded' | 'failed' | 'cut-off';
  /** `exit 3`, `timed out`; empty while it runs. */
  readonly ending: string;
  /** `null` while it runs, and when nobody saw the end. */
  readonly durationMs: number | null;
}

/** One thing that was asked for on the page. */
export interface ShownAction {
  readonly id: number;
  /** `Apply greeter.zip`, `Delete Greeter`, `Reboot`. */
  readonly title: string;
  readonly startedAt: string;
  readonly outcome: 'running' | 'succeeded' | 'failed';
  /** What the command said, the newest last. */
  readonly lines: readonly string[];
  readonly problem: ShownProblem | null;
}

/** An error of the command line. */
export interface ShownProblem {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

/** The end of a log file. Sent when it has changed; an empty text: the file is gone. */
export interface ShownLog {
  /** Path as the VM sees it. */
  readonly file: string;
  readonly text: string;
  /** True: there is more before it. */
  readonly isCut: boolean;
}
