/**
 * Makes sshd take a new configuration and proves that it did: through systemd's service or socket, an init script, or a
 * signal, whichever runs sshd here. A reload keeps sshd running and is tried first; a restart follows when it has no
 * effect. Nothing goes by the distribution's name.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { isSystemd } from '@handlerkit/sdk';
import { findProgram } from './command.ts';
import type { EffectiveSshd } from './effective-sshd.ts';
import { checkSshdConfig, readSshd, sshdProblemError } from './effective-sshd.ts';
import { accessError } from './errors.ts';
import { isConfigNewer, recordRead } from './sshd-freshness.ts';
import type { ListeningSocket, SshdListener } from './sshd-process.ts';
import { findSshdListeners, readListeningSockets } from './sshd-process.ts';
import { MAIN_FILE } from './sshd-tree.ts';
import type { SshdUnit } from './sshd-units.ts';
import { readSshdUnits } from './sshd-units.ts';
import type { StepContext } from './step.ts';

/** How sshd took its configuration. */
export interface AppliedSshd {
  /** For people: `ssh.service was reloaded and listens on port 22`. */
  readonly message: string;
  readonly warning?: string;
}

/**
 * Makes sshd read its configuration, once `sshd -t` has accepted it, and waits until it listens on every port of it. `start`
 * also starts an sshd that does not run; without it that is no error, and the message says so. Throws `SSHD_NOT_RUNNING`,
 * or `SSHD_CONFIG_INVALID` before anything is told to anybody.
 */
export async function applySshdConfig(
  context: StepContext,
  options: { readonly start: boolean },
): Promise<AppliedSshd> {
  const problem = await checkSshdConfig(context);
  if (problem !== undefined) throw sshdProblemError(problem);
  const at = context.host.now();
  const applied = await applyGoodConfig(context, options.start);
  recordRead(context, systemListeners(context.host), at);
  return applied;
}

/** Whether the sshd that runs has yet to read its configuration as it is now. False when none runs. */
export function isReloadNeeded(context: StepContext): boolean {
  return isConfigNewer(context, systemListeners(context.host));
}

/** Whether an sshd waits for connections, or a socket does for it. */
export async function isSshdRunning(context: StepContext): Promise<boolean> {
  if (systemListeners(context.host).length > 0) return true;
  if (!isSystemd(context.host)) return false;
  const { socket } = await readSshdUnits(context);
  return socket?.state === 'active';
}

/** Ports on which sshd listens: those of the socket, of the running sshd, or else of its configuration. None: not installed. */
export async function readSshdPorts(context: StepContext): Promise<readonly number[]> {
  const { host } = context;
  const socket = isSystemd(host) ? (await readSshdUnits(context)).socket : undefined;
  if (socket !== undefined && socket.ports.length > 0) return socket.ports;
  const held = portsOf(systemListeners(host));
  return held.length > 0 ? held : ((await readSshd(context))?.ports ?? []);
}

/**
 * Throws when there is no sshd whose configuration VM Access can change: `SSHD_MISSING` when none is installed,
 * `SSHD_CONFIG_INVALID` when the one that runs reads another file.
 */
export function requireSshd({ host }: StepContext): void {
  if (findProgram(host, 'sshd') === undefined) {
    throw accessError(
      'SSHD_MISSING',
      'this VM has no SSH server; install the package with sshd and try again',
    );
  }
  const [other] = findSshdListeners(host);
  if (other?.file === undefined || systemListeners(host).length > 0) return;
  const advice = `VM Access changes ${MAIN_FILE} only; change that file by hand`;
  throw accessError('SSHD_CONFIG_INVALID', `sshd of this VM was started with -f ${other.file}; ${advice}`);
}

/** One way to make sshd read its configuration, and what is said of it when it worked. */
interface Action {
  readonly verb: string;
  readonly said: string;
}

const LIMIT_MS = 10_000;
const POLL_MS = 50;
/** A wrong configuration or a port in use ends sshd within this time. */
const SETTLE_MS = 300;
/** Makes the addresses of Ubuntu's ssh.socket from sshd_config, at every reload of systemd. */
const SOCKET_GENERATORS = ['/usr/lib', '/lib'].map((folder) =>
  join(folder, 'systemd/system-generators/sshd-socket-generator'),
);

