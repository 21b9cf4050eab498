/**
 * What the SDK keeps of one configuration on disk: `mrseq`, the journal and the status files. All of it is looked up in
 * the version folder that owns the extension now, so that a run which outlives its version writes to the right place.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import type { Heartbeat } from './contract/heartbeat.ts';
import { formatHeartbeat } from './contract/heartbeat.ts';
import {
  CONFIG_FOLDER,
  formatSequenceFile,
  formatSettingsFile,
  formatStatusFile,
  HEARTBEAT_FILE,
  parseStatusFile,
  STATUS_FOLDER,
} from './contract/package-layout.ts';
import { formatSequence, parseSequence } from './contract/sequence.ts';
import type { Status } from './contract/status.ts';
import { formatStatus, isFinal, parseStatus } from './contract/status.ts';
import { isSystemError } from './errors.ts';
import type { HandlerFolder } from './handler-files.ts';
import { listFolder } from './handler-files.ts';
import { HANDOVER_FILE } from './handover.ts';
import type { Host } from './host.ts';
import type { Journal } from './journal.ts';
import { isJournalFile, journalPath, readJournal, writeJournal } from './journal.ts';
import { START_CLAIM } from './launcher-words.ts';
import { isOtherMachine, readMachineIdentity } from './machine-identity.ts';
import { identifyProcess } from './process-identity.ts';
import { readTextIfThere, removeUnfinishedFiles, writeWholeFile } from './whole-file.ts';

export interface RunStore {
  /** The number of the last sequence that was taken on; `undefined` for none, or when the file holds no number. */
  readSequence(): number | undefined;
  writeSequence(sequence: number): void;
  /** `undefined`, too, for the journal of another machine: its processes are none of this one's. */
  readJournal(): Journal | undefined;
  writeJournal(journal: Journal, options?: { readonly durable?: boolean }): void;
  /** The status of a sequence; `undefined` when there is none, or none that can be read. */
  readStatus(sequence: number): Status | undefined;
  /**
   * Makes the status folder when it is missing and the version's folder is there. On a full disk a final status takes the
   * room of an unfinished one, which goes first: for a moment there is none, rather than `transitioning` for ever.
   */
  writeStatus(sequence: number, status: Status, options?: { readonly durable?: boolean }): void;
  removeJournal(): void;
  /** Replaces the handler's heartbeat. */
  writeHeartbeat(heartbeat: Heartbeat): void;
  /** True when a status of this configuration is there, other than an unfinished one of `sequence`. */
  hasResult(sequence: number | undefined): boolean;
  /** True when the settings file of a sequence is there. */
  hasSettings(sequence: number): boolean;
  /** True when the journal was written on another machine, and came here with a disk or an image. */
  isOfOtherMachine(): boolean;
  /** True when there is a journal, whatever it holds. */
  hasJournal(): boolean;
  /** Removes `mrseq` and the journal: nothing of this configuration was ever taken on. */
  forget(): void;
  /** Removes the statuses of this configuration, but for an unfinished one of `sequence`. */
  forgetResults(sequence: number): void;
  /** The sequences after `after` and before `before` that have an unfinished status. */
  unfinishedBetween(after: number | undefined, before: number): number[];
  /** Removes what a process that was killed left half-written. */
  removeLeftovers(): void;
}

/** True for `mrseq` of any configuration. */
export function isSequenceFile(name: string): boolean {
  const plain = formatSequenceFile();
  return name === plain || name.endsWith(`.${plain}`);
}

/** The configuration whose `mrseq` a file is; `undefined` for the only one. Say {@link isSequenceFile} first. */
export function sequenceOwner(name: string): string | undefined {
  const plain = formatSequenceFile();
  return name === plain ? undefined : name.slice(0, -plain.length - 1);
}

