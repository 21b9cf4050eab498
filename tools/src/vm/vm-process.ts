/**
 * Programs that run as long as the VM does and are no handlers: the fabric and the real agent. A file in the VM's folder
 * names the holder, a process of this machine, before the program can start. For a program in the VM that is an nsenter
 * which enters the VM's namespaces and waits; so its session, led from outside, shows as 0 in the VM, and the VM's end ends
 * it. A program with this machine's files is the holder itself and has nothing of the VM but its network: among the VM's
 * processes it would lend the VM's root its own view of the files. It has to end by itself when the VM does.
 * Source: nsenter(1), pid_namespaces(7), setsid(2), proc(5) `/proc/pid/root`.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readTextIfThere, writeWholeFile } from '@handlerkit/sdk';
import * as z from 'zod';
import { withServiceUmask } from './agent-command.ts';
import {
  childrenOf,
  isAlive,
  kill,
  listProcesses,
  nameProcess,
  type ProcessName,
  readProcess,
} from './linux-process.ts';
import { MachineError } from './machine-error.ts';
import { findState, type MachineState, readKeeper } from './machine-state.ts';

export interface ServiceCommand {
  /** One word in lower case; a VM has one service of a name. */
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * `machine`: a program of this machine on the VM's network, which does not keep the VM awake; see {@link awaitVmEnd}.
   * `vm`: it is wholly in the VM, with the rights that handlers have, and the VM does not fall asleep while it runs.
   */
  readonly files: 'machine' | 'vm';
  /** Folder, as the program sees it. */
  readonly cwd: string;
  /** Path on this machine that both output streams are appended to. */
  readonly logFile: string;
}

/** The services of one running VM. */
export interface VmServices {
  /** Starts a program that outlives this tool. Does nothing while a service of that name runs. */
  start(command: ServiceCommand): Promise<void>;
  isRunning(name: string): boolean;
  /**
   * SIGTERM to the service, and SIGKILL to its process group after `graceMs`; returns when it has ended. One that does not
   * run is fine. Throws `vm-processes-left`.
   */
  stop(name: string, graceMs?: number): Promise<void>;
}

/** How a service enters the VM: what stands before its argv. */
export type Entrance = (command: ServiceCommand) => readonly [string, ...string[]];

/** The services of the VM that `keeper` holds. Callers of `start` and `stop` for one name take turns by a lock of their own. */
export function createServices(state: MachineState, keeper: ProcessName, enter: Entrance): VmServices {
  const holderOf = (name: string): Holder | undefined => livingHolder(recordFile(state, name), keeper);
  return {
    isRunning: (name) => holderOf(name) !== undefined,
    async start(command) {
      if (holderOf(command.name) !== undefined) return;
      // One of an earlier run of the VM, which has not seen yet that it is over.
      await endLeftover(recordFile(state, command.name));
      await startHolder(recordFile(state, command.name), command, keeper, enter(command));
    },
    async stop(name, graceMs = 5000) {
      const holder = holderOf(name);
      if (holder !== undefined) await endHolder(holder, name, graceMs);
      rmSync(recordFile(state, name), { force: true });
    },
  };
}

/** True while a service runs in the VM: then the VM does not fall asleep. */
export function hasServices(state: MachineState, keeper: ProcessName): boolean {
  return listRecords(state).some((file) => livingHolder(file, keeper)?.files === 'vm');
}

/** SIGKILL to all services of a VM whose keeper is gone. Throws `vm-processes-left`. */
export async function endServices(state: MachineState): Promise<void> {
  for (const file of listRecords(state)) await endLeftover(file);
}

/**
 * For a service with this machine's files: comes back when the VM whose network this process is in has ended, or the signal
 * is aborted. At once when that VM is not the one that runs in `stateFolder` now.
 */
export async function awaitVmEnd(stateFolder: string, signal: AbortSignal): Promise<void> {
  const state = findState(stateFolder);
  const keeper = state === undefined ? undefined : readKeeper(state);
  if (keeper === undefined || networkOf('self') !== networkOf(keeper.pid)) return;
  while (isAlive(keeper) && !signal.aborted) await delay(END_POLL_MS);
}

