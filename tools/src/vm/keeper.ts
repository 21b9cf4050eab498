/**
 * The keeper of a running VM: process 1 of its pid namespace, which holds the namespaces open between two commands of
 * the tool, reaps orphans, and ends by itself when no tool uses the VM and no other process is left in it.
 * Every tool that uses the VM holds a shared lock on `use.lock`; the keeper waits for the exclusive one. Whoever has
 * the shared lock and finds the keeper alive can therefore rely on it.
 * Source: pid_namespaces(7), mount_namespaces(7), flock(2).
 */
import { spawn } from 'node:child_process';
import { closeSync, rmdirSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { openLockFile } from './file-lock.ts';
import { isAlive, kill, nameProcess } from './linux-process.ts';
import { MachineError } from './machine-error.ts';
import {
  type KeeperRecord,
  type MachineState,
  type Mark,
  type Network,
  readKeeper,
  writeKeeper,
} from './machine-state.ts';
import { SYSTEM_PATH, type SystemTools } from './system-tools.ts';
import {
  keeperScript,
  launchScript,
  mountScript,
  OLD_ROOT,
  READ_ONLY_REPORT,
  READY_REPORT,
} from './vm-scripts.ts';

/** A machine that cannot mount within this time has a problem that waiting does not solve. */
const START_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 10_000;

/** The keeper of this VM if it is alive. */
export function livingKeeper(state: MachineState): KeeperRecord | undefined {
  const record = readKeeper(state);
  return record !== undefined && isAlive(record) ? record : undefined;
}

/**
 * Makes the namespaces and mounts of the VM and leaves its keeper running. The caller holds both locks.
 * Throws `vm-overlay-unavailable` with the system's own words when the machine does not allow it.
 */
export async function startKeeper(
  state: MachineState,
  mark: Mark,
  network: Network,
  tools: SystemTools,
): Promise<KeeperRecord> {
  const useLock = openLockFile(state.useLock);
  try {
    const namespaces = ['--mount', '--propagation', 'private', '--uts', '--ipc'];
    const child = spawn(
      tools.unshare,
      [
        ...(network === 'loopback' ? [...namespaces, '--net'] : namespaces),
        ...[
          '/bin/sh',
          '-c',
          mountScript(state, mark.rootfs, network),
          'handlerkit-vm',
          launchScript(),
          keeperScript(state),
        ],
      ],
      {
        cwd: state.folder,
        env: { PATH: SYSTEM_PATH, LC_ALL: 'C' },
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe', useLock],
        timeout: START_TIMEOUT_MS,
        killSignal: 'SIGKILL',
      },
    );
    const failure = new Promise<string>((resolve) => child.once('error', (error) => resolve(error.message)));
    // Both end when the keeper is ready, as it lets go of them then, or when a step has failed.
    const output = Promise.all([readAll(child.stdout), readAll(child.stderr)]);
    const [reports, complaints] = await Promise.race([
      output,
      failure.then((message) => ['', message] as const),
    ]);
    const lines = reports.split('\n');
    const pid = Number(lines.find((line) => /^\d+$/.test(line)));
    const name = lines.includes(READY_REPORT) ? nameProcess(pid) : undefined;
    if (name === undefined) throw unavailable(complaints);
    const readOnly = lines
      .filter((line) => line.startsWith(READ_ONLY_REPORT))
      .map((line) => line.slice(READ_ONLY_REPORT.length));
    // Before the record: a keeper that is not recorded ends with this tool.
    await takeOldRootOut(name.pid, tools.nsenter);
    const record = { ...name, network, readOnly };
    writeKeeper(state, record);
    return record;
  } finally {
    closeSync(useLock);
  }
}

/**
 * SIGKILL to the keeper, with which the kernel ends every process of the VM. Returns when it is gone.
 * Throws `vm-processes-left` when that takes more than ten seconds, as for a process that waits for a dead disk.
 */
export async function endKeeper(keeper: KeeperRecord): Promise<void> {
  if (isAlive(keeper)) kill(keeper.pid);
  const until = performance.now() + END_TIMEOUT_MS;
  while (isAlive(keeper)) {
    if (performance.now() > until) {
      throw new MachineError(
        'vm-processes-left',
        `Process ${keeper.pid}, which holds the VM, does not end. A process of the VM may hang in the kernel.`,
        'Run the command again later; a restart of this machine ends it in any case.',
      );
    }
    await delay(2);
  }
}

/**
 * Unmounts the machine's root from the VM. With this machine's umount, so that the VM needs none: it keeps this machine's root
 * for its files, and names the mount by the keeper's root.
 */
async function takeOldRootOut(keeper: number, nsenter: string): Promise<void> {
  const oldRoot = `/proc/${keeper}/root/${OLD_ROOT}`;
  const target = [`--mount=/proc/${keeper}/ns/mnt`, '--root=/', '--wd=/'];
  const argv = [...target, '--', 'umount', '-n', '-c', '-l', oldRoot];
  const child = spawn(nsenter, argv, {
    env: { PATH: SYSTEM_PATH, LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [exitCode, complaints] = await Promise.race([Promise.all([ended, readAll(child.stderr)]), failed]);
  if (exitCode !== 0) {
    kill(keeper);
    throw unavailable(complaints);
  }
  rmdirSync(oldRoot);
}

function readAll(stream: Readable | null): Promise<string> {
  return stream === null ? Promise.resolve('') : text(stream);
}

function unavailable(complaints: string): MachineError {
  const said = complaints.trim().split('\n').slice(-2).join('; ');
  return new MachineError(
    'vm-overlay-unavailable',
    said === '' ? 'The VM ended while it was starting.' : said,
    'Use a machine that lets root make namespaces and overlay mounts, or do without an overlay: --isolation relocated',
  );
}
