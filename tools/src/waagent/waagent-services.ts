/**
 * The two programs of a VM with the real agent: the fabric, which is this tool on the VM's network, and the agent's daemon,
 * which is in the VM. Both live as long as the VM is on.
 * Source: fabric.md 1, 7; Debian's `waagent.service`.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ToolError } from '../errors.ts';
import { FABRIC_FILES } from '../fabric/fabric-files.ts';
import type { FabricServiceDeps, FabricVm } from '../vm/fabric-service.ts';
import { describeEnd, ensureFabric, requireFabric } from '../vm/fabric-service.ts';
import type { OpenMachine, ServiceCommand } from '../vm/machine.ts';
import { WAAGENT_PATHS } from './waagent-files.ts';

/** A VM in which the agent can run, and the folder that it has on this machine. */
export interface AgentVm {
  readonly machine: OpenMachine;
  readonly folder: string;
}

/** Name of the file in the VM's folder that holds what the agent's daemon prints, all of its log included. */
export const DAEMON_OUTPUT_FILE = 'waagent.out';

/** Starts what does not run. Throws `FABRIC_FAILED`, and what `addFabricAddresses` throws. */
export async function ensureServices(
  vm: AgentVm,
  deps: FabricServiceDeps,
  signal?: AbortSignal,
): Promise<void> {
  const served = requireServices(vm);
  await ensureFabric(served, { vmSettings: false }, deps, signal);
  if (served.services.isRunning(DAEMON)) return;
  // What an earlier run of the agent said of the same goal state is no answer of this one.
  for (const file of [FABRIC_FILES.statusBlob, DAEMON_OUTPUT_FILE])
    rmSync(join(vm.folder, file), { force: true });
  await served.services.start(daemonCommand(vm));
}

/** Ends the agent, as a restart of its service does; the fabric goes on. Handlers that run go on, too. */
export async function stopDaemon(vm: AgentVm): Promise<void> {
  await requireServices(vm).services.stop(DAEMON);
}

/**
 * Throws `WAAGENT_ENDED` with the end of its log when the agent does not run or `crashes` again and again, `FABRIC_FAILED`
 * when the fabric does not run.
 */
export function requireRunning(vm: AgentVm, crashes: boolean): void {
  const served = requireServices(vm);
  requireFabric(served);
  if (served.services.isRunning(DAEMON) && !crashes) return;
  const what = crashes ? 'crashes again and again' : 'ended';
  const file = join(vm.folder, DAEMON_OUTPUT_FILE);
  throw new ToolError('WAAGENT_ENDED', describeEnd(`The Azure Linux Agent ${what}.`, file), {
    file,
    hint: 'Look into its log, and run the command again: that starts it anew. To start from nothing: handlerkit vm reset.',
  });
}

const DAEMON = 'waagent';

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

function requireServices({ machine, folder }: AgentVm): FabricVm {
  const { services } = machine;
  if (services !== undefined) return { machine, services, folder };
  throw new ToolError(
    'WAAGENT_NEEDS_OVERLAY',
    'The real agent runs only in an overlay VM, which needs root.',
    {
      hint: 'Run the command as root, or make the VM with --agent embedded.',
    },
  );
}
