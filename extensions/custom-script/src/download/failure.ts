/** How a download fails, in the words and with the codes of the original. Source: Custom Script 2.1.19 section 4. */
import type { DownloadError, HandlerError } from '@handlerkit/sdk';
import type { ScriptErrorName } from '../errors.ts';
import { scriptError } from '../errors.ts';

/** The error of the file that should have been written to `shownAs`. */
export function downloadFailure(error: DownloadError, shownAs: string): HandlerError {
  const { errorName, text } = describeFailure(error);
  const isLocal = error.kind === 'disk' || error.kind === 'no-space';
  const prefix = isLocal ? '' : `failed to download response and write to file: ${shownAs}: `;
  return scriptError(errorName, `${prefix}${text}`, error);
}

/** Name and text of what went wrong, without the file. */
export function describeFailure(error: DownloadError): {
  readonly errorName: ScriptErrorName;
  readonly text: string;
} {
  const { detail } = error;
  switch (error.kind) {
    case 'refused':
      return describeRefusal(error);
    case 'timeout':
      return { errorName: 'DOWNLOAD_TIMED_OUT', text: `http request timed out: ${detail}` };
    case 'body':
      return { errorName: 'DOWNLOAD_CUT', text: detail };
    case 'integrity':
      return { errorName: 'DOWNLOAD_CHECKSUM', text: detail };
    case 'transport':
      return { errorName: 'DOWNLOAD_FAILED', text: `http request failed: ${detail}` };
    case 'disk':
    case 'no-space':
      return { errorName: 'DOWNLOAD_FAILED', text: detail };
  }
}

function describeRefusal({ status, statusText, host, serviceRequestId }: DownloadError): {
  readonly errorName: ScriptErrorName;
  readonly text: string;
} {
  const line = JSON.stringify(`${status} ${statusText}`.trim());
  const row = REFUSALS[status ?? 0] ?? OTHER_REFUSAL;
  const suffix = serviceRequestId === undefined ? '' : ` (Service request ID: ${serviceRequestId})`;
  return { errorName: row.errorName, text: `${row.text(host, line)}${suffix}` };
}

interface Refusal {
  readonly errorName: ScriptErrorName;
  readonly text: (host: string, line: string) => string;
}
const failed = (host: string): string => `CustomScript failed to download the file from ${host}`;
const answered = (line: string): string => `the response code and message returned were: ${line}`;

const REFUSALS: Readonly<Record<number, Refusal>> = {
  400: {
    errorName: 'DOWNLOAD_BAD_REQUEST',
    text: (host, line) =>
      `${failed(host)} because parts of the request were incorrectly formatted, missing, and/or invalid. T${answered(line).slice(1)}`,
  },
  401: {
    errorName: 'DOWNLOAD_DENIED',
    text: (host, line) =>
      `${failed(host)} because access was denied. Please fix the blob permissions and try again, ${answered(line)}`,
  },
  404: {
    errorName: 'DOWNLOAD_NOT_FOUND',
    text: (host, line) =>
      `${failed(host)} because it does not exist. Please create the blob and try again, ${answered(line)}`,
  },
  500: {
    errorName: 'STORAGE_FAILED',
    text: (host, line) => `${failed(host)} due to an issue with storage. T${answered(line).slice(1)}`,
  },
};
const OTHER_REFUSAL: Refusal = {
  errorName: 'DOWNLOAD_REFUSED',
  text: (host, line) =>
    `${failed(host)} because the server returned a response code and message of ${line} Please verify the machine has network connectivity.`,
};
