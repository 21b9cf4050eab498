/**
 * A VM whose agent folders lie in the state folder, for an ordinary user and for machines that allow no overlay.
 * Handlers run directly on this machine, as the present user. Their processes are known by a variable in their
 * environment: a process that clears its environment is not found again.
 */
import { mkdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LIB_FOLDER, LOG_FOLDER } from '@handlerkit/sdk/contract';
import { runCommand } from './agent-command.ts';
import { runAttached } from './attached-command.ts';
import { kernelBootId, kill, processesWithEnvironment } from './linux-process.ts';
import type { OpenMachine } from './machine.ts';
import { MachineError } from './machine-error.ts';
import type { MachineState, Mark } from './machine-state.ts';
import { isBelow } from './mount-table.ts';

/** Variable that every process of a relocated VM carries; the only one that `run` adds. */
const MARK_VARIABLE = 'HANDLERKIT_VM';

/** Rounds of SIGKILL before a VM whose processes keep starting others is given up. */
const KILL_ROUNDS = 500;

export function openRelocated(state: MachineState, mark: Mark): OpenMachine {
  for (const folder of [LIB_FOLDER, LOG_FOLDER]) mkdirSync(join(state.root, folder), { recursive: true });
  const hostPath = (path: string) => {
    const normal = posix.normalize(path);
    return [LIB_FOLDER, LOG_FOLDER].some((folder) => isBelow(normal, folder)) ? state.root + normal : normal;
  };
  const reason = mark.reason === undefined ? '' : ` An overlay is not possible: ${mark.reason}`;
  return {
    kind: 'relocated',
    agent: 'embedded',
    network: 'host',
    layers: [],
    services: undefined,
    addFabricAddresses: async () => {
      throw new MachineError(
        'vm-other-network',
        "A relocated VM shares this machine's network, which is not given the addresses of Azure's host side.",
        'Run the command as root, on a new VM: --vm DIR --isolation overlay',
      );
    },
    limits:
      `Only the agent's own folders are separate (${state.root}). Handlers run on this machine as the present user, ` +
      `and what they change outside those folders stays.${reason}`,
    libFolder: state.root + LIB_FOLDER,
    logFolder: state.root + LOG_FOLDER,
    bootId: kernelBootId(),
    hostPath,
    run: (line, options) =>
      runCommand(
        {
          argv: ['/bin/sh', '-c', line],
          cwd: hostPath(options.cwd),
          env: { ...options.env, [MARK_VARIABLE]: mark.id },
          killGroups: (pid) => {
            kill(-pid);
            return [pid];
          },
        },
        options,
      ),
    attach: (command) =>
      runAttached(
        {
          argv: ['setpriv', '--pdeathsig=KILL', '--', ...command.argv],
          cwd: hostPath(command.cwd),
          env: { ...command.env, [MARK_VARIABLE]: mark.id },
          killGroups: (pid) => {
            kill(-pid);
            return [pid];
          },
        },
        command,
      ),
    isBusy: async () => processesOf(mark).length > 0,
    cutPower: () => {
      for (const pid of processesOf(mark)) kill(pid);
    },
    close: async () => {},
  };
}

/** SIGKILL to every process of the VM, until there is none. Throws `vm-processes-left`. */
export async function endRelocated(mark: Mark): Promise<void> {
  for (let round = 0; round < KILL_ROUNDS; round++) {
    const processes = processesOf(mark);
    if (processes.length === 0) return;
    for (const pid of processes) kill(pid);
    await delay(2);
  }
  throw new MachineError(
    'vm-processes-left',
    `Processes of the VM do not end: ${processesOf(mark).join(', ')}.`,
    'End them and run the command again.',
  );
}

function processesOf(mark: Mark): number[] {
  return processesWithEnvironment(`${MARK_VARIABLE}=${mark.id}`);
}
