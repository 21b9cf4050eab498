/**
 * How a file is reached: with the account's key as a signed URL, as a managed identity when the file is no public one, or
 * as any URL. The bytes always come through the SDK's download, with its limits and checks.
 * Source: Custom Script 2.1.19 section 4.
 */
import type { DownloadedFile, DownloadRequest, Host } from '@handlerkit/sdk';
import { DownloadError, downloadFile } from '@handlerkit/sdk';
import { scriptError } from '../errors.ts';
import type { TokenSource } from '../identity-token.ts';
import type { StorageCredentials } from '../storage-credentials.ts';
import { identityFailure, sasFailure } from './blob-failure.ts';
import { isAzureBlobUrl, parseBlobUrl } from './blob-url.ts';
import type { PlannedFile } from './file-name.ts';
import { isSasExpired, watchRefusals } from './refused-answer.ts';

/** What one file needs; the URL is the one that the settings name. */
export type FileRequest = DownloadRequest & { readonly url: URL };

/** Downloads one file. Throws a `DownloadError`, an error with the text of the original, or the signal's reason. */
export type FileAccess = (host: Host, request: FileRequest) => Promise<DownloadedFile>;

/** Throws `FILE_INVALID` when an account key is given and one of the files is no blob. */
export function checkBlobUrls(
  files: readonly PlannedFile[],
  credentials: StorageCredentials | undefined,
): void {
  if (credentials?.kind !== 'account-key') return;
  const wrong = files.find(({ url }) => parseBlobUrl(url) === undefined);
  if (wrong === undefined) return;
  throw scriptError(
    'FILE_INVALID',
    `processing file downloads failed: failed to download file[${wrong.index}]: "${wrong.url.origin}/[REDACTED]" is no URL of a blob; with 'storageAccountName' every file must be one: https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB`,
  );
}

/** The way to the files of one run. `tokens` are those of a managed identity; `addSecret` is told every signature. */
export function createFileAccess(
  credentials: StorageCredentials | undefined,
  tokens: TokenSource | undefined,
  addSecret: (secret: string) => void,
): FileAccess {
  if (credentials?.kind === 'account-key') {
    const { accountName, accountKey } = credentials;
    return async (at, request) => {
      const address = parseBlobUrl(request.url);
      if (address === undefined) return downloadPlain(at, request);
      const { signBlobUrl } = await import('./blob-sas.ts');
      const url = signBlobUrl(accountName, accountKey, address, at.now());
      addSecret(url.search.slice(1));
      const signature = url.searchParams.get('sig') ?? '';
      for (const form of [signature, encodeURIComponent(signature)]) addSecret(form);
      return downloadPlain(at, { ...request, url });
    };
  }
  if (tokens === undefined) return downloadPlain;
  return (at, request) =>
    isAzureBlobUrl(request.url) ? downloadAsIdentity(at, request, tokens) : downloadPlain(at, request);
}

/** Answers after which a token may help: without one, the service does not even say that a private blob exists. */
const PRIVATE_STATUS: ReadonlySet<number | undefined> = new Set([401, 403, 404, 409]);
/** The first version of the service that takes a token. */
const TOKEN_VERSION = '2018-03-28';

async function downloadAsIdentity(
  host: Host,
  request: FileRequest,
  tokens: TokenSource,
): Promise<DownloadedFile> {
  try {
    return await downloadFile(host, request);
  } catch (thrown) {
    if (!(thrown instanceof DownloadError) || !PRIVATE_STATUS.has(thrown.status)) throw thrown;
  }
  const authorization = `Bearer ${await tokens(request.signal)}`;
  try {
    return await downloadFile(host, {
      ...request,
      headers: { ...request.headers, authorization, 'x-ms-version': TOKEN_VERSION },
    });
  } catch (thrown) {
    if (!(thrown instanceof DownloadError) || thrown.kind !== 'refused') throw thrown;
    throw identityFailure(thrown, request.target);
  }
}

async function downloadPlain(host: Host, request: FileRequest): Promise<DownloadedFile> {
  const watched = watchRefusals(host);
  try {
    return await downloadFile(watched.host, request);
  } catch (thrown) {
    const isRefused = thrown instanceof DownloadError && (thrown.status === 401 || thrown.status === 403);
    if (!isRefused || !isSasExpired(request.url, watched.lastRefusal(), host.now())) throw thrown;
    throw sasFailure(thrown, request);
  }
}
