/**
 * `config/HandlerStatus`: what the agent itself says of a handler, kept between its reports. Handlers leave it alone.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` set_handler_status, get_handler_status; `common/protocol/restapi.py`
 * ExtHandlerStatus; agent-contract 7.2, 8.6.
 */
import type { Located } from './json.ts';
import {
  decodeBoolean,
  decodeNumber,
  decodeString,
  decodeText,
  isAbsent,
  member,
  optional,
  parseJson,
} from './json.ts';
import { formatPythonJson } from './python-values.ts';

/** The values that the agent writes; a heartbeat can put any other text in their place in the report. */
export const HANDLER_READY = 'Ready';
/** The agent says it of a handler whose last operation failed. */
export const HANDLER_NOT_READY = 'NotReady';

/** Messages of a handler for which all went well; the code beside them is 0. */
export const HANDLER_MESSAGES = {
  installed: 'Plugin installed but not enabled',
  enabled: 'Plugin enabled',
  disabled: 'Plugin disabled',
} as const;

/** What the agent records of a handler as a whole. */
export interface HandlerStatus {
  /** `Publisher.Type`. */
  readonly handlerName: string;
  readonly version: string;
  readonly status: string;
  readonly code: number;
  /** `null` when a heartbeat cleared it. */
  readonly message: string | null;
  /** True for a handler with several configurations; false when it is left out. */
  readonly supportsMultiConfig?: boolean;
}

/** Reads the file. Throws `ContractError`. Members that are missing get the agent's own defaults. */
export function parseHandlerStatus(text: string, file: string): HandlerStatus {
  const root = parseJson(text, file);
  const at = (key: string): Located => member(root, key);
  return {
    handlerName: decodeText(at('name')),
    version: decodeText(at('version')),
    status: decodeString(at('status')),
    code: optional(at('code'), decodeNumber, 0),
    message: isAbsent(at('message')) ? null : decodeString(at('message')),
    supportsMultiConfig: optional(at('supports_multi_config'), decodeBoolean, false),
  };
}

/** The agent's text, one line. `extension_status` belongs to the report and is always null here. */
export function formatHandlerStatus(status: HandlerStatus): string {
  return formatPythonJson({
    name: status.handlerName,
    version: status.version,
    status: status.status,
    code: status.code,
    message: status.message,
    supports_multi_config: status.supportsMultiConfig ?? false,
    extension_status: null,
  });
}
