/**
 * A signed URL of one blob, made with the account's key by the client of Azure Storage, for reading only. The key itself
 * is sent nowhere. This module is loaded late, by `import()`: the client is large and seldom needed.
 * Source: Custom Script 2.1.19 section 4.
 */
import {
  BlobSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { BlobAddress } from './blob-url.ts';
import { formatBlobUrl } from './blob-url.ts';

/** Old enough for every cloud and for Azure Stack Hub. */
const SAS_VERSION = '2018-03-28';
/** Longer than a download may take, so that one URL serves all its tries; no start, so that a slow clock does no harm. */
const VALID_MS = 90 * 60 * 1000;

/** The signed URL of `address` in the account; valid for 90 minutes from `now`. */
export function signBlobUrl(accountName: string, accountKey: string, address: BlobAddress, now: Date): URL {
  const url = formatBlobUrl(accountName, address);
  const query = generateBlobSASQueryParameters(
    {
      containerName: address.container,
      blobName: address.blob,
      permissions: BlobSASPermissions.parse('r'),
      expiresOn: new Date(now.getTime() + VALID_MS),
      version: SAS_VERSION,
    },
    new StorageSharedKeyCredential(accountName, accountKey),
  );
  url.search = query.toString();
  return url;
}
