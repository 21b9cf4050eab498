/**
 * The fabric as a service of a VM: this tool once more, on the VM's network, where it listens on the addresses that Azure's host
 * side has. It goes on until it is stopped or the VM ends.
 * Source: proc(5) `/proc/net/tcp`.
 */
import { join } from 'node:path';
import { readTextIfThere } from '@handlerkit/sdk';
import { ToolError } from '../errors.ts';
import type { Endpoint } from '../fabric/fabric-addresses.ts';
import { AZURE_ENDPOINTS } from '../fabric/fabric-addresses.ts';
import { lastLines } from './log-tail.ts';
import type { OpenMachine, VmServices } from './machine.ts';
import { SYSTEM_PATH } from './system-tools.ts';

/** The VM that gets the fabric, and the folder that it has on this machine. */
export interface FabricVm {
  readonly machine: OpenMachine;
  readonly services: VmServices;
  readonly folder: string;
}

export interface FabricServiceDeps {
  /** Program and first arguments that start this tool once more. */
  readonly toolCommand: readonly [string, ...string[]];
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  elapsedMs(): number;
}

/** Starts the fabric unless it runs, and waits until all of it listens. Throws `FABRIC_FAILED`, and what `addFabricAddresses` throws. */
export async function ensureFabric(
  vm: FabricVm,
  options: { readonly vmSettings: boolean },
  deps: FabricServiceDeps,
  signal?: AbortSignal,
): Promise<void> {
  await vm.machine.addFabricAddresses();
  await vm.services.start({
    name: FABRIC,
    argv: [
      ...deps.toolCommand,
      ...['fabric', 'serve', vm.folder],
      ...(options.vmSettings ? ['--vm-settings'] : []),
    ],
    env: { PATH: SYSTEM_PATH },
    files: 'machine',
    cwd: vm.folder,
    logFile: join(vm.folder, FABRIC_OUTPUT_FILE),
  });
  const until = deps.elapsedMs() + START_MS;
  while (!isServing(vm)) {
    requireFabric(vm);
    if (deps.elapsedMs() > until) throw fabricFailed(vm, 'does not listen');
    await deps.sleep(POLL_MS, signal);
  }
}

export function isFabricRunning({ services }: Pick<FabricVm, 'services'>): boolean {
  return services.isRunning(FABRIC);
}

/** Throws `FABRIC_FAILED`, with what it said last, when the fabric does not run. */
export function requireFabric(vm: FabricVm): void {
  if (!isFabricRunning(vm)) throw fabricFailed(vm, 'ended');
}

/** Ends the fabric; one that does not run is fine. */
export async function stopFabric({ services }: FabricVm): Promise<void> {
  await services.stop(FABRIC);
}

/** True for an IPv4 address in a kernel's table of sockets: its bytes from last to first, the port, and state 0A, listening. */
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

/** What a program said last, after a sentence about its end. */
export function describeEnd(sentence: string, outputFile: string): string {
  const tail = lastLines(outputFile, TAIL_LINES);
  return tail.length === 0 ? sentence : [`${sentence} It said last:`, ...tail].join('\n');
}

const FABRIC = 'fabric';
const FABRIC_OUTPUT_FILE = 'fabric.out';
/** A busy machine takes its time to load this tool. */
const START_MS = 60_000;
const POLL_MS = 20;
const TAIL_LINES = 8;

/** All servers, as an agent that finds nobody waits ten seconds before it asks again. */
function isServing({ machine }: FabricVm): boolean {
  const table = readTextIfThere(machine.hostPath('/proc/1/net/tcp')) ?? '';
  return Object.values(AZURE_ENDPOINTS).every((endpoint) => isListening(table, endpoint));
}

function fabricFailed({ folder }: FabricVm, what: string): ToolError {
  const file = join(folder, FABRIC_OUTPUT_FILE);
  const sentence = `The fabric, which stands for the host side of Azure, ${what}.`;
  return new ToolError('FABRIC_FAILED', describeEnd(sentence, file), {
    file,
    hint: 'Run the command again; if it stays so, start anew with handlerkit vm reset.',
  });
}