const Name = z.object({ pid: z.number().int().positive(), started: z.string() });
const Holder = z.object({ ...Name.shape, files: z.enum(['machine', 'vm']), keeper: Name });
type Holder = z.infer<typeof Holder>;

const RECORD_PREFIX = 'service-';
const RECORD_SUFFIX = '.json';
const KILL_PATIENCE_MS = 5000;
const END_POLL_MS = 100;

/** Waits for the line that says the record is on disk, then becomes nsenter. A tool that dies before starts nothing. */
const HOLD = 'read -r go && exec "$@" </dev/null';

function recordFile(state: MachineState, name: string): string {
  return join(state.folder, `${RECORD_PREFIX}${name}${RECORD_SUFFIX}`);
}

function listRecords(state: MachineState): readonly string[] {
  return readdirSync(state.folder)
    .filter((entry) => entry.startsWith(RECORD_PREFIX) && entry.endsWith(RECORD_SUFFIX))
    .map((entry) => join(state.folder, entry));
}

/** The holder that lives, and is one of this run of the VM. */
function livingHolder(file: string, keeper: ProcessName | undefined): Holder | undefined {
  const text = readTextIfThere(file);
  if (text === undefined) return undefined;
  try {
    const holder = Holder.parse(JSON.parse(text));
    const isOfKeeper = keeper === undefined || sameProcess(holder.keeper, keeper);
    return isOfKeeper && isAlive(holder) ? holder : undefined;
  } catch {
    // The record is of another version of the tool.
    return undefined;
  }
}

function sameProcess(a: ProcessName, b: ProcessName): boolean {
  return a.pid === b.pid && a.started === b.started;
}

async function endLeftover(file: string): Promise<void> {
  const holder = livingHolder(file, undefined);
  if (holder === undefined) return;
  kill(-holder.pid);
  if (!(await isGone(holder, KILL_PATIENCE_MS))) throw processLeft(holder, basename(file));
}

function networkOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

async function startHolder(
  file: string,
  command: ServiceCommand,
  keeper: ProcessName,
  entrance: readonly string[],
): Promise<void> {
  const log = openSync(command.logFile, 'a', 0o600);
  try {
    const child = withServiceUmask(() =>
      spawn('/bin/sh', ['-c', HOLD, 'handlerkit-service', ...entrance, ...command.argv], {
        cwd: command.files === 'machine' ? command.cwd : '/',
        env: command.env,
        detached: true,
        stdio: ['pipe', log, log],
      }),
    );
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    const name = child.pid === undefined ? undefined : nameProcess(child.pid);
    if (name !== undefined) {
      const { pid, started } = keeper;
      const holder: Holder = { ...name, files: command.files, keeper: { pid, started } };
      writeWholeFile(file, JSON.stringify(holder));
    }
    child.stdin?.on('error', () => {});
    child.stdin?.end('go\n');
    child.unref();
  } finally {
    closeSync(log);
  }
}

async function endHolder(holder: Holder, name: string, graceMs: number): Promise<void> {
  const isProgram = holder.files === 'machine';
  for (const pid of isProgram ? [holder.pid] : childrenOf(holder.pid)) terminate(pid);
  if (await isGone(holder, graceMs)) return;
  // Not an nsenter itself: it has to collect its child, or the VM's process 1 waits for the child for ever.
  const group = listProcesses().filter((pid) => readProcess(pid)?.group === holder.pid);
  for (const pid of group) if (isProgram || pid !== holder.pid) kill(pid);
  if (group.length <= 1) kill(holder.pid);
  if (!(await isGone(holder, KILL_PATIENCE_MS))) throw processLeft(holder, name);
}

function processLeft({ pid }: Holder, name: string): MachineError {
  return new MachineError(
    'vm-processes-left',
    `The VM's ${name} (process ${pid}) does not end.`,
    `Run the command again later. If the process is still there, end it: kill -9 ${pid}`,
  );
}

async function isGone(holder: Holder, patienceMs: number): Promise<boolean> {
  const until = performance.now() + patienceMs;
  while (isAlive(holder)) {
    if (performance.now() > until) return false;
    await delay(2);
  }
  return true;
}

function terminate(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has just ended.
  }
}
