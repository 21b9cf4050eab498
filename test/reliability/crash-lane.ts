/**
 * One handler after another of one package, each for some sequences: enable, a kill, the next enable, a look at what is left.
 * Lanes of different packages run at the same time.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NO_OVERLAY } from '../local-vm.ts';
import type { StartedOperation, StartOptions, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler } from '../unpacked-handler.ts';
import type { CrashProblem, EnabledSequence } from './crash-judgement.ts';
import { judgeCrash, listFiles, temporaryFolder } from './crash-judgement.ts';
import type { KillStep, Victim } from './crash-kill.ts';
import {
  isQuiet,
  killAsPlanned,
  killEverything,
  killingAt,
  pause,
  planKill,
  STEP_CALLS,
  wasKilledAt,
} from './crash-kill.ts';
import type { CrashSubject } from './crash-subject.ts';
import { findProcesses, killProcess } from './process-tree.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { StatusReader } from './status-reader.ts';

export interface LaneInput {
  readonly subject: CrashSubject;
  readonly unpacked: UnpackedPackage;
  readonly random: SeededRandom;
  /** Of each system call, one of so many steps is a kill: 1 for every step. */
  readonly stride: number;
  readonly serverUrl: string;
  readonly reader: StatusReader;
  /** A folder for the lane's own files. */
  readonly work: string;
  readonly report: LaneReport;
}

/** Who was killed: at a moment, by coming to a system call, or at the enable that was to put things right. */
export type Killed = Victim | 'at a system call' | 'next enable';

/** Is told what happens. */
export interface LaneReport {
  /** True as long as kills at random moments are wanted. */
  wantsMore(): boolean;
  onKill(who: Killed): void;
  onRestart(): void;
  /** How long the enable after a kill took to answer. */
  onAnswer(ms: number): void;
  /** What was found once nothing of these sequences ran any more. */
  onJudged(sequences: number, problems: readonly CrashProblem[]): void;
}

/** First the kills at system calls, then those at random moments, until no more are wanted. */
export async function runLane(input: LaneInput): Promise<void> {
  mkdirSync(input.work, { recursive: true });
  let machine = createMachine(input);
  try {
    const spanMs = await machine.enableUndisturbed();
    const next = (): Machine => {
      if (machine.age() < SEQUENCES_OF_ONE) return machine;
      machine.remove();
      machine = createMachine(input);
      return machine;
    };
    for (const call of STEP_CALLS) {
      // One that is not reached ends the walk: the enable has fewer steps of that kind.
      for (let n = 1 + Math.floor(input.random.below(input.stride)); n <= MOST_STEPS; n += input.stride) {
        if (!(await next().crashAtStep({ call, n }))) break;
      }
    }
    while (input.report.wantsMore()) await next().crashAtMoment(spanMs);
  } finally {
    machine.remove();
  }
}

/** After so many sequences a handler is laid out anew. */
const SEQUENCES_OF_ONE = 12;
const MOST_STEPS = 200;
/** Shares of all crashes. */
const HANGING_SHARE = 0.2;
const SECOND_KILL_SHARE = 0.3;
const RESTART_SHARE = 0.15;
const NEWER_SHARE = 0.15;
/** Milliseconds in which the second kill comes after the next start. */
const SECOND_KILL_MS = 80;
/** So many statuses are read all the time: more would be read less often. */
const WATCHED = 3;
/** Milliseconds after the next enable in which all that is left has to end. */
const QUIET_MS = 20_000;

interface Machine {
  /** Sequences so far. */
  age(): number;
  /** Gives the milliseconds that it took. */
  enableUndisturbed(): Promise<number>;
  /** False when no process came to the step. */
  crashAtStep(step: KillStep): Promise<boolean>;
  crashAtMoment(spanMs: number): Promise<void>;
  remove(): void;
}

