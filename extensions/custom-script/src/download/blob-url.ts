/**
 * URLs of blobs: which blob of which account one names, how it is written, and whether its host is one of Azure's own, so
 * that a token may be sent there. Source: Custom Script 2.1.19 section 4; Microsoft Learn, "Storage account overview"
 * (endpoints, DNS zones) and the tables of the national clouds.
 */

/** A blob, without the account's name. */
export interface BlobAddress {
  /** What follows the account's name in the host, from its first dot: `.blob.core.windows.net`. */
  readonly suffix: string;
  /** `$root` when the URL names none. */
  readonly container: string;
  /** Its name, decoded. */
  readonly blob: string;
}

/** Takes a URL of the form `{account}.blob.{domain}/{container}/{blob}` apart; `undefined` for another one. */
export function parseBlobUrl(url: URL): BlobAddress | undefined {
  const suffix = /^[a-z0-9-]+((?:\.z\d{1,2})?\.blob\.[a-z0-9.-]*[a-z0-9])\.?$/.exec(url.hostname)?.[1];
  if (suffix === undefined) return undefined;
  const path = decodeOrUndefined(url.pathname)?.replace(/^\/+/, '');
  if (path === undefined || path === '') return undefined;
  const slash = path.indexOf('/');
  if (slash === -1) return { suffix, container: ROOT_CONTAINER, blob: path };
  const blob = path.slice(slash + 1);
  return blob === '' ? undefined : { suffix, container: path.slice(0, slash), blob };
}

/** The URL of a blob in the account `accountName`: https, default port, no query. */
export function formatBlobUrl(accountName: string, { suffix, container, blob }: BlobAddress): URL {
  const path = [container, ...blob.split('/')].map(encodeURIComponent).join('/');
  return new URL(`https://${accountName}${suffix}/${path}`);
}

/** True for https to a blob host of Azure, its default port and nothing else. Only such a host may be sent a token. */
export function isAzureBlobUrl(url: URL): boolean {
  return url.protocol === 'https:' && url.port === '' && url.username === '' && AZURE_HOST.test(url.hostname);
}

const ROOT_CONTAINER = '$root';

/** Exact ends: a name that only holds one of them inside may belong to anybody. */
const AZURE_SUFFIXES = [
  'blob.core.windows.net',
  'blob.core.chinacloudapi.cn',
  'blob.core.usgovcloudapi.net',
  'blob.storage.azure.net',
  // The development kit of Azure Stack Hub. Other installations have domains of their own, which nobody can tell apart.
  'blob.local.azurestack.external',
];
const AZURE_HOST = new RegExp(
  `^[a-z0-9-]+(?:\\.z\\d{1,2})?\\.(?:${AZURE_SUFFIXES.map((name) => name.replaceAll('.', '\\.')).join('|')})$`,
);

function decodeOrUndefined(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
