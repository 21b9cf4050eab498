/**
 * A VM as a copy-on-write overlay of this machine, in mount, pid, ipc and host name namespaces of its own.
 * A handler sees a whole machine and is root in it; what it writes stays in the state folder. It has its own `/run`,
 * `/dev` (no disks) and `/proc`; `/sys` and `/proc/sys` are read-only; it cannot load modules, set the clock or make
 * device nodes, and on the machine's network it cannot change interfaces or the firewall.
 * It guards against mistakes, not against a hostile root: who may mount can mount the kernel's file systems anew.
 * What changes on the machine while the VM runs may be seen late in it.
 */
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LIB_FOLDER, LOG_FOLDER } from '@handlerkit/sdk/contract';
import { type CommandOptions, type CommandResult, runCommand } from './agent-command.ts';
import { runAttached } from './attached-command.ts';
import { lockFile } from './file-lock.ts';
import { livingKeeper, startKeeper } from './keeper.ts';
import { childrenOf, isAlive, kernelBootId, kill, listProcesses, readProcess } from './linux-process.ts';
import type { OpenMachine } from './machine.ts';
import { MachineError } from './machine-error.ts';
import {
  type AgentKind,
  type KeeperRecord,
  listLayers,
  type MachineState,
  type Mark,
  type Network,
  readBootId,
} from './machine-state.ts';
import { resolveUnder } from './root-path.ts';
import type { SystemTools } from './system-tools.ts';
import { addFabricAddresses, describeLoopbackOnly } from './vm-network.ts';
import { createServices, hasServices } from './vm-process.ts';

/**
 * Rights of root that reach past the namespaces. On the machine's network, rights over it as well. With `dac_read_search` any
 * file of a disk that the VM sees one folder of can be opened by its number (open_by_handle_at(2)); root reads all without it.
 */
const WITHHELD = ['dac_read_search', 'mknod', 'sys_module', 'sys_rawio', 'sys_time', 'syslog'];
const WITHHELD_ON_HOST_NETWORK = [...WITHHELD, 'net_admin'];

/** Modes that the agent makes them with. Source: agent-contract 4.1, 11. */
const AGENT_FOLDERS = [
  { folder: LIB_FOLDER, mode: 0o700 },
  { folder: LOG_FOLDER, mode: 0o755 },
];

/** How long `close` waits for the keeper of a VM that nobody else uses. */
const CLOSE_PATIENCE_MS = 150;

/** Finds the running VM or starts it. The caller holds the creation lock. Errors as `openMachine`. */
export async function openOverlay(
  state: MachineState,
  mark: Mark,
  network: Network | undefined,
  tools: SystemTools,
  searchPath: string,
): Promise<OpenMachine> {
  const use = await lockFile(state.useLock, 'shared', tools.flock);
  try {
    const keeper =
      livingKeeper(state) ?? (await startKeeper(state, mark, network ?? mark.network ?? 'loopback', tools));
    if (network !== undefined && keeper.network !== network) {
      throw new MachineError(
        'vm-other-network',
        `The VM in ${state.folder} is running with network "${keeper.network}", not "${network}".`,
        `Wait until its handlers have ended, or reboot it: handlerkit vm reboot --vm ${state.folder}`,
      );
    }
    makeAgentFolders(`/proc/${keeper.pid}/root`, mark.kind === undefined);
    return openRunning(state, mark, keeper, tools, searchPath, use.release);
  } catch (error) {
    use.release();
    throw error;
  }
}

