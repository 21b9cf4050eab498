/**
 * When the rest of a file can be asked for, and whether what came is that rest. Only a validator that stands for the very
 * same bytes allows it; everything else begins again. Source: RFC 9110 8.8.2.2, 13.1.5, 14.4.
 */

/** What the server said of the file when its first byte came. */
export interface ResumePoint {
  /** Strong ETag, or a Last-Modified that is as good, for `If-Range`. */
  readonly validator: string;
}

/** Seconds between Last-Modified and Date after which a second change in the same second is out of the question. */
const SETTLED_MS = 60_000;

/** `undefined` when the rest of this answer's file cannot be asked for. */
export function resumePointOf(headers: Headers): ResumePoint | undefined {
  if (isEncoded(headers) || headers.get('accept-ranges')?.trim().toLowerCase() === 'none') return undefined;
  const etag = headers.get('etag')?.trim();
  if (etag !== undefined && /^"[^"]*"$/.test(etag)) return { validator: etag };
  const modified = headers.get('last-modified');
  const age = Date.parse(headers.get('date') ?? '') - Date.parse(modified ?? '');
  return modified !== null && age >= SETTLED_MS ? { validator: modified } : undefined;
}

/** The headers that ask for the bytes from `offset` on, provided that the file is still the same. */
export function rangeHeaders(point: ResumePoint, offset: number): Record<string, string> {
  return { range: `bytes=${offset}-`, 'if-range': point.validator };
}

/**
 * The length of the whole file when `headers` are those of its bytes from `offset` to the end; `undefined` when they are
 * of something else. `total` is the length as known before.
 */
export function totalOfRest(
  headers: Headers,
  point: ResumePoint,
  offset: number,
  total: number | undefined,
): number | undefined {
  const [, first, last, whole] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
  if (whole === undefined || isEncoded(headers)) return undefined;
  const etag = headers.get('etag')?.trim();
  if (point.validator.startsWith('"') && etag !== undefined && etag !== point.validator) return undefined;
  const length = Number(whole);
  if (Number(first) !== offset || Number(last) !== length - 1) return undefined;
  return total === undefined || total === length ? length : undefined;
}

/** The announced length of the body; `undefined` when there is none that counts. The runtime unpacks an encoded one. */
export function announcedLength(headers: Headers): number | undefined {
  const text = headers.get('content-length');
  if (text === null || !/^\d{1,15}$/.test(text) || isEncoded(headers)) return undefined;
  return Number(text);
}

/** True for a body in another form than chunks, which no runtime unpacks: it would be taken for the file. */
export function isPackedForTransfer(headers: Headers): boolean {
  const transfer = headers.get('transfer-encoding');
  return transfer !== null && !/^(?:chunked|identity)?$/i.test(transfer.trim());
}

function isEncoded(headers: Headers): boolean {
  return (headers.get('content-encoding') ?? 'identity').trim().toLowerCase() !== 'identity';
}
