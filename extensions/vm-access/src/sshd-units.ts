/** What systemd says of the units that may be sshd's: service and socket, whatever they are called. Source: systemctl(1), systemd.socket(5). */
import { readFileSync } from 'node:fs';
import type { Host } from '@handlerkit/sdk';
import { findSshdListeners } from './sshd-process.ts';
import type { StepContext } from './step.ts';

/** A unit that systemd has loaded. */
export interface SshdUnit {
  /** Its own name, whatever alias it was asked by: `ssh.service`. */
  readonly id: string;
  readonly state: string;
  readonly mainPid: number;
  readonly canReload: boolean;
  readonly isEnabled: boolean;
  /** Of a socket: the TCP ports on which it listens. */
  readonly ports: readonly number[];
  /** Of a socket: every connection gets an sshd of its own. */
  readonly accepts: boolean;
}

/** The units that count; either may be missing. */
export interface SshdUnits {
  readonly service: SshdUnit | undefined;
  /** A socket that listens for sshd, or should. One that is only installed does not count. */
  readonly socket: SshdUnit | undefined;
}

/** Asks for the units: the one in which an sshd runs, and those of the names that distributions use. */
export async function readSshdUnits(context: StepContext): Promise<SshdUnits> {
  const names = [...new Set([...runningUnits(context.host), ...UNIT_NAMES])];
  const { stdout } = await context.run(['systemctl', 'show', `--property=${PROPERTIES}`, '--', ...names]);
  const units = parseUnits(stdout);
  const services = units.filter(({ id }) => id.endsWith('.service'));
  const sockets = units.filter(({ id }) => id.endsWith('.socket'));
  return {
    service:
      services.find(isActive) ??
      services.find((unit) => unit.state === 'failed') ??
      services.find(isEnabled) ??
      services[0],
    socket: sockets.find(isActive) ?? sockets.find((unit) => unit.state === 'failed' && unit.isEnabled),
  };
}

/** What `systemctl show` printed for several units; only those that are loaded, each once. */
function parseUnits(text: string): readonly SshdUnit[] {
  const units = new Map<string, SshdUnit>();
  for (const block of text.split(/\n\s*\n/)) {
    const lines = block.split('\n').map((line) => line.trim());
    const all = (name: string): readonly string[] =>
      lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1));
    const get = (name: string): string => all(name)[0] ?? '';
    const id = get('Id');
    if (id === '' || get('LoadState') !== 'loaded' || units.has(id)) continue;
    units.set(id, {
      id,
      state: get('ActiveState'),
      mainPid: Number(get('MainPID')) || 0,
      canReload: get('CanReload') === 'yes',
      isEnabled: /^enabled/.test(get('UnitFileState')),
      ports: [...new Set(all('Listen').flatMap(parseListen))],
      accepts: get('Accept') === 'yes',
    });
  }
  return [...units.values()];
}

const UNIT_NAMES = ['ssh.service', 'sshd.service', 'ssh.socket', 'sshd.socket'];
const PROPERTIES = 'Id,LoadState,ActiveState,UnitFileState,MainPID,CanReload,Listen,Accept';

function isActive(unit: SshdUnit): boolean {
  return /^(active|activating|reloading)$/.test(unit.state);
}

function isEnabled(unit: SshdUnit): boolean {
  return unit.isEnabled;
}

/** `[::]:22 (Stream)`; older versions print several on a line. Unix sockets have no port. */
function parseListen(value: string): readonly number[] {
  return [...value.matchAll(/:(\d+) \(Stream\)/g)].map(([, port]) => Number(port));
}

/** Services in whose control groups an sshd waits for connections. */
function runningUnits(host: Host): readonly string[] {
  return findSshdListeners(host).flatMap(({ pid }) => {
    const unit = /\/([\w:.\\-]+\.service)$/m.exec(readGroup(host, pid))?.[1];
    return unit === undefined ? [] : [unit];
  });
}

function readGroup(host: Host, pid: number): string {
  try {
    return readFileSync(host.path(`/proc/${pid}/cgroup`), 'utf8');
  } catch {
    return '';
  }
}