function openRunning(
  state: MachineState,
  mark: Mark,
  keeper: KeeperRecord,
  tools: SystemTools,
  searchPath: string,
  release: () => void,
): OpenMachine {
  const root = `/proc/${keeper.pid}/root`;
  const hostPath = (path: string) => resolveUnder(root, path);
  const isBusy = async () => isAlive(keeper) && hasHandlers(`${root}/proc`);
  return {
    kind: 'overlay',
    agent: mark.agent ?? 'embedded',
    network: keeper.network,
    layers: listLayers(state).map((layer) => ({
      ...layer,
      lower: layer.mountPoint === '/' ? (mark.rootfs ?? '/') : layer.mountPoint,
    })),
    services: createServices(state, keeper, (command) =>
      command.files === 'machine'
        ? enterAsTool(keeper, tools)
        : enterAsHandler(keeper, tools, hostPath(command.cwd)),
    ),
    addFabricAddresses: () => addFabricAddresses(keeper, tools.nsenter, searchPath),
    limits: describeLimits(keeper, mark.agent ?? 'embedded'),
    libFolder: LIB_FOLDER,
    logFolder: LOG_FOLDER,
    bootId: readBootId(state)?.id ?? kernelBootId(),
    hostPath,
    async run(line: string, options: CommandOptions): Promise<CommandResult> {
      const cwd = hostPath(options.cwd);
      const launchError = cannotStart(keeper, cwd, options.cwd);
      if (launchError !== undefined) return { exitCode: null, timedOut: false, launchError, durationMs: 0 };
      const argv = [...enterAsHandler(keeper, tools, cwd, [tools.setsid]), '/bin/sh', '-c', line] as const;
      return runCommand({ argv, cwd: '/', env: options.env, killGroups: killGroupsInside }, options);
    },
    attach: (command) => {
      const { onTerminal } = command;
      const dieWithParent = [tools.setpriv, '--pdeathsig=KILL', '--'];
      const between = [...dieWithParent, ...(onTerminal ? [] : [tools.setsid])];
      const inside = enterAsHandler(keeper, tools, hostPath(command.cwd), between);
      const argv = [tools.setpriv, '--pdeathsig=KILL', '--', ...inside, ...command.argv] as const;
      return runAttached({ argv, cwd: '/', env: command.env, killGroups: killGroupsInside }, command);
    },
    isBusy,
    cutPower: () => {
      if (isAlive(keeper)) kill(keeper.pid);
    },
    async close(): Promise<void> {
      release();
      const until = performance.now() + CLOSE_PATIENCE_MS;
      // Another tool may use the VM: then the keeper stays, and it is that tool's to wait.
      const isStaying = async () => hasServices(state, keeper) || (await isBusy());
      while (isAlive(keeper) && performance.now() < until && !(await isStaying())) await delay(2);
    },
  };
}

/**
 * Into all namespaces of the VM. Rights are given up and `between` runs while the files are still this machine's, so that the
 * VM needs no program for it; a session that `between` makes is already one of the VM's.
 */
function enterAsHandler(
  keeper: KeeperRecord,
  tools: SystemTools,
  cwd: string,
  between: readonly string[] = [],
): [string, ...string[]] {
  const withheld = keeper.network === 'host' ? WITHHELD_ON_HOST_NETWORK : WITHHELD;
  const rights = `--bounding-set=${withheld.map((name) => `-${name}`).join(',')}`;
  const target = [tools.nsenter, '--target', String(keeper.pid)];
  const files = [...target, '--mount', '--uts', '--ipc', '--net', `--wd=${cwd}`, '--'];
  return [tools.setpriv, rights, '--', ...target, '--pid', '--', ...between, ...files];
}

/** On the VM's network: a program of this machine, with this machine's files, that no process of the VM can see. */
function enterAsTool(keeper: KeeperRecord, tools: SystemTools): [string, ...string[]] {
  return [tools.nsenter, '--target', String(keeper.pid), '--net', '--'];
}

/** A new VM has no extensions yet, even when this machine is an Azure VM with extensions of its own. */
function makeAgentFolders(root: string, isNew: boolean): void {
  for (const { folder, mode } of AGENT_FOLDERS) {
    const path = resolveUnder(root, folder);
    if (isNew) rmSync(path, { recursive: true, force: true });
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    mkdirSync(path, { recursive: true, mode });
  }
}

/** nsenter stays outside as the parent of the VM's process, which leads a group of its own after setsid. */
function killGroupsInside(nsenter: number): number[] {
  const children = childrenOf(nsenter);
  const leaders = children.filter((child) => readProcess(child)?.group === child);
  for (const child of children) kill(leaders.includes(child) ? -child : child);
  // Not inside yet.
  if (children.length === 0) kill(nsenter);
  return leaders;
}

/** Handlers have sessions of their own; the keeper and the services have none that can be seen inside (0). */
function hasHandlers(proc: string): boolean {
  return listProcesses(proc).some((pid) => {
    const stat = readProcess(pid, proc);
    return stat !== undefined && stat.session !== 0 && stat.state !== 'Z';
  });
}

function cannotStart(keeper: KeeperRecord, cwd: string, shownCwd: string): string | undefined {
  if (!isAlive(keeper)) return 'The VM has ended.';
  const isFolder = statSync(cwd, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? undefined : `No such folder: ${shownCwd}`;
}

function describeLimits(keeper: KeeperRecord, agent: AgentKind): string | undefined {
  const limits: string[] = [];
  if (keeper.network === 'host') {
    limits.push("The VM shares this machine's network; a handler cannot change its interfaces or firewall.");
  }
  if (keeper.network === 'loopback') limits.push(describeLoopbackOnly(agent));
  if (keeper.readOnly.length > 0) limits.push(`Read-only in the VM: ${keeper.readOnly.join(', ')}.`);
  return limits.length === 0 ? undefined : limits.join(' ');
}
