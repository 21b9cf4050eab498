/** What a handler has left after a kill and the enable that followed, and what of it must not be. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import {
  CONFIG_FOLDER,
  formatSequenceFile,
  formatSettingsFile,
  formatStatusFile,
  isFinal,
  STATUS_FOLDER,
} from '@handlerkit/sdk/contract';
import type { LaidOutHandler } from '../unpacked-handler.ts';
import type { CrashSubject } from './crash-subject.ts';
import { readNotes } from './crash-subject.ts';

/** What is counted, each with its figure's name. */
export const CRASH_PROBLEMS = {
  unparsable: 'statuses that the reader could not parse',
  gone: 'statuses that were there and were gone again',
  takenBack: 'final statuses that were taken back',
  unfinished: 'sequences without a final status after the next enable',
  untrue: 'successes of a script that had not ended',
  twice: 'scripts that were run twice',
  overlap: 'scripts that were begun while they still ran',
  broken: 'files that were lost, or half written under their final name',
  lock: 'locks that were left',
  temporary: 'temporary files that were left',
  process: 'processes that were left',
} as const;

export interface CrashProblem {
  readonly kind: keyof typeof CRASH_PROBLEMS;
  readonly text: string;
}

/** One sequence that was enabled, the newest last. */
export interface EnabledSequence {
  readonly sequence: number;
  readonly notes: string;
}

/** Judges when nothing runs any more. `packaged`: {@link listFiles} before the first enable. */
export function judgeCrash(
  subject: CrashSubject,
  handler: LaidOutHandler,
  enabled: readonly EnabledSequence[],
  packaged: ReadonlySet<string>,
): CrashProblem[] {
  const { sequence: newest = 0 } = enabled.at(-1) ?? {};
  return [
    ...enabled.flatMap((one) => judgeSequence(subject, handler, one, one.sequence === newest)),
    ...judgeState(handler, newest),
    ...judgeFiles(subject, handler, newest, packaged),
  ];
}

/** All files that belong to a handler: its folder, its data, its logs, and those for temporary files. */
export function listFiles(handler: LaidOutHandler): string[] {
  return [handler.libFolder, dirname(handler.logFolder), temporaryFolder(handler)].flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => !entry.isDirectory())
          .map((entry) => join(entry.parentPath, entry.name))
      : [],
  );
}

/** Where the handler's processes keep temporary files. */
export function temporaryFolder({ libFolder }: LaidOutHandler): string {
  return join(dirname(libFolder), 'tmp');
}

function judgeSequence(
  subject: CrashSubject,
  handler: LaidOutHandler,
  { sequence, notes }: EnabledSequence,
  isNewest: boolean,
): CrashProblem[] {
  const problems: CrashProblem[] = [];
  const say = (kind: CrashProblem['kind'], text: string): void => {
    problems.push({ kind, text: `sequence ${sequence}: ${text}` });
  };
  const { begun, ended, overlaps } = readNotes(notes);
  const { reported, explanation = '' } = handler.judge(sequence);
  const { status, message } = reported;
  const isThere = existsSync(handler.statusFile(sequence));
  // The agent asks no more for one that was killed before its first line when newer settings are there, nor reports it.
  const isUnknown = !isThere && !isNewest && begun === 0;
  if (!isUnknown && (!isThere || status === null || !isFinal(status))) {
    say('unfinished', `${isThere ? status : 'no status'} ${message} ${explanation}`);
  }
  if (begun > 1 && !subject.isRepeated) say('twice', `${begun} times, ${message}`);
  if (overlaps > 0) say('overlap', `${overlaps} times, ${message}`);
  if (status === 'success' && ended === 0) say('untrue', message ?? '');
  for (const { path, contents } of subject.downloads(handler, sequence)) {
    const name = relative(handler.libFolder, path);
    if (!existsSync(path)) {
      // A folder of an older sequence goes with the next run.
      if (status === 'success' && existsSync(dirname(path))) say('broken', `${name} is lost`);
    } else if (contents.every((content) => !content.equals(readFileSync(path)))) {
      say('broken', `${name} is not whole`);
    }
  }
  return problems;
}

/** The handler's own notes of what it has taken on. */
function judgeState(handler: LaidOutHandler, newest: number): CrashProblem[] {
  const broken = (text: string): CrashProblem => ({
    kind: 'broken',
    text: `after sequence ${newest}: ${text}`,
  });
  const read = (name: string): string => {
    const path = join(handler.folder(), name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const stored = read(formatSequenceFile());
  const journal = read(JOURNAL_FILE);
  const problems: CrashProblem[] = [];
  if (stored.trim() !== String(newest)) problems.push(broken(`the number taken on is '${stored}'`));
  try {
    const { sequence, state } = JSON.parse(journal) as { sequence: unknown; state: unknown };
    if (sequence !== newest || state !== 'finished') problems.push(broken(`the journal says ${journal}`));
  } catch {
    problems.push(broken(`the journal is no JSON: '${journal}'`));
  }
  return problems;
}

const JOURNAL_FILE = 'journal.json';

/** Every file is one that is known to stay. */
function judgeFiles(
  subject: CrashSubject,
  handler: LaidOutHandler,
  newest: number,
  packaged: ReadonlySet<string>,
): CrashProblem[] {
  const sequences = Array.from({ length: newest + 1 }, (_, sequence) => sequence);
  const folder = handler.folder();
  const known = new Set([
    ...packaged,
    join(folder, formatSequenceFile()),
    join(folder, JOURNAL_FILE),
    join(folder, 'bin', '.architecture'),
    ...sequences.flatMap((sequence) => [
      join(folder, STATUS_FOLDER, formatStatusFile(sequence)),
      join(folder, CONFIG_FOLDER, formatSettingsFile(sequence)),
      ...subject.downloads(handler, sequence).map(({ path }) => path),
    ]),
  ]);
  const isOutput = (path: string): boolean => /\/download\/\d+\/std(?:out|err)$/.test(path);
  const isData = (path: string): boolean =>
    dirname(dirname(path)) === handler.libFolder && basename(path) === '.owner';
  const isLog = (path: string): boolean =>
    (dirname(path) === handler.logFolder && /\.(?:log|jsonl)$/.test(path)) ||
    (dirname(path) === handler.eventsFolder && /^\d+\.json$/.test(basename(path)));
  return listFiles(handler)
    .filter((path) => !known.has(path) && !isOutput(path) && !isData(path) && !isLog(path))
    .map((path) => ({
      kind: basename(path).startsWith('.lock') ? 'lock' : 'temporary',
      text: relative(dirname(handler.libFolder), path),
    }));
}
