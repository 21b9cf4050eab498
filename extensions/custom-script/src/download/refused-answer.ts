/**
 * Why a storage service refused: what its answer says beyond its status, and whether the signature of the URL (SAS) has
 * expired. The VM's clock may be wrong, so the service's own words and its clock count as well.
 * Source: Microsoft Learn, "Status and error codes" and "Create a service SAS" of Azure Storage.
 */
import type { Host } from '@handlerkit/sdk';

/** What the last refused answer of a download said. */
export interface RefusedAnswer {
  /** The service's clock in milliseconds; NaN when it did not say. */
  readonly dateMs: number;
  /** The service says that the signature's time is over. */
  readonly saysExpired: boolean;
}

/** A host that remembers why it was refused. */
export interface WatchedHost {
  readonly host: Host;
  readonly lastRefusal: () => RefusedAnswer | undefined;
}

/** Wraps `host` so that an answer 401 or 403 is looked at before it is passed on without its body. */
export function watchRefusals(host: Host): WatchedHost {
  let last: RefusedAnswer | undefined;
  const fetch: Host['fetch'] = async (...input) => {
    const response = await host.fetch(...input);
    if (response.status !== 401 && response.status !== 403) return response;
    const { status, statusText, headers } = response;
    const text = await readBeginning(response);
    last = { dateMs: Date.parse(headers.get('date') ?? ''), saysExpired: saysExpired(text) };
    return new Response(null, { status, statusText, headers });
  };
  return { host: { ...host, fetch }, lastRefusal: () => last };
}

/** When the SAS in `url` expires, as it says itself; `undefined` without one, or when that is no time. */
export function sasExpiry(url: URL): Date | undefined {
  const { searchParams } = url;
  const text = searchParams.get('se') ?? '';
  if (!searchParams.has('sig') || !SAS_TIME.test(text)) return undefined;
  // A date alone, and a time without a zone, are in UTC.
  const isoText = text.length > 10 && !text.endsWith('Z') ? `${text}Z` : text;
  const expiry = new Date(isoText);
  return Number.isNaN(expiry.getTime()) ? undefined : expiry;
}

/** True when the refusal of `url` comes from its SAS having expired. */
export function isSasExpired(url: URL, refusal: RefusedAnswer | undefined, now: Date): boolean {
  const expiry = sasExpiry(url)?.getTime();
  if (expiry === undefined) return false;
  if (refusal?.saysExpired === true) return true;
  return expiry <= (refusal === undefined || Number.isNaN(refusal.dateMs) ? now.getTime() : refusal.dateMs);
}

function saysExpired(text: string): boolean {
  if (EXPIRED.test(text)) return true;
  const [, expiry = '', current = ''] = TIME_FRAME.exec(text) ?? [];
  return Date.parse(expiry) <= Date.parse(current);
}

const SAS_TIME = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,7})?)?Z?)?$/;
/** The service's words for an expired signature without a start: it takes the present for the start. */
const EXPIRED = /Signed expiry time \[[^\]]*\] (?:must|has to) be after signed start time/i;
/** With a start. One that has not begun yet is told in the same words. */
const TIME_FRAME = /not valid in the specified time frame:.*Expiry \[([^\]]*)\] - Current \[([^\]]*)\]/is;
const LONGEST_READ = 16 * 1024;
/** The status is known already, so its reason is not waited for long. */
const LONGEST_READ_MS = 5_000;

/** An answer that explains itself is short and comes at once; of another one the beginning is enough. */
async function readBeginning(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return '';
  const decoder = new TextDecoder();
  let text = '';
  const timer = setTimeout(() => void reader.cancel().catch(() => undefined), LONGEST_READ_MS);
  try {
    while (text.length < LONGEST_READ) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += decoder.decode(value, { stream: true });
    }
  } catch {
    // What was read is enough, or there is nothing: the status is known all the same.
  } finally {
    clearTimeout(timer);
  }
  await reader.cancel().catch(() => undefined);
  return text;
}
