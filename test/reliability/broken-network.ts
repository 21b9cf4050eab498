/**
 * A network of the test's own, in which a packed handler finds only what the test has put there: addresses and rules, a name server, and the
 * instance metadata service. Nothing of it is seen outside.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LaidOutHandler } from '../unpacked-handler.ts';

/** One answer of the instance metadata service. */
export interface MetadataAnswer {
  readonly status: number;
  readonly body?: string;
  /** How often the body is sent; default: once. */
  readonly times?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Seconds before it. */
  readonly delay?: number;
}

export interface BrokenNetwork {
  /** Lines of shell that run first; loopback is up. */
  readonly setup?: string;
  /** How the only name server answers; default: there is none. */
  readonly names?: 'unknown' | 'failed' | 'refused' | 'silent';
  /** Answers of the metadata service in turn, the last one again and again; default: there is none. */
  readonly metadata?: readonly MetadataAnswer[];
  /** Length of the file that a server at port 80 of loopback sends; default: there is no server. */
  readonly bytes?: number;
}

export interface PreparedNetwork {
  /** Words that run a command inside. */
  readonly wrapper: readonly string[];
  /** `Metadata` header and path of each request of the metadata service. */
  requests(): string[];
  /** Ends the services. */
  end(): void;
}

/** A host that is reached over a device of the namespace, where nobody is. */
export const ABSENT_HOST = '203.0.113.9';

/** Lines of setup: a way to {@link ABSENT_HOST}. */
export const WITH_DEVICE = `
ip link add v0 type veth peer name v1
ip address add 203.0.113.2/24 dev v0
ip link set v0 up
ip link set v1 up`;

/** Lines of setup: a rule of the firewall for what goes out to an address. */
export function firewall(address: string, verdict: string): string {
  return `nft 'add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule ip t o ip daddr ${address} ${verdict}'`;
}

/** Prepares one for a laid-out handler, whose folder gets the files that are needed. */
export function prepareNetwork(handler: LaidOutHandler, network: BrokenNetwork): PreparedNetwork {
  const file = (name: string): string => join(handler.libFolder, name);
  const [log, pid, resolver] = [file('requests'), file('services-pid'), file('resolv.conf')];
  // Twelve seconds: longer than any test wants to wait for a name.
  writeFileSync(resolver, 'nameserver 127.0.0.53\noptions timeout:12 attempts:1\n');
  const { setup = '', names, metadata, bytes } = network;
  const lines = [
    'ip link set lo up',
    `mount --bind ${resolver} /etc/resolv.conf`,
    ...(metadata === undefined ? [] : ['ip address add 169.254.169.254/32 dev lo']),
    setup,
    'exec python3 "$@"',
  ];
  const plan = JSON.stringify({ log, pid, names, metadata, bytes });
  const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
  return {
    wrapper: ['unshare', '--net', '--mount', '/bin/sh', '-ec', lines.join('\n'), 'sh', SERVICES, plan],
    requests: () => read(log).split('\n').slice(0, -1),
    end: () => {
      const services = Number(read(pid));
      if (services > 0) process.kill(services, 'SIGKILL');
    },
  };
}

const SERVICES = fileURLToPath(new URL('faulty-services.py', import.meta.url));
