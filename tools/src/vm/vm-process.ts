/**
 * Programs that run as long as the VM does and are no handlers: the fabric and the real agent. Each is held by an nsenter
 * on this machine, which enters the VM's namespaces and waits; so its session, led from outside, shows as 0 in the VM,
 * and the VM's end ends it. A file in the VM's folder names the holder before the program can start.
 * Source: nsenter(1), pid_namespaces(7), setsid(2).
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeWholeFile } from '@handlerkit/sdk';
import { z } from 'zod';
import { withServiceUmask } from './agent-command.ts';
import { childrenOf, isAlive, kill, listProcesses, nameProcess, readProcess } from './linux-process.ts';
import { MachineError } from './machine-error.ts';
import type { MachineState } from './machine-state.ts';

export interface ServiceCommand {
  /** One word in lower case; a VM has one service of a name. */
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * `machine`: the program sees this machine's files, but the VM's network and processes. `vm`: it is wholly in the VM, with
   * the rights that handlers have.
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

/** Callers of `start` and `stop` for one name take turns by a lock of their own. */
export function createServices(state: MachineState, enter: Entrance): VmServices {
  const holderOf = (name: string): Holder | undefined => livingHolder(recordFile(state, name));
  return {
    isRunning: (name) => holderOf(name) !== undefined,
    async start(command) {
      if (holderOf(command.name) !== undefined) return;
      await startHolder(recordFile(state, command.name), command, enter(command));
    },
    async stop(name, graceMs = 5000) {
      const holder = holderOf(name);
      if (holder !== undefined) await endHolder(holder, name, graceMs);
      rmSync(recordFile(state, name), { force: true });
    },
  };
}

/** True while a service of the VM runs: then the VM does not fall asleep. */
export function hasServices(state: MachineState): boolean {
  return readdirSync(state.folder)
    .filter((entry) => entry.startsWith(RECORD_PREFIX) && entry.endsWith(RECORD_SUFFIX))
    .some((entry) => livingHolder(join(state.folder, entry)) !== undefined);
}

const Holder = z.object({ pid: z.number().int().positive(), started: z.string() });
type Holder = z.infer<typeof Holder>;

const RECORD_PREFIX = 'service-';
const RECORD_SUFFIX = '.json';
const KILL_PATIENCE_MS = 5000;

/** Waits for the line that says the record is on disk, then becomes nsenter. A tool that dies before starts nothing. */
const HOLD = 'read -r go && exec "$@" </dev/null';

function recordFile(state: MachineState, name: string): string {
  return join(state.folder, `${RECORD_PREFIX}${name}${RECORD_SUFFIX}`);
}

function livingHolder(file: string): Holder | undefined {
  try {
    const holder = Holder.parse(JSON.parse(readFileSync(file, 'utf8')));
    return isAlive(holder) ? holder : undefined;
  } catch {
    // None was ever started, or the record is of another version of the tool.
    return undefined;
  }
}

async function startHolder(
  file: string,
  command: ServiceCommand,
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
    const holder = child.pid === undefined ? undefined : nameProcess(child.pid);
    if (holder !== undefined) writeWholeFile(file, JSON.stringify(holder));
    child.stdin?.on('error', () => {});
    child.stdin?.end('go\n');
    child.unref();
  } finally {
    closeSync(log);
  }
}

async function endHolder(holder: Holder, name: string, graceMs: number): Promise<void> {
  for (const child of childrenOf(holder.pid)) terminate(child);
  if (await isGone(holder, graceMs)) return;
  // Not the holder itself: it has to collect its child, or the VM's process 1 waits for the child for ever.
  const group = listProcesses().filter((pid) => readProcess(pid)?.group === holder.pid);
  for (const pid of group) if (pid !== holder.pid) kill(pid);
  if (group.length <= 1) kill(holder.pid);
  if (await isGone(holder, KILL_PATIENCE_MS)) return;
  throw new MachineError(
    'vm-processes-left',
    `The VM's ${name} (process ${holder.pid}) does not end. Try again later.`,
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
