/**
 * Which proxy a request goes through, by the variables that other programs read: `http_proxy`, `https_proxy`, `all_proxy`
 * and `no_proxy`, in lower case first. Loopback, link-local addresses and the platform's address never get one.
 * Source: docs-and-reliability 1.1 (the agent hands its variables to extensions); curl's manual, section ENVIRONMENT.
 */
import { isLoopback, isPlatformAddress } from './network-address.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy's URL with its user information, `undefined` for a direct request. A variable that is no URL of an HTTP
 * proxy is passed over, since the handler did not set it.
 */
export function chooseProxy(url: URL, env: Environment): URL | undefined {
  if (isLoopback(url.hostname) || isPlatformAddress(url.hostname)) return undefined;
  const scheme = url.protocol.slice(0, -1);
  const text = variable(env, `${scheme}_proxy`) ?? variable(env, 'all_proxy');
  if (text === undefined || isExempt(url, variable(env, 'no_proxy') ?? '')) return undefined;
  const href = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(href)) return undefined;
  const proxy = new URL(href);
  return proxy.protocol === 'http:' || proxy.protocol === 'https:' ? proxy : undefined;
}

function variable(env: Environment, name: string): string | undefined {
  return [env[name], env[name.toUpperCase()]].map((value) => value?.trim()).find((value) => value);
}

/** An entry names a host and all below it, with or without a leading dot or a port; `*` is everything. */
function isExempt(url: URL, list: string): boolean {
  const name = url.hostname.toLowerCase().replace(/^\[|\]$/g, '');
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list.split(/[\s,]+/).some((entry) => {
    if (entry === '*') return true;
    const [, bracketed, plain = '', itsPort] =
      /^(?:\[([^\]]+)\]|([^:]*|.*:.*:.*))(?::(\d+))?$/.exec(entry) ?? [];
    const host = (bracketed ?? plain).toLowerCase().replace(/^\*?\./, '');
    if (host === '' || (itsPort !== undefined && itsPort !== port)) return false;
    return name === host || name.endsWith(`.${host}`) || isInBlock(name, host);
  });
}

/** `10.0.0.0/8`, IPv4 only. */
function isInBlock(name: string, block: string): boolean {
  const [base = '', bits] = block.split('/');
  const left = toNumber(name);
  const right = toNumber(base);
  const length = Number(bits);
  if (bits === undefined || left === undefined || right === undefined || !(length >= 0 && length <= 32))
    return false;
  const size = 2 ** (32 - length);
  return Math.floor(left / size) === Math.floor(right / size);
}

function toNumber(address: string): number | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(address)) return undefined;
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}
