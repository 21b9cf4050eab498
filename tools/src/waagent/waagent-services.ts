/**
 * The two programs of a VM with the real agent: the fabric, which is this tool on the VM's network, and the agent's daemon,
 * which is in the VM. Both live as long as the VM is on.
 * Source: fabric.md 1, 7; Debian's `waagent.service`; proc(5) `/proc/net/tcp`.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readTextIfThere } from '@handlerkit/sdk';
import { ToolError } from '../errors.ts';
import type { Endpoint } from '../fabric/fabric-addresses.ts';
import { AZURE_ENDPOINTS } from '../fabric/fabric-addresses.ts';
import { FABRIC_FILES } from '../fabric/fabric-files.ts';
import type { OpenMachine, ServiceCommand, VmServices } from '../vm/machine.ts';
import { lastLines } from './log-tail.ts';
import { WAAGENT_PATHS } from './waagent-files.ts';

/** A VM in which the agent can run, and the folder that it has on this machine. */
export interface AgentVm {
  readonly machine: OpenMachine;
  readonly folder: string;
}

export interface ServiceDeps {
  /** Program and first arguments that start this tool once more. */
  readonly toolCommand: readonly [string, ...string[]];
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  elapsedMs(): number;
}

/** Name of the file in the VM's folder that holds what the agent's daemon prints, all of its log included. */
export const DAEMON_OUTPUT_FILE = 'waagent.out';

/** Starts what does not run. Throws `FABRIC_FAILED`, and what `addFabricAddresses` throws. */
export async function ensureServices(vm: AgentVm, deps: ServiceDeps, signal?: AbortSignal): Promise<void> {
  const services = requireServices(vm.machine);
  await vm.machine.addFabricAddresses();
  await services.start(fabricCommand(vm, deps));
  await awaitFabric(vm, deps, signal);
  if (services.isRunning(DAEMON)) return;
  // What an earlier run of the agent said of the same goal state is no answer of this one.
  for (const file of [FABRIC_FILES.statusBlob, DAEMON_OUTPUT_FILE])
    rmSync(join(vm.folder, file), { force: true });
  await services.start(daemonCommand(vm));
}

/** Ends the agent, as a restart of its service does; the fabric goes on. Handlers that run go on, too. */
export async function stopDaemon({ machine }: AgentVm): Promise<void> {
  await requireServices(machine).stop(DAEMON);
}

/**
 * Throws `WAAGENT_ENDED` with the end of its log when the agent does not run or `crashes` again and again, `FABRIC_FAILED`
 * when the fabric does not run.
 */
export function requireRunning(vm: AgentVm, crashes: boolean): void {
  const services = requireServices(vm.machine);
  if (!services.isRunning(FABRIC)) throw fabricFailed(vm, 'ended');
  if (services.isRunning(DAEMON) && !crashes) return;
  const what = crashes ? 'crashes again and again' : 'ended';
  throw new ToolError(
    'WAAGENT_ENDED',
    describeEnd(`The Azure Linux Agent ${what}.`, vm, DAEMON_OUTPUT_FILE),
    {
      file: join(vm.folder, DAEMON_OUTPUT_FILE),
      hint: 'Look into its log, and run the command again: that starts it anew. To start from nothing: handlerkit vm reset.',
    },
  );
}

const DAEMON = 'waagent';
const FABRIC = 'fabric';
const FABRIC_OUTPUT_FILE = 'fabric.out';
const FABRIC_START_MS = 60_000;
const POLL_MS = 20;
const TAIL_LINES = 8;

/** What systemd gives a service of root: no HOME, nothing of the tool's own. Handlers inherit it. */
const SERVICE_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
} as const;

function daemonCommand({ folder }: AgentVm): ServiceCommand {
  // Whatever mask the user's shell has: a service has this one.
  const withMask = ['/bin/sh', '-c', 'umask 022; exec "$@"', 'waagent'] as const;
  return {
    name: DAEMON,
    argv: [...withMask, WAAGENT_PATHS.python, '-u', WAAGENT_PATHS.program, '-daemon'],
    env: SERVICE_ENVIRONMENT,
    files: 'vm',
    cwd: '/',
    logFile: join(folder, DAEMON_OUTPUT_FILE),
  };
}

function fabricCommand({ folder }: AgentVm, { toolCommand }: ServiceDeps): ServiceCommand {
  return {
    name: FABRIC,
    argv: [...toolCommand, 'fabric', 'serve', folder],
    env: { PATH: SERVICE_ENVIRONMENT.PATH },
    files: 'machine',
    cwd: folder,
    logFile: join(folder, FABRIC_OUTPUT_FILE),
  };
}

/** An agent that finds nobody waits ten seconds before it asks again, so it starts when all servers listen. */
async function awaitFabric(vm: AgentVm, deps: ServiceDeps, signal: AbortSignal | undefined): Promise<void> {
  const until = deps.elapsedMs() + FABRIC_START_MS;
  const endpoints = Object.values(AZURE_ENDPOINTS);
  for (;;) {
    const table = readTextIfThere(vm.machine.hostPath('/proc/1/net/tcp')) ?? '';
    if (endpoints.every((endpoint) => isListening(table, endpoint))) return;
    if (!requireServices(vm.machine).isRunning(FABRIC)) throw fabricFailed(vm, 'ended');
    if (deps.elapsedMs() > until) throw fabricFailed(vm, 'does not listen');
    await deps.sleep(POLL_MS, signal);
  }
}

/** Of an IPv4 address in the kernel's table: its bytes from last to first, the port, and state 0A, listening. */
export function isListening(table: string, { host, port }: Endpoint): boolean {
  const hex = (value: number, digits: number): string =>
    value.toString(16).toUpperCase().padStart(digits, '0');
  const address = host
    .split('.')
    .toReversed()
    .map((byte) => hex(Number(byte), 2))
    .join('');
  return table.includes(`${address}:${hex(port, 4)} 00000000:0000 0A`);
}

function requireServices(machine: OpenMachine): VmServices {
  if (machine.services !== undefined) return machine.services;
  throw new ToolError(
    'WAAGENT_NEEDS_OVERLAY',
    'The real agent runs only in an overlay VM, which needs root.',
    {
      hint: 'Run the command as root, or make the VM with --agent embedded.',
    },
  );
}

function fabricFailed(vm: AgentVm, what: string): ToolError {
  const sentence = `The fabric, which stands for the host side of Azure, ${what}.`;
  return new ToolError('FABRIC_FAILED', describeEnd(sentence, vm, FABRIC_OUTPUT_FILE), {
    file: join(vm.folder, FABRIC_OUTPUT_FILE),
    hint: 'Run the command again; if it stays so, start anew with handlerkit vm reset.',
  });
}

function describeEnd(sentence: string, { folder }: AgentVm, file: string): string {
  const tail = lastLines(join(folder, file), TAIL_LINES);
  return tail.length === 0 ? sentence : [`${sentence} It said last:`, ...tail].join('\n');
}
