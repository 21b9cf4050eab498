/**
 * `fetch` as the host gives it: that of the runtime, with the proxy that the environment names, and never one for
 * link-local or loopback. Bun's takes the proxy as an option, Node's takes none, so there a request with a proxy goes
 * over a tunnel of our own. On bun a server whose certificate is not known is asked again with the authorities of the VM:
 * bun brings a list of its own, and does not see those that a company has added.
 */
import { readFileSync } from 'node:fs';
import type { BunFetchInit } from './bun-runtime.ts';
import { IS_BUN } from './bun-runtime.ts';
import { chooseProxy } from './proxy.ts';
import { isUnknownAuthority, transportCode } from './transport-code.ts';

/** Makes the `fetch` of a host. `env` is read at each request. */
export function createFetch(env: Readonly<Record<string, string | undefined>>): typeof globalThis.fetch {
  let authorities: readonly string[] | undefined;
  return async (input, init) => {
    if (!IS_BUN) return fetchOnNode(env, new Request(input, init));
    const proxy = chooseProxy(new URL(input instanceof Request ? input.url : input), env);
    const send = (ca: readonly string[] | undefined): Promise<Response> => {
      const options: BunFetchInit = { ...init, proxy: proxy?.href ?? false, ...(ca && { tls: { ca } }) };
      return globalThis.fetch(input instanceof Request ? input.clone() : input, options);
    };
    try {
      return await send(authorities);
    } catch (thrown) {
      if (authorities !== undefined || !isUnknownAuthority(transportCode(thrown))) throw thrown;
      // Loaded late, as below: TLS and HTTP of Node cost start-up time and memory, and are seldom needed.
      const { rootCertificates } = await import('node:tls');
      const all = [...rootCertificates, ...readAuthorities(env)];
      const response = await send(all);
      authorities = all;
      return response;
    }
  };
}

const REDIRECT_LIMIT = 20;

/** A redirect may lead to a host that has another proxy or none, so each step chooses anew. */
async function fetchOnNode(
  env: Readonly<Record<string, string | undefined>>,
  request: Request,
  hop = 0,
): Promise<Response> {
  const url = new URL(request.url);
  const proxy = chooseProxy(url, env);
  if (proxy === undefined) return globalThis.fetch(request);
  const { fetchThroughProxy } = await import('./proxy-request.ts');
  const response = await fetchThroughProxy(proxy, request);
  const location = response.headers.get('location');
  if (request.redirect === 'manual' || location === null || !REDIRECTS.has(response.status)) return response;
  await response.body?.cancel();
  const { method, signal } = request;
  if (request.redirect === 'error' || hop === REDIRECT_LIMIT || !['GET', 'HEAD'].includes(method)) {
    throw new TypeError(
      `${url.host} redirects, and through a proxy only so many are followed, of GET and HEAD`,
    );
  }
  const to = new URL(location, url);
  const headers = new Headers(request.headers);
  if (to.origin !== url.origin) for (const name of ['authorization', 'cookie']) headers.delete(name);
  return fetchOnNode(env, new Request(to, { method, headers, signal }), hop + 1);
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** Where distributions keep the authorities that the machine trusts. */
const AUTHORITY_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** The file that the environment names or the first that is there, and what Node's own variable adds. */
function readAuthorities(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const [first] = (env.SSL_CERT_FILE ? [env.SSL_CERT_FILE] : AUTHORITY_FILES).flatMap(readIfThere);
  const extra = env.NODE_EXTRA_CA_CERTS ? readIfThere(env.NODE_EXTRA_CA_CERTS) : [];
  return [...(first === undefined ? [] : [first]), ...extra];
}

function readIfThere(file: string): readonly string[] {
  try {
    return [readFileSync(file, 'utf8')];
  } catch {
    return [];
  }
}
