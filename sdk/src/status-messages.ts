/**
 * The statuses that the lifecycle writes, in words. The forms `<Operation> in progress`, `succeeded: …` and `failed: …`
 * are the ones that people know from Microsoft's extensions. Source: Custom Script 2.1.19 section 8.
 */

import type { Operation } from './contract/operations.ts';
import { OPERATION_TITLES } from './contract/operations.ts';
import type { Status, Substatus } from './contract/status.ts';
import { ERROR_CLARIFICATION, formatTime } from './contract/status.ts';
import { HandlerError } from './errors.ts';
import type { DaemonProblem, EnableResult } from './handler.ts';
import type { StopReason } from './journal.ts';

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
    message: (result.message ?? '') === '' ? `${title} succeeded` : `${title} succeeded: ${result.message}`,
    substatus: result.substatus ?? [],
    time: formatTime(now),
  };
}

/**
 * The error's code stands in the status and, where the platform looks for it, in the first substatus; the error's own
 * substatuses follow.
 */
export function errorStatus(operation: Operation, error: HandlerError, now: Date): Status {
  const title = OPERATION_TITLES[operation];
  const message = `${title} failed: ${error.message}`;
  return {
    operation: title,
    status: 'error',
    code: error.statusCode,
    message,
    substatus: [
      { name: ERROR_CLARIFICATION, status: 'error', code: error.clarificationCode, message: error.code },
      ...error.substatus,
    ],
    time: formatTime(now),
  };
}

/** The status of a daemon that goes on, but not well. */
export function problemStatus(operation: Operation, problem: DaemonProblem, now: Date): Status {
  const { status = 'warning', message, code, substatus = [] } = problem;
  if (status === 'error') {
    const options = code === undefined ? { substatus } : { statusCode: code, substatus };
    return errorStatus(operation, new HandlerError('HANDLER_FAILED', message, options), now);
  }
  const title = OPERATION_TITLES[operation];
  const text = `${title} succeeded with a warning: ${message}`;
  return { operation: title, status, code: code ?? 0, message: text, substatus, time: formatTime(now) };
}

const STOPS: Readonly<Record<StopReason, string>> = {
  superseded: 'newer settings arrived',
  disabled: 'the extension was disabled',
  uninstalled: 'the extension was uninstalled',
};

/** The status of a daemon that was asked to end and did: that is no failure. */
export function stoppedStatus(operation: Operation, stop: StopReason, now: Date): Status {
  const message = `Stopped: ${STOPS[stop]}`;
  return {
    operation: OPERATION_TITLES[operation],
    status: 'success',
    code: 0,
    message,
    substatus: [],
    time: formatTime(now),
  };
}

/** Hides what is secret in the texts of a status. */
export function redactStatus(redact: (text: string) => string, status: Status): Status {
  return {
    ...status,
    message: redact(status.message),
    substatus: status.substatus.map((item) => ({
      ...item,
      name: redact(item.name),
      message: redact(item.message),
    })),
  };
}
