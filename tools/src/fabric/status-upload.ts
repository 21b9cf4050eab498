/**
 * The status blob on its way: what `PUT /status` of the HostGAPlugin holds, and how a blob comes together, in one piece or in
 * pages. What the blob says is not read here. Source: fabric.md 6; agent-contract 12.6.
 */
import {
  ContractError,
  decodeArray,
  decodeString,
  decodeText,
  element,
  isAbsent,
  member,
  parseJson,
} from '@handlerkit/sdk/contract';

/** One write to a blob: through the HostGAPlugin, or directly. */
export interface BlobWrite {
  /** URL of the blob, with its query. */
  readonly url: URL;
  /** Headers of the write, names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Empty when there was none. */
  readonly content: Buffer;
}

/** The blobs that writes go to. */
export interface BlobWriter {
  /**
   * Carries out one write. Gives the blob's content when it is whole with this write, without the padding of a page blob,
   * else `undefined`. Throws {@link ContractError} for a write that no blob takes.
   */
  write(write: BlobWrite): string | undefined;
}

/** Reads the body of `PUT /status`. Throws {@link ContractError} without quoting it. */
export function parseStatusUpload(body: string): BlobWrite {
  const root = parseJson(body, UPLOAD);
  const address = decodeText(member(root, 'requestUri'));
  if (!URL.canParse(address)) throw new ContractError(UPLOAD, 'requestUri', 'must be a URL');
  const list = member(root, 'headers');
  const headers = decodeArray(list).map((_, index) => {
    const header = element(list, index);
    const name = decodeText(member(header, 'headerName')).toLowerCase();
    return [name, decodeString(member(header, 'headerValue'))] as const;
  });
  const content = member(root, 'content');
  return {
    url: new URL(address),
    headers: new Map(headers),
    content: isAbsent(content) ? Buffer.alloc(0) : Buffer.from(decodeString(content), 'base64'),
  };
}

/** A writer for the one blob of a VM. */
export function createBlobWriter(): BlobWriter {
  let pages: Buffer | undefined;
  return {
    write: ({ url, headers, content }) => {
      if (url.searchParams.get('comp') === 'page') {
        if (pages === undefined)
          throw new ContractError(UPLOAD, '', 'writes pages of a blob that was not made');
        const end = writePage(pages, headers, content);
        return end === pages.length ? blobText(pages) : undefined;
      }
      if (headers.get(BLOB_TYPE) === 'PageBlob') {
        pages = Buffer.alloc(readSize(headers));
        return undefined;
      }
      return blobText(content);
    },
  };
}

/** Header that says which kind of blob is made. */
export const BLOB_TYPE = 'x-ms-blob-type';

const UPLOAD = 'status upload';
const PAGE_BYTES = 512;
/** Far above any status; a blob's own limit is 8 TiB. */
const MOST_BYTES = 64 * 1024 * 1024;

const BLANK = 0x20;

/** The plugin pads with spaces, the agent itself with NUL. */
function blobText(content: Buffer): string {
  let end = content.length;
  // No expression: it would look at each run of blanks inside a large text again and again.
  while (end > 0 && (content[end - 1] === 0 || content[end - 1] === BLANK)) end--;
  return content.toString('utf8', 0, end);
}

function readSize(headers: BlobWrite['headers']): number {
  const size = Number(headers.get('x-ms-blob-content-length'));
  if (Number.isSafeInteger(size) && size >= 0 && size <= MOST_BYTES && size % PAGE_BYTES === 0) return size;
  throw new ContractError(UPLOAD, 'x-ms-blob-content-length', `must be a multiple of ${PAGE_BYTES}`);
}

/** Gives the offset after the page. */
function writePage(blob: Buffer, headers: BlobWrite['headers'], content: Buffer): number {
  const [, first = '', last = ''] =
    /^bytes=(\d{1,12})-(\d{1,12})$/.exec(headers.get('x-ms-range') ?? '') ?? [];
  const start = Number(first);
  const end = Number(last) + 1;
  const fits = first !== '' && start < end && end <= blob.length && content.length >= end - start;
  if (!fits)
    throw new ContractError(UPLOAD, 'x-ms-range', 'must name a range of the blob, and as many bytes');
  content.copy(blob, start, 0, end - start);
  return end;
}
