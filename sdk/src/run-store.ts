/**
 * What the SDK keeps of one configuration on disk: `mrseq`, the journal and the status files. All of it is looked up in
 * the version folder that owns the extension now, so that a run which outlives its version writes to the right place.
 */
import { join } from 'node:path';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import { formatSequenceFile, formatStatusFile, STATUS_FOLDER } from './contract/package-layout.ts';
import { formatSequence, parseSequence } from './contract/sequence.ts';
import type { Status } from './contract/status.ts';
import { formatStatus, parseStatus } from './contract/status.ts';
import type { HandlerFolder } from './handler-files.ts';
import type { Host } from './host.ts';
import type { Journal } from './journal.ts';
import { journalPath, readJournal, writeJournal } from './journal.ts';
import { readTextIfThere, writeWholeFile } from './whole-file.ts';

export interface RunStore {
  /** The number of the last sequence that was taken on; `undefined` for none, or when the file holds no number. */
  readSequence(): number | undefined;
  writeSequence(sequence: number): void;
  readJournal(): Journal | undefined;
  writeJournal(journal: Journal, options?: { readonly durable?: boolean }): void;
  /** The status of a sequence; `undefined` when there is none, or none that can be read. */
  readStatus(sequence: number): Status | undefined;
  writeStatus(sequence: number, status: Status, options?: { readonly durable?: boolean }): void;
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
  const statusPath = (sequence: number): string => {
    const place = home();
    const folder = place.folder === own.folder ? environment.statusFolder : join(place.folder, STATUS_FOLDER);
    return host.path(join(folder, formatStatusFile(sequence, extensionName)));
  };
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
    writeStatus: (sequence, status, options) =>
      writeWholeFile(statusPath(sequence), formatStatus(status), options),
  };
}
