/**
 * The settings `outputBlobUri` and `errorBlobUri`: append blobs that get the whole output, as in managed Run Command. Each
 * is a URL with a SAS, or one that the managed identity of the settings may write to. No text holds a value.
 * Source: docs-and-reliability 1.5.
 */
import { isAzureBlobUrl, parseBlobUrl } from './download/blob-url.ts';
import { isUri } from './file-uri.ts';

/** Where the output goes besides its files. */
export interface OutputBlobSettings {
  readonly stdout: URL | undefined;
  readonly stderr: URL | undefined;
}

/** The names of the settings, by the output that goes there. */
export const OUTPUT_BLOB_KEYS = { stdout: 'outputBlobUri', stderr: 'errorBlobUri' } as const;

type Half = Readonly<Record<string, unknown>>;

/** Every problem of both settings. */
export function checkOutputBlobs(open: Half, hidden: Half): readonly string[] {
  return Object.values(OUTPUT_BLOB_KEYS).flatMap((key) => {
    if (isText(open[key]) && isText(hidden[key])) {
      return [`'${key}' was specified both in public and protected settings; it must be specified only once`];
    }
    const text = textOf(open, hidden, key);
    if (text === undefined) return [];
    const url = isUri(text) ? new URL(text) : undefined;
    if (url === undefined || parseBlobUrl(url) === undefined || url.protocol !== 'https:') {
      return [
        `'${key}' must be the https URL of a blob: https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB`,
      ];
    }
    if (url.searchParams.has('sig')) return [];
    if (hidden.managedIdentity === undefined) {
      return [
        `'${key}' must hold a SAS that allows to create, write and append, or be given with 'managedIdentity'`,
      ];
    }
    return isAzureBlobUrl(url)
      ? []
      : [`'${key}' names no storage host of Azure, so no token of 'managedIdentity' is sent there`];
  });
}

/** The settings of two halves without problems. */
export function readOutputBlobs(open: Half, hidden: Half): OutputBlobSettings {
  const urlOf = (key: string): URL | undefined => {
    const text = textOf(open, hidden, key);
    return text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
  };
  return { stdout: urlOf(OUTPUT_BLOB_KEYS.stdout), stderr: urlOf(OUTPUT_BLOB_KEYS.stderr) };
}

function textOf(open: Half, hidden: Half, key: string): string | undefined {
  return [open[key], hidden[key]].find(isText);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
