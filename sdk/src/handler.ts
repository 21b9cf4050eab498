/**
 * What an author writes: `defineHandler({ settings, enable, ... })`. Everything else of the contract is the SDK's.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { OldExitCode } from './contract/agent-variables.ts';
import type { EventLevel } from './contract/events.ts';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import type { HeartbeatStatus } from './contract/heartbeat.ts';
import type { Operation } from './contract/operations.ts';
import type { Substatus } from './contract/status.ts';
import type { Host } from './host.ts';
import type { RedactOptions } from './redaction.ts';

/** Writes structured lines to the extension's log. Strings of the protected settings and URL queries are hidden. */
export interface Logger {
  /** For those who look for a fault in the extension. */
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** What was done, for those who look later. */
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** What is not as it should be, and does not keep the operation from going on. */
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** What failed. Does not end the operation and is not in its status: throw for that. */
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Sends a telemetry event by way of the agent. Dropped and counted where the agent's limits are reached. */
  event(level: EventLevel, taskName: string, message: string): void;
}

/** What every operation gets. */
export interface OperationContext {
  /** Which operation runs. */
  readonly operation: Operation;
  /** The machine. Go through it for commands, requests, time and paths, so that tests can give another one. */
  readonly host: Host;
  /** The handler's log, in the folder that the agent collects. */
  readonly log: Logger;
  /** Aborted by SIGTERM or SIGINT and by the time limit. */
  readonly signal: AbortSignal;
  /**
   * Absolute path of a folder of the extension's own, mode 0700. It outlives versions and goes with the extension. All
   * configurations share it: what belongs to one goes into a subfolder named by its `extensionName`.
   */
  readonly dataFolder: string;
  /** Absolute path of the folder that holds this version of the handler. */
  readonly handlerFolder: string;
  /** The folders that the agent gave to the handler; rarely needed. */
  readonly environment: HandlerEnvironment;
  /** Version of the extension that is running. */
  readonly version: string;
  /** Number of the settings that the agent is working on; `undefined` where it says none. */
  readonly sequence: number | undefined;
  /** Name of the configuration, for an extension with several. */
  readonly extensionName: string | undefined;
}

/** What enable gets. */
export interface EnableContext<Public, Protected> extends OperationContext {
  readonly sequence: number;
  /** What the user asked for, as the schemas made it. */
  readonly settings: { readonly public: Public; readonly protected: Protected };
  /** Reports progress; how enable ended is what it returns or throws. */
  readonly status: StatusReporter;
  /**
   * Hides the protected strings and URL queries in a text that goes somewhere the SDK does not see, or that is cut before it does. With
   * `isTail` the text was cut at its beginning already, and may begin with the rest of a secret, which is hidden, too.
   */
  redact(text: string, options?: RedactOptions): string;
  /** Adds a secret that is not in the settings as it stands (a token, a decoded script), so that it is hidden too. */
  addSecret(secret: string): void;
}

/** What update gets. */
export interface UpdateContext extends OperationContext {
  /** The version that was installed before. */
  readonly fromVersion: string;
  /** The version that runs now. */
  readonly toVersion: string;
  /** How `disable` of the old version ended. */
  readonly disableExitCode: OldExitCode;
  /** The same for each of several configurations, by name; empty for an extension that has only one. */
  readonly disableExitCodes: Readonly<Record<string, OldExitCode>>;
}

/** What install gets. */
export interface InstallContext extends OperationContext {
  /** In an update how `uninstall` of the old version ended, otherwise `'not-run'`. */
  readonly uninstallExitCode: OldExitCode;
}

/**
 * Reports while enable works. `ready` and `degraded` are for a daemon: an extension whose description says
 * `"enable": { "detached": true, "rerun": "always" }` and whose `enable` goes on until its signal is aborted. Elsewhere
 * they throw.
 */
