/**
 * The journal of one configuration: which sequence was taken on last, by which process, and how it ended. It lies
 * beside `mrseq` at the handler's root and goes over to a new version in `update`. With it a run that died is told from
 * one that works, and a status that was lost is written again.
 */
import { join } from 'node:path';
import type { Located } from './contract/json.ts';
import {
  decodeArray,
  decodeBoolean,
  decodeNumber,
  decodeString,
  decodeText,
  element,
  isAbsent,
  member,
  optional,
  parseJson,
} from './contract/json.ts';
import type { Status } from './contract/status.ts';
import { formatStatus, parseStatus } from './contract/status.ts';
import type { MachineIdentity } from './machine-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { readTextIfThere, writeWholeFile } from './whole-file.ts';

/** Why a run was asked to end before its time. */
export type StopReason = 'superseded' | 'disabled' | 'uninstalled';

export interface Journal {
  readonly sequence: number;
  readonly state: 'running' | 'finished';
  /** Version of the extension that took the sequence on. */
  readonly version: string;
  /** The machine on which that was; `undefined` when it has no identity, or in a journal of an older SDK. */
  readonly machine?: MachineIdentity | undefined;
  readonly process: ProcessIdentity;
  /** Leaders of the process groups that the author's code started and that have not ended. */
  readonly children: readonly ProcessIdentity[];
  /** The number of the last command that was written down, counted from 1; none in a journal of an older SDK. */
  readonly noted?: number;
  readonly stop: StopReason | undefined;
  /** True after `disable` of one of several configurations: without a status of it, the configuration was removed. */
  readonly disabled?: boolean;
  /** The final status, when the run has finished or, of a daemon, works. Secrets are hidden in it. */
  readonly status: Status | undefined;
}

const SUFFIX = 'journal.json';

/** `journal.json`, or `name.journal.json` for one of several configurations. */
export function journalPath(handlerFolder: string, extensionName: string | undefined): string {
  return join(handlerFolder, extensionName === undefined ? SUFFIX : `${extensionName}.${SUFFIX}`);
}

/** The configuration whose journal a file is; `undefined` for the only one. Say {@link isJournalFile} first. */
export function journalOwner(name: string): string | undefined {
  return name === SUFFIX ? undefined : name.slice(0, -SUFFIX.length - 1);
}

/** True for the name of a journal file; `update` carries these over. */
export function isJournalFile(name: string): boolean {
  return name === SUFFIX || name.endsWith(`.${SUFFIX}`);
}

/**
 * Reads a journal; `undefined` when there is none, or when it cannot be understood (then `mrseq` alone decides).
 * Members that a newer version added are ignored.
 */
export function readJournal(path: string): Journal | undefined {
  const text = readTextIfThere(path);
  if (text === undefined) return undefined;
  try {
    return decodeJournal(parseJson(text, path));
  } catch {
    return undefined;
  }
}

/** Writes the journal; mode 0600. `durable: false` where only this process's death has to be survived. */
export function writeJournal(
  path: string,
  journal: Journal,
  options: { readonly durable?: boolean } = {},
): void {
  const { status, ...rest } = journal;
  const text = JSON.stringify(
    { format: 1, ...rest, status: status === undefined ? null : formatStatus(status) },
    null,
    2,
  );
  writeWholeFile(path, `${text}\n`, options);
}

function decodeJournal(root: Located): Journal {
  const children = member(root, 'children');
  const stop = optional(member(root, 'stop'), decodeText, undefined);
  const status = optional(member(root, 'status'), decodeString, undefined);
  const machine = optional(member(root, 'machine'), decodeString, undefined);
  const noted = optional(member(root, 'noted'), decodeNumber, 0);
  const disabled = optional(member(root, 'disabled'), decodeBoolean, false);
  return {
    sequence: decodeNumber(member(root, 'sequence')),
    state: decodeText(member(root, 'state')) === 'finished' ? 'finished' : 'running',
    version: decodeText(member(root, 'version')),
    ...(machine !== undefined && { machine }),
    process: decodeProcess(member(root, 'process')),
    children: isAbsent(children)
      ? []
      : decodeArray(children).map((_, index) => decodeProcess(element(children, index))),
    ...(noted > 0 && { noted }),
    stop: stop === 'superseded' || stop === 'disabled' || stop === 'uninstalled' ? stop : undefined,
    ...(disabled && { disabled }),
    status: status === undefined ? undefined : parseStatus(status, root.file),
  };
}

function decodeProcess(at: Located): ProcessIdentity {
  return {
    pid: decodeNumber(member(at, 'pid')),
    startTicks: decodeNumber(member(at, 'startTicks')),
    bootId: decodeString(member(at, 'bootId')),
  };
}
