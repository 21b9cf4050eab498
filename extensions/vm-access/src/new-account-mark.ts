/**
 * A note that a run is making an account. A run that was killed or met a restart is run again, and then the account may
 * be there without the rights that a new account gets: by the note it still counts as new.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { readTextIfThere, writeWholeFile } from '@handlerkit/sdk';

/** Which account is being made, by the run of which settings. */
export interface NewAccountMark {
  readonly sequence: number;
  readonly username: string;
}

/** Where and for which account the note is. */
export interface MarkPlace {
  readonly host: Host;
  /** Folder of the extension as the VM sees it. */
  readonly dataFolder: string;
}

/** True when an earlier run of the same settings began to make this account. A note that cannot be read is none. */
export function isMarkedNew({ host, dataFolder }: MarkPlace, mark: NewAccountMark): boolean {
  return readTextIfThere(host.path(join(dataFolder, MARK_FILE))) === formatMark(mark);
}

/** Writes the note, so that it survives a power failure. */
export function markNew({ host, dataFolder }: MarkPlace, mark: NewAccountMark): void {
  writeWholeFile(host.path(join(dataFolder, MARK_FILE)), formatMark(mark));
}

/** Takes the note away. */
export function unmarkNew({ host, dataFolder }: MarkPlace): void {
  rmSync(host.path(join(dataFolder, MARK_FILE)), { force: true });
}

const MARK_FILE = 'new-account.json';

function formatMark({ sequence, username }: NewAccountMark): string {
  return `${JSON.stringify({ sequence, username })}\n`;
}