/** @param home gives the folder that owns the extension at the moment of the call. */
export function openRunStore(
  host: Host,
  own: HandlerFolder,
  environment: HandlerEnvironment,
  home: () => HandlerFolder,
  extensionName: string | undefined,
): RunStore {
  const homePath = (name: string): string => host.path(join(home().folder, name));
  const journal = (): string => host.path(journalPath(home().folder, extensionName));
  /** A place that the agent names to this version, or the one of that name in the version that owns the extension. */
  const placed = (ofAgent: string | undefined, name: string): string => {
    const place = home();
    const isOwn = place.folder === own.folder;
    return host.path(isOwn && ofAgent !== undefined ? ofAgent : join(place.folder, name));
  };
  const statusFolder = (): string => placed(environment.statusFolder, STATUS_FOLDER);
  const heartbeatPath = (): string => placed(environment.heartbeatFile, HEARTBEAT_FILE);
  const statusPath = (sequence: number): string =>
    join(statusFolder(), formatStatusFile(sequence, extensionName));
  const here = readMachineIdentity(host);
  const isForeign = (value: Journal | undefined): boolean => isOtherMachine(value?.machine, here);
  const readStatus = (sequence: number): Status | undefined => readStatusFile(statusPath(sequence));
  /** Names of the status files of this configuration, without an unfinished one of `unfinished`. */
  const results = (unfinished: number | undefined): string[] =>
    listFolder(statusFolder()).filter((name) => {
      const parsed = parseStatusFile(name);
      if (parsed === undefined || parsed.extensionName !== extensionName) return false;
      const status = parsed.sequence === unfinished ? readStatus(parsed.sequence) : undefined;
      return status === undefined || isFinal(status.status);
    });
  return {
    readSequence: () => {
      const path = homePath(formatSequenceFile(extensionName));
      try {
        return parseSequence(readTextIfThere(path) ?? '', path);
      } catch {
        // Somebody else's text: the journal and the agent's number decide, rather than that nothing ever runs again.
        return undefined;
      }
    },
    writeSequence: (sequence) =>
      writeWholeFile(homePath(formatSequenceFile(extensionName)), formatSequence(sequence)),
    readJournal: () => {
      const value = readJournal(journal());
      return isForeign(value) ? undefined : value;
    },
    isOfOtherMachine: () => isForeign(readJournal(journal())),
    hasJournal: () => existsSync(journal()),
    writeJournal: (value, options) => writeJournal(journal(), value, options),
    readStatus,
    writeStatus: (sequence, status, options) => {
      const [path, text] = [statusPath(sequence), formatStatus(status)];
      try {
        writeWholeFile(path, text, options);
      } catch (thrown) {
        if (isSystemError(thrown, 'ENOENT')) mkdirSync(dirname(path), { mode: 0o700 });
        else if (isFull(thrown) && isFinal(status.status) && isUnfinished(path)) rmSync(path);
        else throw thrown;
        writeWholeFile(path, text, options);
      }
    },
    removeJournal: () => rmSync(journal(), { force: true }),
    writeHeartbeat: (heartbeat) =>
      writeWholeFile(heartbeatPath(), formatHeartbeat(heartbeat), { durable: false }),
    hasResult: (sequence) => results(sequence).length > 0,
    hasSettings: (sequence) =>
      existsSync(
        join(placed(environment.configFolder, CONFIG_FOLDER), formatSettingsFile(sequence, extensionName)),
      ),
    forget: () => {
      rmSync(homePath(formatSequenceFile(extensionName)), { force: true });
      rmSync(journal(), { force: true });
    },
    forgetResults: (sequence) => {
      for (const name of results(sequence)) rmSync(join(statusFolder(), name), { force: true });
    },
    unfinishedBetween: (after = -1, before) =>
      listFolder(statusFolder()).flatMap((name) => {
        const parsed = parseStatusFile(name);
        if (parsed === undefined || parsed.extensionName !== extensionName) return [];
        const { sequence } = parsed;
        if (sequence <= after || sequence >= before) return [];
        const status = readStatus(sequence);
        return status === undefined || isFinal(status.status) ? [] : [sequence];
      }),
    removeLeftovers: () => {
      const isRunning = (pid: number): boolean => identifyProcess(host, pid) !== undefined;
      removeUnfinishedFiles(statusFolder(), (name) => parseStatusFile(name) !== undefined, isRunning);
      const others = [HEARTBEAT_FILE, HANDOVER_FILE, START_CLAIM];
      const isState = (name: string): boolean =>
        isJournalFile(name) || isSequenceFile(name) || others.includes(name);
      removeUnfinishedFiles(homePath('.'), isState, isRunning);
      const { eventsFolder } = environment;
      if (eventsFolder === undefined) return;
      // An event is written beside the folder, which the agent empties.
      const events = basename(eventsFolder);
      removeUnfinishedFiles(host.path(dirname(eventsFolder)), (name) => name === events, isRunning);
    },
  };
}

function isFull(thrown: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].some((code) => isSystemError(thrown, code));
}

function isUnfinished(path: string): boolean {
  const status = readStatusFile(path);
  return status !== undefined && !isFinal(status.status);
}

/** The status in a file; `undefined` when there is none, or none that can be read. */
export function readStatusFile(path: string): Status | undefined {
  try {
    const text = readTextIfThere(path);
    return text === undefined ? undefined : parseStatus(text, path);
  } catch {
    return undefined;
  }
}
