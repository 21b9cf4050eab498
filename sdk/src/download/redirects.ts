/**
 * Follows redirects by rule: at most ten, no way from https to http, no other scheme, none to a link-local address, and
 * what the caller sends stays with the host that it was meant for. Source: docs-and-reliability A25.
 */
import type { Host } from '../host.ts';
import { isPlatformAddress } from '../network-address.ts';
import { FailedAttempt } from './failed-attempt.ts';

export const REDIRECT_LIMIT = 10;

/** Headers that tell another host nothing. All others of the caller may be secret. */
const HARMLESS_HEADERS = new Set(['accept', 'accept-language', 'user-agent']);

/**
 * The first answer to GET that is no redirect. User information in the URL becomes a header. `own` are the caller's
 * headers; `range` goes to every host. Throws a {@link FailedAttempt} for a redirect that is refused, and what `fetch` throws.
 */
export async function requestFile(
  host: Host,
  url: URL,
  own: Readonly<Record<string, string>>,
  range: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  let at = withoutUser(url);
  for (let hop = 0; ; hop++) {
    const isOwn = at.origin === url.origin;
    const headers = new Headers({ 'accept-encoding': 'identity' });
    if (isOwn && (url.username !== '' || url.password !== '')) {
      headers.set('authorization', basicAuthorization(url));
    }
    for (const [name, value] of Object.entries(own)) {
      if (isOwn || HARMLESS_HEADERS.has(name.toLowerCase())) headers.set(name, value);
    }
    for (const [name, value] of Object.entries(range)) headers.set(name, value);
    const response = await host.fetch(at, { redirect: 'manual', signal, headers });
    const location = response.headers.get('location');
    if (!REDIRECTS.has(response.status) || location === null) return response;
    await discard(response);
    if (hop === REDIRECT_LIMIT) throw refusal(url, `redirects more than ${REDIRECT_LIMIT} times`);
    at = redirectTarget(at, location);
  }
}

/** Where a redirect leads. Throws a {@link FailedAttempt} when it may not be followed. */
export function redirectTarget(from: URL, location: string): URL {
  // A backslash is part of no URL; the parser would take it for a slash, and what follows for a host.
  if (!URL.canParse(location, from.href) || /^[^?#]*\\/.test(location))
    throw refusal(from, 'redirects to an address that is not a valid URL');
  const to = new URL(location, from);
  if (to.protocol !== 'http:' && to.protocol !== 'https:') {
    throw refusal(from, 'redirects to something that is not http or https');
  }
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw refusal(from, 'redirects from https to http, which is refused');
  }
  if (isPlatformAddress(to.hostname)) {
    throw refusal(from, 'redirects to an address of the platform or a link-local one, which is refused');
  }
  return withoutUser(to);
}

/** Ends an answer whose body is of no use. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

function refusal(url: URL, problem: string): FailedAttempt {
  const { host } = url;
  return new FailedAttempt({ kind: 'transport', host, detail: `${host} ${problem}` }, 'never');
}

/** `fetch` refuses a URL with user information, so it goes into the header that it stands for. */
function withoutUser(url: URL): URL {
  const plain = new URL(url);
  plain.username = '';
  plain.password = '';
  plain.hash = '';
  return plain;
}

function basicAuthorization(url: URL): string {
  const text = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return `Basic ${Buffer.from(text).toString('base64')}`;
}
