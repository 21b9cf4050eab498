/**
 * Which hosts are this machine's surroundings and not the network: link-local addresses (where the instance metadata
 * service is), the platform's own address, and loopback. Only what is written in the URL is looked at; no name is resolved.
 * Source: docs-and-reliability 1.1; RFC 3927; RFC 4291 2.5.6.
 */
import { WIRE_SERVER_ADDRESS } from './contract/agent-variables.ts';

/**
 * True for a link-local address and for the platform's address, which no proxy can reach and no redirect may name.
 * `hostname` is that of a `URL`, which gives every way of writing an IPv4 address its usual form.
 */
export function isPlatformAddress(hostname: string): boolean {
  const name = plainName(hostname);
  if (name === WIRE_SERVER_ADDRESS) return true;
  return name.startsWith('169.254.') ? isIpv4(name) : /^fe[89ab][\da-f]:/.test(name);
}

/** True for `localhost` and the addresses of loopback. */
export function isLoopback(hostname: string): boolean {
  const name = plainName(hostname);
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === '::1' ||
    (name.startsWith('127.') && isIpv4(name))
  );
}

/** Without the brackets and the trailing dot; an IPv4 address inside an IPv6 one in its own form. */
function plainName(hostname: string): string {
  const name = hostname.toLowerCase().replace(/\.$/, '');
  if (!name.startsWith('[')) return name;
  const address = name.slice(1, -1);
  const [, high = '0', low] = IPV4_INSIDE.exec(address) ?? [];
  if (low === undefined) return address;
  const bits = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return bits.flatMap((part) => [part >> 8, part & 255]).join('.');
}

/** Mapped, translated and compatible addresses, and those of NAT64. Source: RFC 4291 2.5.5; RFC 2765 2.1; RFC 6052 2.1. */
const IPV4_INSIDE = /^(?:::ffff:(?:0:)?|64:ff9b::|::)([\da-f]{1,4}):([\da-f]{1,4})$/;

function isIpv4(name: string): boolean {
  return /^\d+\.\d+\.\d+\.\d+$/.test(name);
}
