/**
 * The machine of a local VM: where the agent's files live and how its commands start. As root it is a copy-on-write
 * overlay of this machine with namespaces of its own (overlay-machine.ts); otherwise only the agent's folders are
 * moved (relocated-machine.ts). Its state is a folder on disk; a VM that nobody uses has no process and no mount.
 */

import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import type { CommandOptions, CommandResult } from './agent-command.ts';
import type { AttachedCommand, AttachedResult } from './attached-command.ts';
import type { Layer } from './changed-files.ts';
import { lockFile } from './file-lock.ts';
import { endKeeper, livingKeeper } from './keeper.ts';
import { MachineError } from './machine-error.ts';
import {
  type AgentKind,
  deleteState,
  findState,
  type MachineKind,
  type MachineState,
  type Mark,
  type Network,
  newMark,
  prepareState,
  readMark,
  writeBootId,
  writeMark,
} from './machine-state.ts';
import { openOverlay } from './overlay-machine.ts';
import { endRelocated, openRelocated } from './relocated-machine.ts';
import { findTool, findTools } from './system-tools.ts';
import { endServices, type VmServices } from './vm-process.ts';

export type { CommandOptions, CommandResult } from './agent-command.ts';
export type { AttachedCommand, AttachedResult } from './attached-command.ts';
export { MachineError, type MachineErrorCode } from './machine-error.ts';
export type { AgentKind, Network } from './machine-state.ts';
export type { ServiceCommand, VmServices } from './vm-process.ts';

export interface Machine {
  readonly kind: MachineKind;
  /** In words, what an author must know of this kind's limits; undefined when there are none. */
  readonly limits: string | undefined;
  /** The agent's folder as the handler sees it: `/var/lib/waagent`, or the relocated absolute path. */
  readonly libFolder: string;
  /** Folder of the handlers' logs as the handler sees it. */
  readonly logFolder: string;
  /** Boot id as the handler reads it. */
  readonly bootId: string;
  /**
   * The path on this machine through which the tool reads and writes the absolute `path` of the VM, valid while the
   * machine is open. Symlinks inside the VM are resolved as a handler sees them, the last name included, so an
   * absolute link does not lead out of the VM; to delete or read a link itself, resolve its folder and add the name.
   * In a relocated VM a path outside the agent's folders is itself.
   */
  hostPath(path: string): string;
  /**
   * Runs a shell command line as the agent does: `/bin/sh -c line` in a session and process group of its own, stdin
   * from /dev/null. SIGKILL goes to the group when the time is over. Waits for the shell only: a child that it left
   * in the background lives on. Does not throw for a command that fails or cannot start.
   */
  run(line: string, options: CommandOptions): Promise<CommandResult>;
  /** True while a process that was started in the VM still lives, such as a detached handler. */
  isBusy(): Promise<boolean>;
}

export interface OpenMachine extends Machine {
  /** Who works on the VM's goal state. */
  readonly agent: AgentKind;
  /** The network that the VM's handlers are in. */
  readonly network: Network;
  /** What the VM's changes lie in, outer ones first; none in a relocated VM, where they are not kept apart. */
  readonly layers: readonly Layer[];
  /** Programs beside the handlers that live as long as the VM does; `undefined` in a relocated VM, which can hold none. */
  readonly services: VmServices | undefined;
  /**
   * Gives the VM's loopback the addresses of Azure's host side and a route to the wire server; it may have them already.
   * Throws `vm-other-network` unless the VM is an overlay with network `loopback`, `vm-tool-missing` without iproute2,
   * `vm-network-failed`.
   */
  addFabricAddresses(): Promise<void>;
  /**
   * Runs a program in the VM with the tool's own streams, with the rights of a handler. It does not make the VM busy. A tool
   * that is killed takes the program with it, but not what that has started in the background.
   */
  attach(command: AttachedCommand): Promise<AttachedResult>;
  /** SIGKILL at once to everything that runs in the VM. Does not wait until it has ended. */
  cutPower(): void;
  /** Lets go of the VM. It falls asleep (no process, no mount) once nobody uses it and its last process has ended. */
  close(): Promise<void>;
}

export interface MachineOptions {
  readonly stateFolder: string;
  /** `auto` takes the overlay when the machine allows it, and the kind that the VM has when it exists. */
  readonly isolation: 'auto' | MachineKind;
  /** Overlay only. Default: what the VM had the last time, else `loopback`. */
  readonly network?: Network | undefined;
  /** Overlay only: absolute path of a root file system to put the VM on. Default: what the VM was made with, else this machine's. */
  readonly rootfs?: string | undefined;
  /** Default: what the VM was made with, else `embedded`. Only noted here; who opens the VM starts the agent. */
  readonly agent?: AgentKind | undefined;
}

export interface MachineDeps {
  /** User id of the tool. */
  readonly uid: number;
  /** The tool's PATH, in which the programs of util-linux are looked up (the usual system folders are added). */
  readonly searchPath: string;
}

/**
 * Opens the VM in `stateFolder`, made when there is none. Several tools may have it open at the same time.
 * Throws `MachineError`: `vm-folder-not-ours`, `vm-folder-damaged`, `vm-other-isolation` (it was made with another kind),
 * `vm-other-network` (it runs with another network), `vm-other-rootfs` and `vm-other-agent` (it was made with another one),
 * `vm-overlay-unavailable` (asked for, not possible), `vm-tool-missing`, `vm-locked`.
 */
