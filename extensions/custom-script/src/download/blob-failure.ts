/** How a download from Azure Storage is refused, in the words and with the codes of the original. Source: Custom Script 2.1.19 section 4. */
import type { DownloadError, HandlerError } from '@handlerkit/sdk';
import type { ScriptErrorName } from '../errors.ts';
import { scriptError } from '../errors.ts';
import { describeFailure } from './failure.ts';
import { sasExpiry } from './refused-answer.ts';

/** The service refused the token of a managed identity. */
export function identityFailure(error: DownloadError, shownAs: string): HandlerError {
  const { status = 0 } = error;
  // The service's own trouble is no fault of the identity.
  const own = status >= 500 || status === 429 || status === 408 ? describeFailure(error) : undefined;
  const row = IDENTITY_REFUSALS[status] ?? OTHER_REFUSAL;
  const { errorName, text } = own ?? { errorName: row.errorName, text: `${describe(error)}: ${row.text}` };
  return scriptError(errorName, `${prefix(shownAs)}${text}`, error);
}

/** The SAS of the URL has expired. */
export function sasFailure(
  error: DownloadError,
  { url, target }: { readonly url: URL; readonly target: string },
): HandlerError {
  const at = sasExpiry(url)?.toISOString().replace('.000Z', 'Z');
  return scriptError(
    'SAS_EXPIRED',
    `${prefix(target)}${describe(error)}: the shared access signature (SAS) of its URL expired at ${at}; make a URL with a new one, and apply the settings again`,
    error,
  );
}

const prefix = (shownAs: string): string => `failed to download response and write to file: ${shownAs}: `;

interface Row {
  readonly errorName: ScriptErrorName;
  readonly text: string;
}
const READ_PERMISSION = 'the specified Managed Identity has read permissions to the storage blob';
const IDENTITY_REFUSALS: Readonly<Record<number, Row>> = {
  403: { errorName: 'IDENTITY_DENIED', text: `please ensure that ${READ_PERMISSION}` },
  404: {
    errorName: 'IDENTITY_NOT_FOUND',
    text: `please ensure that the blob location in the fileUri setting exists, and ${READ_PERMISSION}`,
  },
};
const OTHER_REFUSAL: Row = {
  errorName: 'IDENTITY_UNUSABLE',
  text: 'the token of the managed identity was not accepted; check the account, its network rules, and the identity',
};

function describe({ host, status, statusText, serviceRequestId }: DownloadError): string {
  const id = serviceRequestId === undefined ? '' : ` (Service request ID: ${serviceRequestId})`;
  const line = JSON.stringify(`${status} ${statusText}`.trim());
  return `CustomScript failed to download the file from ${host}, the response code and message returned were: ${line}${id}`;
}
