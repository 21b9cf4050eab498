/**
 * Collects the telemetry events that handlers wrote, as the agent does once in a period: reads, judges and deletes all that
 * lies in the folders. Unlike the agent it says of every event and file that is lost why.
 * Source: WALinuxAgent 2.15 `ga/collect_telemetry_events.py` _ProcessExtensionEvents; agent-contract 10.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import type { CollectedEvent } from '@handlerkit/sdk/contract';
import {
  ContractError,
  EVENT_LIMITS,
  EVENTS_FOLDER,
  explainDroppedEvent,
  isEventFile,
  parseEventFile,
  pythonJsonError,
} from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import { isMissing } from './agent-files.ts';
import { systemReason } from './python-os-error.ts';

/** One event that the agent takes, or one event or file that it loses. */
export interface EventRecord {
  readonly handlerName: string;
  /** Name of the file in the events folder. */
  readonly file: string;
  /** `undefined` when it is lost. */
  readonly event?: CollectedEvent;
  /** Why an event, or a file as a whole, is lost; in words. */
  readonly dropped?: string;
}

export interface EventDeps {
  sleep(ms: number): Promise<void>;
}

/** Empties the events folder of every handler, installed or not, and gives what was in it, the newest file first. */
export async function collectEvents(machine: Machine, deps: EventDeps): Promise<readonly EventRecord[]> {
  const records: EventRecord[] = [];
  for (const handlerName of await namesIn(machine.hostPath(machine.logFolder))) {
    const folder = `${machine.logFolder}/${handlerName}/${EVENTS_FOLDER}`;
    if (handlerName.startsWith('-') || !(await isFolder(machine.hostPath(folder)))) continue;
    records.push(...(await collectHandler(machine, handlerName, folder, deps)));
  }
  return records;
}

const ATTEMPTS = 3;
const PAUSE_MS = 1000;
const BYTES_PER_MEGABYTE = 1_000_000;

async function collectHandler(
  machine: Machine,
  handlerName: string,
  folder: string,
  deps: EventDeps,
): Promise<readonly EventRecord[]> {
  const names = await namesIn(machine.hostPath(folder));
  const records: EventRecord[] = [];
  let count = 0;
  for (const file of names.filter(isEventFile).sort().reverse()) {
    if (count >= EVENT_LIMITS.eventsPerPeriod) {
      records.push({ handlerName, file, dropped: TOO_MANY });
      continue;
    }
    const path = machine.hostPath(`${folder}/${file}`);
    for (const one of await readEvents(path, file, deps)) {
      if (one.event === undefined) records.push({ handlerName, file, dropped: one.dropped });
      else if (count >= EVENT_LIMITS.eventsPerPeriod) records.push({ handlerName, file, dropped: TOO_MANY });
      else {
        count++;
        records.push({ handlerName, file, event: one.event });
      }
    }
  }
  for (const file of names.filter((name) => !isEventFile(name))) {
    records.push({ handlerName, file, dropped: WRONG_NAME });
  }
  // A link is deleted itself, so the folder is resolved and not the name.
  for (const name of names) await deleteFile(`${machine.hostPath(folder)}/${name}`);
  return records;
}

const TOO_MANY = `the agent takes ${EVENT_LIMITS.eventsPerPeriod} events of a handler in ${EVENT_LIMITS.periodSeconds} s, the newest files first, and discards the rest; write fewer`;
const WRONG_NAME =
  'the agent reads only files whose names are digits and .json, and deletes all others; write an event under a temporary name outside the folder and rename it into it';

type Taken = { readonly event: CollectedEvent } | { readonly event?: undefined; readonly dropped: string };

async function readEvents(path: string, file: string, deps: EventDeps): Promise<readonly Taken[]> {
  let problem = '';
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    if (attempt > 1) await deps.sleep(PAUSE_MS);
    try {
      const { size } = await stat(path);
      if (size > EVENT_LIMITS.fileBytes) return [{ dropped: tooLarge(size) }];
      const text = await readFile(path, 'utf8');
      const syntax = pythonJsonError(text);
      if (syntax === undefined) return order(parseEventFile(text, file));
      problem = `the file is not valid JSON: ${syntax}; write it whole under a temporary name outside the folder and rename it into it`;
    } catch (thrown) {
      problem = `the file cannot be read: ${thrown instanceof ContractError ? thrown.problem : systemReason(thrown)}`;
    }
  }
  return [{ dropped: problem }];
}

function order({ events, dropped }: ReturnType<typeof parseEventFile>): readonly Taken[] {
  return [
    ...events.map((event) => ({ event })),
    ...dropped.map((reason) => ({ dropped: explainDroppedEvent(reason) })),
  ];
}

function tooLarge(size: number): string {
  const megabytes = (size / BYTES_PER_MEGABYTE).toFixed(2);
  const limit = (EVENT_LIMITS.fileBytes / BYTES_PER_MEGABYTE).toFixed(1);
  return `the file has ${megabytes} MB, more than the ${limit} MB that the agent reads; write several files`;
}

/** A folder cannot be deleted so; the agent only logs it, and so it stays. */
async function deleteFile(path: string): Promise<void> {
  try {
    await rm(path);
  } catch (thrown) {
    if (isMissing(thrown)) return;
    if (!(thrown instanceof Error) || !('code' in thrown) || thrown.code !== 'ERR_FS_EISDIR') throw thrown;
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (thrown) {
    if (isMissing(thrown)) return [];
    throw thrown;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (thrown) {
    if (isMissing(thrown)) return false;
    throw thrown;
  }
}