async function applyGoodConfig(context: StepContext, start: boolean): Promise<AppliedSshd> {
  const before = systemListeners(context.host);
  if (!isSystemd(context.host)) return applyWithoutSystemd(context, before, start);
  const { service, socket } = await readSshdUnits(context);
  if (socket !== undefined) return applyToSocket(context, socket, service);
  if (service === undefined) return applyWithoutSystemd(context, before, start);
  const isStopped = /^(inactive|failed|deactivating)$/.test(service.state);
  // Somebody has started one by hand.
  if (isStopped && before.length > 0) return applyWithoutSystemd(context, before, start);
  if (isStopped && !start) return notRunning(service.id);
  const reload = { verb: 'reload', said: 'was reloaded' };
  const restart = { verb: 'restart', said: isStopped ? 'was started' : 'was restarted' };
  const actions = service.canReload && !isStopped ? [reload, restart] : [restart];
  return tryInTurn(context, before, service.id, actions, async ({ verb }) => {
    // A unit that failed several times in a row is not started again before that is forgotten.
    if (service.state === 'failed') await systemctl(context, 'reset-failed', service.id);
    await systemctl(context, verb, service.id);
  });
}

/** Those that read the configuration of the system, not one of their own. */
function systemListeners(host: Host): readonly SshdListener[] {
  return findSshdListeners(host).filter(({ file }) => file === undefined || file === MAIN_FILE);
}

async function systemctl(context: StepContext, ...args: readonly string[]): Promise<void> {
  await context.run(['systemctl', ...args]);
}

async function applyToSocket(
  context: StepContext,
  socket: SshdUnit,
  service: SshdUnit | undefined,
): Promise<AppliedSshd> {
  const { host } = context;
  const wanted = (await readSshd(context))?.ports ?? [];
  const isGenerated = SOCKET_GENERATORS.some((path) => existsSync(host.path(path)));
  const isNew = isGenerated && wanted.toSorted().join() !== socket.ports.toSorted().join();
  const ports = isGenerated ? wanted : socket.ports;
  const isServing = service?.state === 'active';
  if (isNew) {
    await systemctl(context, 'daemon-reload');
    // A socket does not open again while the service that it started holds it. Sessions go on.
    if (isServing) await systemctl(context, 'stop', service.id);
  }
  if (isNew || socket.state !== 'active') await systemctl(context, 'restart', socket.id);
  else if (isServing && !socket.accepts) {
    await systemctl(context, service.canReload ? 'reload' : 'restart', service.id);
  }
  const listens = (): boolean => {
    const open = new Set(readListeningSockets(host).map(({ port }) => port));
    return ports.every((port) => open.has(port));
  };
  const isThere = await waitUntil(context, async () => {
    if (!listens()) return false;
    const now = await readSshdUnits(context);
    return now.socket?.id === socket.id && now.socket.state === 'active' && now.service?.state !== 'failed';
  });
  if (!isThere) throw notListening(socket.id, ports, '');
  const how = socket.accepts ? 'starts an sshd for every connection' : 'starts sshd';
  return { message: `${socket.id} ${how} and listens on ${describePorts(ports)}` };
}

async function applyWithoutSystemd(
  context: StepContext,
  before: readonly SshdListener[],
  start: boolean,
): Promise<AppliedSshd> {
  const script = findScript(context.host);
  const isStopped = before.length === 0;
  if (isStopped && (!start || script === undefined)) return notRunning('sshd');
  const actions: Action[] = [];
  if (!isStopped && script !== undefined) actions.push({ verb: 'reload', said: 'was reloaded' });
  if (!isStopped) actions.push({ verb: 'HUP', said: 'was told to reload' });
  const said = isStopped ? 'was started' : 'was restarted';
  if (script !== undefined) actions.push({ verb: isStopped ? 'start' : 'restart', said });
  return tryInTurn(context, before, script?.name ?? 'sshd', actions, async ({ verb }) => {
    if (verb !== 'HUP') {
      await context.run([...(script?.argv ?? []), verb]);
      return;
    }
    for (const { pid } of before) await context.run(['/bin/sh', '-c', 'kill -s HUP "$1"', 'sh', `${pid}`]);
  });
}

