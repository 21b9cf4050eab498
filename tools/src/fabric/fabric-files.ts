/**
 * The fabric's files in a VM's folder, through which it and the tool talk: `goal-state.json` in; out the last status blob, as
 * the agent wrote it, the telemetry events, one in a line, and a log with a line for each request.
 */
import { appendFileSync, existsSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError, readTextIfThere, writeWholeFile } from '@handlerkit/sdk';
import type { FabricDeps, RequestRecord } from './fabric.ts';
import {
  EMPTY_GOAL_STATE,
  type FabricGoalState,
  formatGoalStateFile,
  GOAL_STATE_FILE,
  parseGoalStateFile,
} from './goal-state-file.ts';

/** Names of the files that the fabric writes. */
export const FABRIC_FILES = {
  statusBlob: 'status-blob.json',
  telemetry: 'telemetry.jsonl',
  log: 'fabric.log',
} as const;

/** Writes the goal state, durably; a running fabric serves it from the next request on. */
export function writeGoalState(folder: string, goalState: FabricGoalState): void {
  writeWholeFile(join(folder, GOAL_STATE_FILE), formatGoalStateFile(goalState));
}

/** The goal state in the folder; `undefined` when there is none yet. Throws `ContractError` for a file of another form. */
export function readGoalState(folder: string): FabricGoalState | undefined {
  const file = join(folder, GOAL_STATE_FILE);
  const text = readTextIfThere(file);
  return text === undefined ? undefined : parseGoalStateFile(text, file);
}

/** The text of the last status blob; `undefined` before the first one. */
export function readStatusBlob(folder: string): string | undefined {
  return readTextIfThere(join(folder, FABRIC_FILES.statusBlob));
}

/** What a fabric needs, from and to the files in `folder`. */
export function createFileDeps(folder: string, now: () => Date): FabricDeps {
  const say = (line: string): void => append(join(folder, FABRIC_FILES.log), `${line}\n`);
  return {
    now,
    readGoalState: () => readGoalState(folder) ?? EMPTY_GOAL_STATE,
    readPrivateKey: ({ privateKeyFile }) => readTextIfThere(privateKeyFile),
    // A report that a power failure takes is followed by the next one.
    onStatus: (text) => writeWholeFile(join(folder, FABRIC_FILES.statusBlob), text, { durable: false }),
    onTelemetry: (events) => {
      const lines = events.map((event) => `${JSON.stringify(event)}\n`);
      append(join(folder, FABRIC_FILES.telemetry), lines.join(''));
    },
    onHealth: ({ state, description }) => {
      const reason = description === '' ? '' : `: ${oneLine(description)}`;
      say(`${now().toISOString()} health ${oneLine(state)}${reason}`);
    },
    onRequest: (record) => say(formatRequest(record)),
  };
}

/** `2026-01-02T03:04:05.678Z wireserver GET /machine 200 1234 goal state` */
export function formatRequest({
  time,
  server,
  method,
  path,
  status,
  bytes,
  subject,
  note,
}: RequestRecord): string {
  const why = note === undefined ? '' : `: ${note}`;
  return oneLine(`${time.toISOString()} ${server} ${method} ${path} ${status} ${bytes} ${subject}${why}`);
}

/** An agent that looks every second fills a disk in some months, so a log has one former part and no more. */
const LOG_LIMIT_BYTES = 16 * 1024 * 1024;

/** 0600, as telemetry can hold what a handler printed. A folder that is gone is no matter: so is the VM. */
function append(file: string, text: string): void {
  try {
    if (existsSync(file) && statSync(file).size > LOG_LIMIT_BYTES) renameSync(file, `${file}.1`);
    appendFileSync(file, text, { mode: 0o600 });
  } catch (thrown) {
    if (!isSystemError(thrown, 'ENOENT')) throw thrown;
  }
}

function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}