/** A machine with the handler on it, which can be restarted. */
function createMachine({ subject, unpacked, random, serverUrl, reader, work, report }: LaneInput): Machine {
  const handler = layOutHandler(unpacked);
  mkdirSync(temporaryFolder(handler));
  const packaged = new Set(listFiles(handler));
  const watched: string[] = [];
  let boots = 0;
  let boot: readonly string[] = [];
  let enabled = 0;

  const prepare = (hangs = false): EnabledSequence => {
    const sequence = enabled++;
    const notes = `${handler.libFolder.replaceAll('/', '_')}-${sequence}`;
    const one = { sequence, notes: join(work, notes) };
    handler.writeSettings(sequence, subject.settings({ serverUrl, notes: one.notes, hangs }));
    packaged.add(handler.settingsFile(sequence));
    reader.watch(handler.statusFile(sequence));
    watched.push(handler.statusFile(sequence));
    if (watched.length > WATCHED) reader.forget(watched.shift() ?? '');
    return one;
  };
  const start = ({ sequence }: EnabledSequence, wrapper: readonly string[] = []): StartedOperation => {
    const options: StartOptions = {
      sequence,
      wrapper: [...boot, ...wrapper],
      env: { TMPDIR: temporaryFolder(handler) },
    };
    return handler.start('enable', options);
  };
  /** From now on the handler's processes see another boot than those before. */
  const restart = async (): Promise<void> => {
    await killEverything(handler);
    const file = join(work, `boot-${boots++}`);
    writeFileSync(file, `00000000-0000-4000-8000-${String(boots).padStart(12, '0')}\n`);
    const script = `mount --bind ${file} /proc/sys/kernel/random/boot_id && exec "$@"`;
    boot = ['unshare', '--mount', '/bin/sh', '-c', script, 'sh'];
    report.onRestart();
  };
  const quiet = async (): Promise<CrashProblem[]> => {
    const since = performance.now();
    while (!(await isQuiet(handler)) && performance.now() - since < QUIET_MS) await pause(15);
    const left = findProcesses(handler.libFolder).filter(({ pid }) => killProcess(pid));
    return left.map(({ pid, program }) => ({ kind: 'process', text: `${program}, pid ${pid}` }));
  };
  const judge = (sequences: readonly EnabledSequence[], left: readonly CrashProblem[]): void => {
    report.onJudged(sequences.length, [...left, ...judgeCrash(subject, handler, sequences, packaged)]);
  };

  /** The agent asks again, and perhaps meets another kill, a restart of the machine or newer settings. */
  const recover = async (crashed: EnabledSequence): Promise<void> => {
    if (random.happens(SECOND_KILL_SHARE)) {
      const again = start(crashed);
      const plan = { victim: 'everything', since: 'start', ms: random.below(SECOND_KILL_MS) } as const;
      if (await killAsPlanned(handler, again, crashed.notes, plan)) report.onKill('next enable');
      await again.ended;
    }
    if (NO_OVERLAY === undefined && random.happens(RESTART_SHARE)) await restart();
    const last = random.happens(NEWER_SHARE) ? prepare() : crashed;
    const { durationMs } = await start(last).ended;
    report.onAnswer(durationMs);
    judge(last === crashed ? [crashed] : [crashed, last], await quiet());
  };

  return {
    age: () => enabled,
    enableUndisturbed: async () => {
      const one = prepare();
      const since = performance.now();
      await start(one).ended;
      while (!(await isQuiet(handler))) await pause(1);
      const ms = performance.now() - since;
      judge([one], []);
      return ms;
    },
    crashAtStep: async (step) => {
      const one = prepare();
      const log = join(work, 'strace.log');
      await start(one, killingAt(step, log)).ended;
      const isKilled = wasKilledAt(log);
      if (isKilled) report.onKill('at a system call');
      await recover(one);
      return isKilled;
    },
    crashAtMoment: async (spanMs) => {
      const hangs = random.happens(HANGING_SHARE);
      const one = prepare(hangs);
      const operation = start(one);
      const victim = await killAsPlanned(handler, operation, one.notes, planKill(random, spanMs, hangs));
      if (victim !== undefined) report.onKill(victim);
      await recover(one);
      await operation.ended;
    },
    remove: () => {
      for (const path of watched) reader.forget(path);
      handler.remove();
    },
  };
}