/** Tries one action after the other until sshd runs with its configuration, and proves it each time. */
async function tryInTurn(
  context: StepContext,
  before: readonly SshdListener[],
  name: string,
  actions: readonly Action[],
  act: (action: Action) => Promise<void>,
): Promise<AppliedSshd> {
  const isTold = before.some(({ hasOwnPorts }) => hasOwnPorts);
  const wanted = isTold ? undefined : await readSshd(context);
  let reason = '';
  for (const action of actions) {
    try {
      await act(action);
    } catch (thrown) {
      if (context.signal.aborted) throw thrown;
      reason = thrown instanceof Error ? thrown.message : String(thrown);
      context.log.warn('sshd did not take its configuration', { service: name, action: action.verb, reason });
      continue;
    }
    const ports = await waitForListener(context, wanted, before);
    if (ports !== undefined)
      return { message: `${name} ${action.said} and listens on ${describePorts(ports)}` };
    context.log.warn('sshd does not listen', { service: name, action: action.verb });
  }
  throw notListening(name, wanted?.ports ?? [], reason);
}

/**
 * Waits until an sshd listens on the ports with other sockets than `before`, and still does a moment later. Gives its
 * ports; `undefined` as soon as it is clear that it does not.
 */
async function waitForListener(
  context: StepContext,
  wanted: EffectiveSshd | undefined,
  before: readonly SshdListener[],
): Promise<readonly number[] | undefined> {
  const { host, signal } = context;
  const old = new Set(before.flatMap(({ sockets }) => sockets.map(({ inode }) => inode)));
  const find = (): SshdListener | undefined =>
    systemListeners(host).find(({ sockets }) => sockets.some(({ inode }) => !old.has(inode)));
  const end = host.elapsedMs() + LIMIT_MS;
  for (;;) {
    const first = find();
    if (first !== undefined) {
      // All sockets are opened at once, and what cannot be is not tried again.
      await host.sleep(SETTLE_MS, signal);
      const second = find();
      if (second?.pid === first.pid) {
        const isRight = wanted === undefined || covers(second.sockets, wanted);
        return isRight ? portsOf([second]) : undefined;
      }
    }
    if (host.elapsedMs() >= end) return undefined;
    await host.sleep(POLL_MS, signal);
  }
}

/** sshd goes on when it gets one of its addresses. Without IPv6 that is as it must be, without IPv4 somebody else has the port. */
function covers(sockets: readonly ListeningSocket[], wanted: EffectiveSshd): boolean {
  const isHeld = (port: number, isIpv4: boolean): boolean =>
    sockets.some((socket) => socket.port === port && (socket.isIpv4 || !isIpv4));
  return wanted.ports.every((port) => isHeld(port, wanted.listens.includes(`0.0.0.0:${port}`)));
}

async function waitUntil({ host, signal }: StepContext, isTrue: () => Promise<boolean>): Promise<boolean> {
  const end = host.elapsedMs() + LIMIT_MS;
  for (;;) {
    if (await isTrue()) return true;
    if (host.elapsedMs() >= end) return false;
    await host.sleep(POLL_MS, signal);
  }
}

/** How the init system other than systemd is spoken to about sshd; `undefined`: it knows none. */
function findScript(host: Host): { readonly name: string; readonly argv: readonly string[] } | undefined {
  const name = ['ssh', 'sshd'].find((script) => existsSync(host.path(`/etc/init.d/${script}`)));
  // Under systemd a script would ask it, which does not know this sshd.
  if (name === undefined || isSystemd(host)) return undefined;
  const isOpenRc = existsSync(host.path('/run/openrc')) && findProgram(host, 'rc-service') !== undefined;
  if (isOpenRc) return { name, argv: ['rc-service', name] };
  const hasService = findProgram(host, 'service') !== undefined;
  return { name, argv: hasService ? ['service', name] : [`/etc/init.d/${name}`] };
}

function notRunning(name: string): AppliedSshd {
  return {
    message: `${name} does not run; it reads its configuration when it is started`,
    warning: `${name} does not run, so nobody can log in by SSH until it is started`,
  };
}

function notListening(name: string, ports: readonly number[], reason: string): Error {
  const why = reason === '' ? '' : ` (${reason})`;
  const text = `${name} does not listen on ${describePorts(ports)} with its new configuration${why}`;
  return accessError('SSHD_NOT_RUNNING', `${text}; look into its log on the VM`);
}

function portsOf(listeners: readonly SshdListener[]): readonly number[] {
  return [...new Set(listeners.flatMap(({ sockets }) => sockets.map(({ port }) => port)))];
}

function describePorts(ports: readonly number[]): string {
  if (ports.length === 0) return 'any port';
  return `${ports.length === 1 ? 'port' : 'ports'} ${ports.join(', ')}`;
}
