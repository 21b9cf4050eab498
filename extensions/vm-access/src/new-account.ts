/**
 * Whether the account of a run is new, with a note on the disk while it is being made. A run that was killed or met a
 * restart is run again, and then the account may be there without the rights that a new one gets: by the note it still
 * counts as new.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { readTextIfThere, writeWholeFile } from '@handlerkit/sdk';

/** The account of a run. */
export interface NewAccount {
  /** Looks whether it is there. Call it when its name is known to be one. */
  look(): Promise<void>;
  /** What {@link look} has found: true when it is not there, or a run of the same settings began to make it. */
  isNew(): boolean;
  /** Notes on the disk, where it is new, that it is being made; survives a power failure. */
  note(): void;
  /** Takes the note away. */
  forget(): void;
}

/** Where the note is, and for which account, by the run of which settings. */
export interface NewAccountInput {
  readonly host: Host;
  /** Folder of the extension as the VM sees it. */
  readonly dataFolder: string;
  readonly sequence: number;
  readonly username: string;
  readonly findAccount: (host: Host, username: string) => Promise<unknown>;
}

/** Makes it; looks at nothing yet. */
export function watchNewAccount(input: NewAccountInput): NewAccount {
  const { host, dataFolder, sequence, username, findAccount } = input;
  const file = host.path(join(dataFolder, NOTE_FILE));
  const text = `${JSON.stringify({ sequence, username })}\n`;
  let isNew = false;
  return {
    look: async () => {
      isNew = readTextIfThere(file) === text || (await findAccount(host, username)) === undefined;
    },
    isNew: () => isNew,
    note: () => {
      if (isNew) writeWholeFile(file, text);
    },
    forget: () => rmSync(file, { force: true }),
  };
}

const NOTE_FILE = 'new-account.json';
