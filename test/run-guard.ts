/**
 * Program: clears up after a run of the tests. `run-guard.ts FOLDER` waits until its input ends; when that says `over`, the run
 * has ended by itself, else it was killed, and what still runs of it is ended first. Then every VM in the folder is reset, and
 * the folder deleted. Ends nothing but processes whose TMPDIR is the folder, or which run in it.
 */
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { runHandlerkit } from './handlerkit-command.ts';

async function main(folder: string): Promise<void> {
  const isOver = (await text(process.stdin)) === 'over';
  if (!isOver) await endAll(() => processesWith(`TMPDIR=${folder}`));
  const vms = findVms(folder);
  if (vms.length > 0) console.error(`The tests left ${vms.length} VMs, which are reset now.`);
  for (const vm of vms) {
    const { exitCode, stderr } = await runHandlerkit(['vm', 'reset', '--vm', vm]);
    if (exitCode !== 0) console.error(`${vm} could not be reset: ${stderr}`);
  }
  await endAll(() => [...processesIn(folder, 'cwd'), ...processesIn(folder, 'exe')]);
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
}

/** SIGKILL until there are none: one may have started another just before its end. */
async function endAll(find: () => readonly number[]): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const pids = find();
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Ended by itself.
      }
    }
    await delay(20);
  }
}

const ROUNDS = 250;
/** Name of the file that makes a folder a VM. */
const VM_MARK = 'vm.json';
/** How far below the run's folder a VM may lie. */
const VM_DEPTH = 4;

function findVms(folder: string, depth = VM_DEPTH): string[] {
  const entries = readdirSync(folder, { withFileTypes: true });
  if (entries.some((entry) => entry.name === VM_MARK)) return [folder];
  if (depth === 0) return [];
  return entries
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => findVms(join(folder, entry.name), depth - 1));
}

/** Those that were started with this line in their environment. */
function processesWith(line: string): number[] {
  return listPids().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(line);
    } catch {
      return false;
    }
  });
}

function processesIn(folder: string, link: 'cwd' | 'exe'): number[] {
  return listPids().filter((pid) => {
    try {
      const path = readlinkSync(`/proc/${pid}/${link}`);
      return path === folder || path.startsWith(`${folder}/`);
    } catch {
      return false;
    }
  });
}

function listPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

const [folder] = process.argv.slice(2);
if (folder !== undefined && dirname(folder) !== folder) await main(folder);
