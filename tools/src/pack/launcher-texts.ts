/**
 * The texts that the launcher's shell writes: a status, as a word for `printf` or as a format for `date`.
 * Source: agent-contract 8.1 (the status).
 */

import { formatStatus, OPERATION_TITLES, type StatusValue } from '@handlerkit/sdk/contract';

/** Stands in a text for the reason that the shell's variable `reason` holds: no quotes, no backslashes. */
export const REASON_TOKEN = '@REASON@';

/** Stands in a status for the time that the shell puts in. */
const TIME_TOKEN = '1970-01-01T00:00:00Z';

/**
 * A status as a word of the shell: the contract's text in quotes, in one line, with the shell's variables `time` and
 * `reason` in the places of the tokens.
 */
export function statusText(status: StatusValue, code: number, message: string): string {
  return quote(statusLine(status, code, message))
    .replaceAll(TIME_TOKEN, `'"$time"'`)
    .replaceAll(REASON_TOKEN, `'"$reason"'`);
}

function statusLine(status: StatusValue, code: number, message: string): string {
  const text = formatStatus({
    operation: OPERATION_TITLES.enable,
    status,
    code,
    message,
    substatus: [],
    time: TIME_TOKEN,
  });
  return toLine(text);
}

/** A status as a format of `date -u`, which puts the time in. */
export function statusFormat(status: StatusValue, code: number, message: string): string {
  return quote(
    `+${statusLine(status, code, message).replaceAll('%', '%%').replaceAll(TIME_TOKEN, '%Y-%m-%dT%H:%M:%SZ')}`,
  );
}

/** JSON in one line. */
export function toLine(json: string): string {
  return JSON.stringify(JSON.parse(json));
}

/** One word of the shell, as it is. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
