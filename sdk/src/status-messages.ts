/**
 * The statuses that the lifecycle writes, in words. The forms `<Operation> in progress`, `succeeded: …` and `failed: …`
 * are the ones that people know from Microsoft's extensions. Source: Custom Script 2.1.19 section 8.
 */

import type { Operation } from './contract/operations.ts';
import { OPERATION_TITLES } from './contract/operations.ts';
import type { Status, Substatus } from './contract/status.ts';
import { ERROR_CLARIFICATION, formatTime } from './contract/status.ts';
import type { HandlerError } from './errors.ts';
import type { EnableResult } from './handler.ts';

/** @param detail what is being done; `''` for nothing special. */
export function progressStatus(
  operation: Operation,
  detail: string,
  substatus: readonly Substatus[],
  now: Date,
): Status {
  const title = OPERATION_TITLES[operation];
  const message = detail === '' ? `${title} in progress` : `${title} in progress: ${detail}`;
  return { operation: title, status: 'transitioning', code: 0, message, substatus, time: formatTime(now) };
}

export function resultStatus(operation: Operation, result: EnableResult, now: Date): Status {
  const title = OPERATION_TITLES[operation];
  return {
    operation: title,
    status: result.status ?? 'success',
    code: result.code ?? 0,
    message: result.message === undefined ? `${title} succeeded` : `${title} succeeded: ${result.message}`,
    substatus: result.substatus ?? [],
    time: formatTime(now),
  };
}

/** The error's code stands in the status and, where the platform looks for it, in a substatus of its own. */
export function errorStatus(operation: Operation, error: HandlerError, now: Date): Status {
  const title = OPERATION_TITLES[operation];
  const message = `${title} failed: ${error.message}`;
  return {
    operation: title,
    status: 'error',
    code: error.statusCode,
    message,
    substatus: [{ name: ERROR_CLARIFICATION, status: 'error', code: error.statusCode, message: error.code }],
    time: formatTime(now),
  };
}