export async function openMachine(options: MachineOptions, deps: MachineDeps): Promise<OpenMachine> {
  const state = prepareState(options.stateFolder);
  const lock = await lockFile(state.creationLock, 'exclusive', findTool('flock', deps.searchPath));
  try {
    return await openLocked(state, options, deps);
  } finally {
    lock.release();
  }
}

/**
 * Ends every process of the VM and deletes its folder. A missing VM is fine. Throws `vm-folder-not-ours` for a folder
 * that this tool did not make, `vm-folder-damaged` for one that may be a VM, and then deletes nothing.
 */
export async function destroyMachine(stateFolder: string, deps: MachineDeps): Promise<void> {
  await whileEnded(stateFolder, deps, deleteState);
}

/**
 * Ends every process of the VM, empties its `/run` and gives it another boot id; files stay. A relocated VM shares the
 * machine's kernel files, so there the boot id stays too. The VM is asleep afterwards. A missing VM is fine.
 */
export async function rebootMachine(stateFolder: string, deps: MachineDeps): Promise<void> {
  await whileEnded(stateFolder, deps, (state) => {
    rmSync(state.runFolder, { recursive: true, force: true });
    writeBootId(state, randomUUID());
  });
}

async function openLocked(
  state: MachineState,
  options: MachineOptions,
  deps: MachineDeps,
): Promise<OpenMachine> {
  const former = readMark(state);
  const mark = adopt(state, former ?? writeMark(state, newMark()), options);
  const wanted = options.isolation === 'auto' ? (mark.kind ?? impliedKind(mark)) : options.isolation;
  if (mark.kind !== undefined && mark.kind !== wanted) {
    throw new MachineError(
      'vm-other-isolation',
      `The VM in ${state.folder} was made with isolation "${mark.kind}", not "${wanted}".`,
      resetOrOther(state),
    );
  }
  mkdirSync(state.root, { recursive: true });
  if (wanted === 'relocated') {
    refuseOverlayOnly(state, mark);
    return openRelocated(state, mark.kind === undefined ? writeMark(state, { ...mark, kind: wanted }) : mark);
  }
  try {
    const machine = await openOverlay(state, mark, options.network, findTools(deps), deps.searchPath);
    if (mark.kind === undefined || mark.network !== former?.network)
      writeMark(state, { ...mark, kind: 'overlay' });
    return machine;
  } catch (error) {
    const unavailable =
      error instanceof MachineError && /^vm-(overlay-unavailable|tool-missing)$/.test(error.code);
    if (unavailable && wanted === undefined) {
      return openRelocated(state, writeMark(state, { ...mark, kind: 'relocated', reason: error.message }));
    }
    // A VM that could not be made leaves nothing behind.
    if (mark.kind === undefined) deleteState(state);
    throw error;
  }
}

/** The mark with what the options add to it. What a VM was made with does not change. */
function adopt(state: MachineState, mark: Mark, { network, rootfs, agent }: MachineOptions): Mark {
  const isNew = mark.kind === undefined;
  if (!isNew && rootfs !== undefined && rootfs !== mark.rootfs) {
    throw new MachineError(
      'vm-other-rootfs',
      `The VM in ${state.folder} was made with the root file system of ${mark.rootfs ?? 'this machine'}, not ${rootfs}.`,
      resetOrOther(state),
    );
  }
  const ownAgent = mark.agent ?? 'embedded';
  if (!isNew && agent !== undefined && agent !== ownAgent) {
    throw new MachineError(
      'vm-other-agent',
      `The VM in ${state.folder} was made with the agent "${ownAgent}", not "${agent}".`,
      resetOrOther(state),
    );
  }
  return {
    ...mark,
    ...(network === undefined ? {} : { network }),
    ...(isNew && rootfs !== undefined ? { rootfs } : {}),
    ...(isNew && agent !== undefined ? { agent } : {}),
  };
}

/** What only an overlay can do makes the VM one. */
function impliedKind(mark: Mark): MachineKind | undefined {
  const needsOverlay = mark.network === 'loopback' || mark.rootfs !== undefined || mark.agent === 'waagent';
  return needsOverlay ? 'overlay' : undefined;
}

function refuseOverlayOnly(state: MachineState, mark: Mark): void {
  if (impliedKind(mark) === undefined) return;
  throw new MachineError(
    'vm-other-isolation',
    `The VM in ${state.folder} shares this machine's network and root file system, as its isolation is "relocated".`,
    'For --network loopback, --rootfs and --agent waagent run the command as root, on a new VM: --vm DIR',
  );
}

function resetOrOther({ folder }: MachineState): string {
  return `Reset it: handlerkit vm reset --vm ${folder}. Or name another folder: --vm DIR`;
}

async function whileEnded(
  stateFolder: string,
  deps: MachineDeps,
  action: (state: MachineState) => void,
): Promise<void> {
  const state = findState(stateFolder);
  if (state === undefined) return;
  const lock = await lockFile(state.creationLock, 'exclusive', findTool('flock', deps.searchPath));
  try {
    const mark = readMark(state);
    if (mark !== undefined && mark.kind !== 'overlay') await endRelocated(mark);
    const keeper = livingKeeper(state);
    if (keeper !== undefined) await endKeeper(keeper);
    await endServices(state);
    action(state);
  } finally {
    lock.release();
  }
}
