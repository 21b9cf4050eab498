/** The order by which `vm set --inspect` tells an inspectable launcher to stop for a debugger. */
import type { Operation } from '@handlerkit/sdk/contract';

/** File beside the handlers' folders in which {@link formatStopOrder} tells an inspectable launcher where to stop. */
export const STOP_ORDER_FILE = '.handlerkit-inspect';

/** That one operation stops at its first line until a debugger comes. It holds once. */
export interface StopOrder {
  readonly handlerName: string;
  readonly operation: Operation;
  /** Port on 127.0.0.1. */
  readonly port: number;
  /** Looked at for one of several configurations only. */
  readonly extensionName: string;
}

/** The content of {@link STOP_ORDER_FILE}. */
export function formatStopOrder({ handlerName, operation, port, extensionName }: StopOrder): string {
  return `${handlerName} ${operation} ${port} ${extensionName}\n`;
}
