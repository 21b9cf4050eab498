/**
 * What the SDK keeps of one configuration on disk: `mrseq`, the journal and the status files. All of it is looked up in
 * the version folder that owns the extension now, so that a run which outlives its version writes to the right place.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import {
  formatSequenceFile,
  formatStatusFile,
  parseStatusFile,
  STATUS_FOLDER,
} from './contract/package-layout.ts';
import { formatSequence, parseSequence } from './contract/sequence.ts';
import type { Status } from './contract/status.ts';
import { formatStatus, parseStatus } from './contract/status.ts';
import { isSystemError } from './errors.ts';
import type { HandlerFolder } from './handler-files.ts';
import type { Host } from './host.ts';
import type { Journal } from './journal.ts';
import { isJournalFile, journalPath, readJournal, writeJournal } from './journal.ts';
import { identifyProcess } from './process-identity.ts';
import { readTextIfThere, removeUnfinishedFiles, writeWholeFile } from './whole-file.ts';

export interface RunStore {
  /** The number of the last sequence that was taken on; `undefined` for none, or when the file holds no number. */
  readSequence(): number | undefined;
  writeSequence(sequence: number): void;
  readJournal(): Journal | undefined;
  writeJournal(journal: Journal, options?: { readonly durable?: boolean }): void;
  /** The status of a sequence; `undefined` when there is none, or none that can be read. */
  readStatus(sequence: number): Status | undefined;
  /** Makes the status folder when it is missing and the version's folder is there. */
  writeStatus(sequence: number, status: Status, options?: { readonly durable?: boolean }): void;
  removeJournal(): void;
  /** Removes what a process that was killed left half-written. */
  removeLeftovers(): void;
}

/** True for `mrseq` of any configuration. */
export function isSequenceFile(name: string): boolean {
  const plain = formatSequenceFile();
  return name === plain || name.endsWith(`.${plain}`);
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
  const statusFolder = (): string => {
    const place = home();
    const isOwn = place.folder === own.folder;
    return host.path(isOwn ? environment.statusFolder : join(place.folder, STATUS_FOLDER));
  };
  const statusPath = (sequence: number): string =>
    join(statusFolder(), formatStatusFile(sequence, extensionName));
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
    readJournal: () => readJournal(journal()),
    writeJournal: (value, options) => writeJournal(journal(), value, options),
    readStatus: (sequence) => {
      const path = statusPath(sequence);
      try {
        const text = readTextIfThere(path);
        return text === undefined ? undefined : parseStatus(text, path);
      } catch {
        return undefined;
      }
    },
    writeStatus: (sequence, status, options) => {
      const [path, text] = [statusPath(sequence), formatStatus(status)];
      try {
        writeWholeFile(path, text, options);
      } catch (thrown) {
        if (!isSystemError(thrown, 'ENOENT')) throw thrown;
        mkdirSync(dirname(path), { mode: 0o700 });
        writeWholeFile(path, text, options);
      }
    },
    removeJournal: () => rmSync(journal(), { force: true }),
    removeLeftovers: () => {
      const isRunning = (pid: number): boolean => identifyProcess(host, pid) !== undefined;
      removeUnfinishedFiles(statusFolder(), (name) => parseStatusFile(name) !== undefined, isRunning);
      const isState = (name: string): boolean => isJournalFile(name) || isSequenceFile(name);
      removeUnfinishedFiles(homePath('.'), isState, isRunning);
    },
  };
}
