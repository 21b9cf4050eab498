/** Kills of a running enable: of one of its processes at some moment, or of whichever comes to a chosen system call. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import type { LaidOutHandler, StartedOperation } from '../unpacked-handler.ts';
import { readNotes } from './crash-subject.ts';
import { findProcesses, killProcess } from './process-tree.ts';
import type { SeededRandom } from './seeded-random.ts';

/** `group`: what the agent kills at its time limit. `worker`: the handler's program. `grandchild`: what the script has started. */
export type Victim = 'group' | 'launcher' | 'worker' | 'script' | 'grandchild' | 'everything';

export interface PlannedKill {
  readonly victim: Victim;
  /** The moment from which the time counts: the start of the operation, or what the script notes. */
  readonly since: 'start' | 'begin' | 'end';
  readonly ms: number;
}

/** A system call at whose n-th use by a process that process is killed. */
export interface KillStep {
  readonly call: (typeof STEP_CALLS)[number];
  readonly n: number;
}

/** The calls with which a handler changes something that outlives it. */
export const STEP_CALLS = [
  'write',
  'rename',
  'unlink',
  'fsync',
  'symlink',
  'mkdir',
  'clone',
  'clone3',
  'vfork',
  'execve',
  'linkat',
  'pwrite64',
] as const;

const VICTIMS = [
  'everything',
  'worker',
  'worker',
  'worker',
  'group',
  'launcher',
  'script',
  'grandchild',
] as const;
/** Those after whose death a script that never ends is somebody's to end. */
const HOLDERS = ['worker', 'worker', 'everything', 'script', 'grandchild'] as const;

/** To look through all processes costs as much as many looks at a note. */
const QUIET_LOOKS = 20;

/** @param spanMs how long an enable takes that nobody disturbs. */
export function planKill(random: SeededRandom, spanMs: number, hangs: boolean): PlannedKill {
  if (hangs) return { victim: random.pick(HOLDERS), since: 'begin', ms: random.below(10) };
  const victim = random.pick(VICTIMS);
  const place = random.below(1);
  if (place < 0.15) return { victim, since: 'start', ms: random.below(25) };
  if (place < 0.3) return { victim, since: 'begin', ms: random.below(10) };
  if (place < 0.5) return { victim, since: 'end', ms: random.below(25) };
  return { victim, since: 'start', ms: random.below(1.2 * spanMs) };
}

/**
 * Waits for the moment, and kills; gives who was killed, `undefined` when nothing ran any more. One who is not there (yet, or any
 * more) is replaced by all who are.
 */
export async function killAsPlanned(
  handler: LaidOutHandler,
  operation: StartedOperation,
  notes: string,
  { victim, since, ms }: PlannedKill,
): Promise<Victim | undefined> {
  const isDue = (): boolean => {
    if (since === 'start') return true;
    const { begun, ended } = readNotes(notes);
    return since === 'begin' ? begun > 0 : ended > 0;
  };
  for (let look = 1; !isDue(); look++) {
    if (look % QUIET_LOOKS === 0 && (await isQuiet(handler))) return undefined;
    await pause(1);
  }
  await pause(ms);
  if (killVictim(handler, operation, victim)) return victim;
  return (await killEverything(handler)) ? 'everything' : undefined;
}

/** Kills all processes of a handler, also those that begin meanwhile, as a restart of the machine does. False: there were none. */
export async function killEverything(handler: LaidOutHandler): Promise<boolean> {
  let hasKilled = false;
  do {
    for (const { pid } of findProcesses(handler.libFolder)) hasKilled = killProcess(pid) || hasKilled;
  } while (!(await isQuiet(handler)));
  return hasKilled;
}

/** True when no process of the handler runs. One look is not enough: one may end, having started another, while the list is read. */
export async function isQuiet(handler: LaidOutHandler): Promise<boolean> {
  for (let look = 0; look < 3; look++) {
    if (findProcesses(handler.libFolder).length > 0) return false;
    await pause(1);
  }
  return true;
}

/** The words before a command that kill its processes at a step. `log` then tells whether they came to it. */
export function killingAt({ call, n }: KillStep, log: string): readonly string[] {
  const inject = `inject=${call}:signal=KILL:when=${n}`;
  return ['strace', '-f', '-o', log, '-e', `trace=${call}`, '-e', inject];
}

/** True when a process was killed at the step whose log this is; removes the log. */
export function wasKilledAt(log: string): boolean {
  const isKilled = existsSync(log) && readFileSync(log, 'utf8').includes('+++ killed by SIGKILL +++');
  rmSync(log, { force: true });
  return isKilled;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function killVictim(handler: LaidOutHandler, operation: StartedOperation, victim: Victim): boolean {
  if (victim === 'everything') return false;
  if (victim === 'launcher') return killProcess(operation.pid);
  if (victim === 'group') {
    try {
      operation.signalGroup('SIGKILL');
      return true;
    } catch {
      return false;
    }
  }
  const found = findProcesses(handler.libFolder);
  const workers = found.filter(({ program }) => program.startsWith(`${handler.folder()}/`));
  const childrenOf = (parents: typeof found): typeof found =>
    found.filter(({ parent }) => parents.some(({ pid }) => pid === parent));
  const scripts = childrenOf(workers).filter((one) => !workers.includes(one));
  const victims = { worker: workers, script: scripts, grandchild: childrenOf(scripts) }[victim];
  return victims.filter(({ pid }) => killProcess(pid)).length > 0;
}
