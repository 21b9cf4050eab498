/**
 * What an author writes: `defineHandler({ settings, enable, ... })`. Everything else of the contract is the SDK's.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { OldExitCode } from './contract/agent-variables.ts';
import type { EventLevel } from './contract/events.ts';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import type { Operation } from './contract/operations.ts';
import type { Substatus } from './contract/status.ts';
import type { Host } from './host.ts';

/** Writes structured lines to the extension's log. Strings of the protected settings and URL queries are hidden. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Sends a telemetry event by way of the agent. Dropped and counted where the agent's limits are reached. */
  event(level: EventLevel, taskName: string, message: string): void;
}

/** What every operation gets. */
export interface OperationContext {
  readonly operation: Operation;
  readonly host: Host;
  readonly log: Logger;
  /** Aborted by SIGTERM or SIGINT and by the time limit. */
  readonly signal: AbortSignal;
  /** Absolute path of a folder of the extension's own, mode 0700. It outlives versions and goes with the extension. */
  readonly dataFolder: string;
  /** Absolute path of the folder that holds this version of the handler. */
  readonly handlerFolder: string;
  readonly environment: HandlerEnvironment;
  /** Version of the extension that is running. */
  readonly version: string;
  /** Number of the settings that the agent is working on; `undefined` where it says none. */
  readonly sequence: number | undefined;
  /** Name of the configuration, for an extension with several. */
  readonly extensionName: string | undefined;
}

export interface EnableContext<Public, Protected> extends OperationContext {
  readonly sequence: number;
  readonly settings: { readonly public: Public; readonly protected: Protected };
  readonly status: StatusReporter;
  /** Hides the protected strings and URL queries in a text that goes somewhere the SDK does not see. */
  redact(text: string): string;
  /** Adds a secret that is not in the settings as it stands (a token, a decoded script), so that it is hidden too. */
  addSecret(secret: string): void;
}

export interface UpdateContext extends OperationContext {
  /** The version that was installed before. */
  readonly fromVersion: string;
  readonly toVersion: string;
  /** How `disable` of the old version ended. */
  readonly disableExitCode: OldExitCode;
}

export interface InstallContext extends OperationContext {
  /** In an update how `uninstall` of the old version ended, otherwise `'not-run'`. */
  readonly uninstallExitCode: OldExitCode;
}

/** Reports while enable works. */
export interface StatusReporter {
  /** Says what is being done; `Enable in progress: <message>`. Never replaces a final status. */
  transitioning(message: string, substatus?: readonly Substatus[]): Promise<void>;
}

/** How enable ended well. */
export interface EnableResult {
  /** The status says `Enable succeeded: <message>`. */
  readonly message?: string;
  readonly status?: 'success' | 'warning';
  readonly code?: number;
  readonly substatus?: readonly Substatus[];
}

type Schema<Output> = StandardSchemaV1<unknown, Output>;

/** An extension's code. Only `enable` is required; what throws becomes a status or an exit code with a clear message. */
export interface HandlerDefinition<Public = Record<string, unknown>, Protected = Record<string, unknown>> {
  /** Schemas of the two halves of the settings; without one, any object is accepted as it is. */
  readonly settings?: { readonly public?: Schema<Public>; readonly protected?: Schema<Protected> };
  // biome-ignore lint/suspicious/noConfusingVoidType: an author's function may simply end without a result
  enable(context: EnableContext<Public, Protected>): Promise<EnableResult | undefined | void>;
  install?(context: InstallContext): Promise<void>;
  disable?(context: OperationContext): Promise<void>;
  update?(context: UpdateContext): Promise<void>;
  uninstall?(context: OperationContext): Promise<void>;
}

/** Gives `definition` its types. Has no effect. */
export function defineHandler<Public = Record<string, unknown>, Protected = Record<string, unknown>>(
  definition: HandlerDefinition<Public, Protected>,
): HandlerDefinition<Public, Protected> {
  return definition;
}
