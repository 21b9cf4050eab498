/**
 * The crash campaign: an enable is killed at a random moment or at a chosen system call, the agent asks again as it does after
 * its own restart, and everything that must not be then is counted. A process of its own reads the statuses all the time.
 */
import { join } from 'node:path';
import { unpackPackage } from '../unpacked-handler.ts';
import type { Campaign, CampaignContext, Figure } from './campaign.ts';
import { atMost, none } from './campaign.ts';
import type { CrashProblem } from './crash-judgement.ts';
import { CRASH_PROBLEMS } from './crash-judgement.ts';
import type { LaneReport } from './crash-lane.ts';
import { runLane } from './crash-lane.ts';
import { SUBJECTS, startCrashServer } from './crash-subject.ts';
import { seededRandom } from './seeded-random.ts';
import type { StatusReading } from './status-reader.ts';
import { startStatusReader } from './status-reader.ts';

export interface CrashSize {
  /** Kills in all, unless those at system calls are more already. */
  readonly kills: number;
  /** Of each system call, one of so many steps is a kill: 1 for every step. */
  readonly stride: number;
}

export interface CrashFigures {
  readonly seed: number;
  /** How often each victim was killed. */
  readonly kills: ReadonlyMap<string, number>;
  readonly sequences: number;
  readonly restarts: number;
  readonly statusReads: number;
  readonly readsPerSecond: number;
  /** The longest that an enable after a kill took to answer. */
  readonly slowestAnswerMs: number;
  readonly problems: readonly CrashProblem[];
}

export const crashCampaign: Campaign = {
  name: 'crash',
  run: async (size, context) => {
    const seed = Number(process.env[SEED_VARIABLE] ?? Math.floor(Math.random() * 2 ** 31));
    return describeCrashes(await crashHandlers(CRASH_SIZES[size], seed, context));
  },
};

export const CRASH_SIZES = {
  short: { kills: 40, stride: 12 },
  long: { kills: 1000, stride: 1 },
} as const;

/** Carries it out. The same seed plans the same kills, though the machine may be faster or slower. */
export async function crashHandlers(
  { kills, stride }: CrashSize,
  seed: number,
  { zips, work, progress }: CampaignContext,
): Promise<CrashFigures> {
  progress(`seed ${seed}; to repeat: ${SEED_VARIABLE}=${seed}`);
  const server = await startCrashServer();
  const reader = startStatusReader();
  const tally = createTally(kills, progress);
  const packages = SUBJECTS.map((subject) => ({ subject, unpacked: unpackPackage(zips[subject.zip]) }));
  try {
    const lanes = packages.map((one, index) =>
      runLane({
        ...one,
        stride,
        reader,
        serverUrl: server.url,
        random: seededRandom(seed + index),
        work: join(work, one.subject.zip),
        report: tally.report,
      }),
    );
    // One that could not go on is told when no other works any more.
    await Promise.allSettled(lanes);
    await Promise.all(lanes);
  } finally {
    await server.close();
    for (const { unpacked } of packages) unpacked.remove();
    tally.onRead(await reader.end());
  }
  return { seed, ...tally.figures() };
}

/** The figures as a table shows them. */
export function describeCrashes(figures: CrashFigures): readonly Figure[] {
  const counts = Object.entries(CRASH_PROBLEMS).map(([kind, what]) =>
    none(what, figures.problems.filter((problem) => problem.kind === kind).length),
  );
  const victims = [...figures.kills].map(([victim, kills]) => `${victim} ${kills}`);
  return [
    { what: 'seed', value: figures.seed },
    { what: 'kills of a running enable', value: sum(figures.kills.values()) },
    { what: `of these: ${victims.join(', ')}`, value: '' },
    { what: 'sequences', value: figures.sequences },
    { what: 'restarts of the machine', value: figures.restarts },
    { what: 'statuses that were read meanwhile', value: figures.statusReads },
    { what: 'reads of each status file', value: figures.readsPerSecond, unit: 'per s' },
    atMost('slowest answer of an enable after a kill', figures.slowestAnswerMs, SLOWEST_ANSWER_MS, 'ms'),
    ...counts,
  ];
}

const SEED_VARIABLE = 'HANDLERKIT_TEST_SEED';
/** A lock that is still held would take thirty seconds. */
const SLOWEST_ANSWER_MS = 10_000;
const PROGRESS_KILLS = 100;

interface Tally {
  readonly report: LaneReport;
  onRead(reading: StatusReading): void;
  figures(): Omit<CrashFigures, 'seed'>;
}

function createTally(wanted: number, progress: (line: string) => void): Tally {
  const kills = new Map<string, number>();
  const problems: CrashProblem[] = [];
  let [sequences, restarts, slowestAnswerMs, statusReads, readsPerSecond] = [0, 0, 0, 0, 0];
  const add = (problem: CrashProblem): void => {
    problems.push(problem);
    progress(`${CRASH_PROBLEMS[problem.kind]}: ${problem.text}`);
  };
  return {
    report: {
      wantsMore: () => sum(kills.values()) < wanted,
      onKill: (how) => {
        kills.set(how, (kills.get(how) ?? 0) + 1);
        const all = sum(kills.values());
        if (all % PROGRESS_KILLS === 0) progress(`${all} kills, ${problems.length} problems`);
      },
      onRestart: () => restarts++,
      onAnswer: (ms) => {
        slowestAnswerMs = Math.max(slowestAnswerMs, ms);
      },
      onJudged: (count, found) => {
        sequences += count;
        for (const problem of found) add(problem);
      },
    },
    onRead: (reading) => {
      statusReads = reading.reads;
      readsPerSecond = reading.perSecond;
      for (const { kind, path, text } of reading.problems) {
        add({ kind: READER_KINDS[kind], text: `${path}: ${text}` });
      }
    },
    figures: () => ({
      kills,
      sequences,
      restarts,
      statusReads,
      readsPerSecond,
      slowestAnswerMs,
      problems,
    }),
  };
}

const READER_KINDS = { unparsable: 'unparsable', gone: 'gone', 'taken back': 'takenBack' } as const;

function sum(values: Iterable<number>): number {
  return [...values].reduce((total, value) => total + value, 0);
}