export interface StatusReporter {
  /** Says what is being done; `Enable in progress: <message>`. Never replaces a final status of this run. */
  transitioning(message: string, substatus?: readonly Substatus[]): Promise<void>;
  /**
   * Says that the daemon works; `Enable succeeded: <message>`, and the heartbeat, if there is one, is `Ready`. The time
   * limit of enable is the time until the first call of `ready` or `degraded`; from then on there is none. Call it again
   * to say something else, or that all is well again. A status that cannot be written is tried again each minute.
   */
  ready(message: string, substatus?: readonly Substatus[]): Promise<void>;
  /**
   * Says that the daemon goes on, but not well: a warning, or an error, which also makes the heartbeat `NotReady`. To
   * give up, throw instead.
   */
  degraded(problem: DaemonProblem): Promise<void>;
  /**
   * Says how the handler fares without a change of the status, until the next `ready`, `degraded` or `heartbeat`. The
   * SDK repeats it each minute while the process lives. Throws without `"reportHeartbeat": true` in the description.
   */
  heartbeat(health: HandlerHealth): Promise<void>;
}

/** What is wrong with a daemon that goes on. */
export interface DaemonProblem {
  readonly message: string;
  /** Default: `'warning'`. */
  readonly status?: 'warning' | 'error';
  /** Default: 0 for a warning, 1 for an error. */
  readonly code?: number;
  /** Parts of the result, each under a name of its own; default: none. */
  readonly substatus?: readonly Substatus[];
}

/** What the heartbeat says; the message becomes that of the handler as a whole. */
export interface HandlerHealth {
  readonly status: HeartbeatStatus;
  readonly message: string;
  /** Default: 0. The agent does not read it. */
  readonly code?: number;
}

/** How enable ended well. */
export interface EnableResult {
  /** The status says `Enable succeeded: <message>`. */
  readonly message?: string;
  /** Default: `success`. */
  readonly status?: 'success' | 'warning';
  readonly code?: number;
  readonly substatus?: readonly Substatus[];
}

/**
 * What an extension asks of its settings: a schema for each half, of any library that speaks Standard Schema (zod, valibot,
 * arktype). What a schema makes of the settings (defaults, transforms) is what `enable` gets, with its type.
 */
export interface SettingsDefinition<Public = Record<string, unknown>, Protected = Record<string, unknown>> {
  /** Checks the public settings; without it any object is accepted as it is. `{}` when the user gave none. */
  readonly public?: StandardSchemaV1<unknown, Public>;
  /** Checks the decrypted protected settings; without it any object is accepted as it is. `{}` when there are none. */
  readonly protected?: StandardSchemaV1<unknown, Protected>;
  /**
   * Whether one key at the top of both halves is an error that names it (null counts as not given). Default: `'refuse'`
   * with a schema, `'allow'` without any, for an extension that judges both halves itself.
   */
  readonly overlap?: 'refuse' | 'allow';
}

/** An extension's code. Only `enable` is required; what throws becomes a status or an exit code with a clear message. */
export interface HandlerDefinition<Public = Record<string, unknown>, Protected = Record<string, unknown>> {
  /**
   * What the settings must be. Settings that are not make enable end with `SETTINGS_INVALID`, before any code of the author
   * runs. JSON is read as JavaScript reads it: of a key that is written twice in one object the last counts, and whole
   * numbers beyond 2^53 lose their last digits, so take a large number as a string.
   */
  readonly settings?: SettingsDefinition<Public, Protected>;
  /**
   * Makes the machine as the settings want it, also when it is so already. What it returns becomes the final status, what
   * it throws an error status (throw a `HandlerError` to choose the code). `context.signal` asks it to end.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: an author's function may simply end without a result
  enable(context: EnableContext<Public, Protected>): Promise<EnableResult | undefined | void>;
  /**
   * Prepares the machine for this version, before its first enable. What it throws fails the operation with its
   * exit code.
   */
  install?(context: InstallContext): Promise<void>;
  /** Stops what enable started and leaves what it made: enable may come again. */
  disable?(context: OperationContext): Promise<void>;
  /** Takes over from another version, older or newer. The SDK moves its own state, and the data folder stays in place. */
  update?(context: UpdateContext): Promise<void>;
  /**
   * Removes what the extension made on the machine; the SDK then removes its state and the data folder. Not called when
   * another version has taken over: the agent runs the old version's uninstall in the middle of every update, and what it
   * would remove is the new version's by then.
   */
  uninstall?(context: OperationContext): Promise<void>;
}

/** Gives `definition` its types. Has no effect. */
export function defineHandler<Public = Record<string, unknown>, Protected = Record<string, unknown>>(
  definition: HandlerDefinition<Public, Protected>,
): HandlerDefinition<Public, Protected> {
  return definition;
}
