/**
 * Who may talk to the page's server: the browser that opened the address with the token, and no page of another origin. The
 * token is good once; then a cookie takes its place that no script and no other site can use.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface RequestGuard {
  /** `127.0.0.1:PORT`, as it has to be in the Host header. */
  readonly authority: string;
  /** Good for one {@link RequestGuard.exchange}. */
  readonly token: string;
  /** True when the request was meant for this server by name: a foreign name that was made to lead here is refused. */
  isForUs(headers: IncomingHttpHeaders): boolean;
  /** True when a change was asked for by our own page. */
  isFromOurPage(headers: IncomingHttpHeaders): boolean;
  /** True with the cookie of the session. */
  hasSession(headers: IncomingHttpHeaders): boolean;
  /** The value of `Set-Cookie` for the right token, once; else `undefined`. */
  exchange(token: string | null): string | undefined;
}

/** Makes the guard of a server at this port of 127.0.0.1. */
export function createRequestGuard(port: number): RequestGuard {
  const authority = new URL(`http://${LOOPBACK}:${port}`).host;
  const token = secret();
  const session = secret();
  // Cookies do not keep ports apart, and there may be a page for another VM.
  const cookie = `handlerkit-vm-ui-${port}`;
  let isTokenGood = true;
  return {
    authority,
    token,
    isForUs: ({ host }) => host === authority,
    isFromOurPage: ({ origin, 'sec-fetch-site': site }) =>
      origin === `http://${authority}` && (site === undefined || site === 'same-origin'),
    hasSession: (headers) => {
      const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim());
      return pairs.some(
        (pair) => pair.startsWith(`${cookie}=`) && isSame(pair.slice(cookie.length + 1), session),
      );
    },
    exchange: (given) => {
      if (!isTokenGood || given === null || !isSame(given, token)) return undefined;
      isTokenGood = false;
      return `${cookie}=${session}; Path=/; HttpOnly; SameSite=Strict`;
    },
  };
}

/** The address that the server listens on. */
export const LOOPBACK = '127.0.0.1';

const SECRET_BYTES = 32;

function secret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

/** Takes as long for a near miss as for any other. */
function isSame(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
