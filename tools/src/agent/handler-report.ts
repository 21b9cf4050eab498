/**
 * What the agent reports of one handler to the platform.
 * Source: WALinuxAgent 2.15 `common/protocol/wire.py` ext_handler_status_to_v1; agent-contract 8.6.
 */
import type { StatusVerdict } from '@handlerkit/sdk/contract';

export interface HandlerReport {
  readonly handlerName: string;
  readonly handlerVersion: string;
  /** Name of one of several configurations, each of which has a report of its own. */
  readonly extensionName?: string | undefined;
  /** `Ready`, `NotReady`, `Unresponsive`, or what the heartbeat says, as it stands; `null` when a heartbeat says nothing. */
  readonly status: string | null;
  /** 0, or one of the agent's error codes. */
  readonly code: number;
  readonly message: string | null;
  /** `undefined` when the handler has no settings or is not installed: the agent then reads no status file. */
  readonly extension: ExtensionReport | undefined;
  /**
   * Why the agent would give up on the report of the whole VM because of this handler's heartbeat; `undefined` when it
   * would not. What a status file does to the report is in its verdict.
   */
  readonly silencesVm: string | undefined;
}

export interface ExtensionReport {
  /** The handler's name; for one of several configurations, its own. */
  readonly name: string;
  readonly sequence: number;
  readonly verdict: StatusVerdict;
}
