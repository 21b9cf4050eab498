/**
 * The sshd that runs, as the kernel shows it: which process holds which listening sockets. Works with every init system
 * and without one. Source: proc(5).
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '@handlerkit/sdk';

/** A listening TCP socket of this network namespace. */
export interface ListeningSocket {
  readonly port: number;
  readonly isIpv4: boolean;
  readonly inode: string;
}

/** A main process of sshd, which waits for connections. */
export interface SshdListener {
  readonly pid: number;
  readonly sockets: readonly ListeningSocket[];
  /** The configuration file that it was told to read, when it was. */
  readonly file: string | undefined;
  /** True when it was told its ports or addresses at its start, whatever its configuration says. */
  readonly hasOwnPorts: boolean;
}

/** All TCP sockets that listen, IPv4 and IPv6. None when the kernel does not tell. */
export function readListeningSockets(host: Host): readonly ListeningSocket[] {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => parseSocketTable(readText(host, file) ?? ''));
}

/** Lines of `/proc/net/tcp` or `tcp6`; only those of sockets that listen. */
function parseSocketTable(text: string): readonly ListeningSocket[] {
  return text.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
    const [address = '', end = ''] = local.split(':');
    const port = Number.parseInt(end, 16);
    if (state !== LISTENING || inode === undefined || !(port > 0)) return [];
    return [{ port, isIpv4: address.length === IPV4_DIGITS, inode }];
  });
}

/** Every process of sshd that waits for connections in this network namespace, not those of sessions. */
export function findSshdListeners(host: Host): readonly SshdListener[] {
  const sockets = readListeningSockets(host);
  if (sockets.length === 0) return [];
  return listProcesses(host).flatMap((pid) => {
    const listener = readListener(host, pid, sockets);
    return listener === undefined ? [] : [listener];
  });
}

const LISTENING = '0A';
const IPV4_DIGITS = 8;
/** How a process of a session calls itself: `sshd: alice [priv]`. The main one shows its program's path there. */
const SESSION_TITLE = /^sshd(?:-session|-auth)?: (?!\/)/;

function listProcesses(host: Host): readonly number[] {
  try {
    return readdirSync(host.path('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function readListener(
  host: Host,
  pid: number,
  sockets: readonly ListeningSocket[],
): SshdListener | undefined {
  if (readText(host, `/proc/${pid}/comm`)?.trim() !== 'sshd') return undefined;
  const words = (readText(host, `/proc/${pid}/cmdline`) ?? '').split('\0').filter(Boolean);
  // A session forwards ports, and listens for that. Its title is one word, or split where it was overwritten.
  if (SESSION_TITLE.test(words.join(' '))) return undefined;
  const held = heldSockets(host, pid, sockets);
  if (held.length === 0) return undefined;
  return { pid, sockets: held, ...readOptions(words.join(' ').split(/\s+/)) };
}

/** Looks for `-f FILE`, `-p PORT` and `-o Port=PORT` among the words of a command line. */
function readOptions(words: readonly string[]): Pick<SshdListener, 'file' | 'hasOwnPorts'> {
  const at = words.findIndex((word) => /^-D?f/.test(word));
  const file = at < 0 ? undefined : words[at]?.replace(/^-D?f/, '') || words[at + 1];
  const hasOwnPorts = words.some((word) => /^-p|^(-o)?(Port|ListenAddress)(=|$)/i.test(word));
  return { file, hasOwnPorts };
}

function heldSockets(
  host: Host,
  pid: number,
  sockets: readonly ListeningSocket[],
): readonly ListeningSocket[] {
  const folder = host.path(`/proc/${pid}/fd`);
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  const held = new Set(names.map((name) => readLink(join(folder, name))));
  return sockets.filter(({ inode }) => held.has(`socket:[${inode}]`));
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function readText(host: Host, path: string): string | undefined {
  try {
    return readFileSync(host.path(path), 'utf8');
  } catch {
    return undefined;
  }
}
