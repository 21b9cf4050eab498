/**
 * A step: one part of the machine that VM Access may change. Every step is planned before the first one acts, verifies its
 * own effect, and says how to undo it.
 */
import type { Host, Logger } from '@handlerkit/sdk';
import type { RunCommand } from './command.ts';
import type { Distro } from './distro.ts';
import type { Undo } from './undo.ts';

/** The steps, as the substatuses name them. */
export type StepName = 'account' | 'password' | 'ssh key' | 'sudo' | 'sshd' | 'firewall' | 'disk';

/** What every step is given. */
export interface StepContext {
  readonly host: Host;
  readonly log: Logger;
  /** Aborted when the run must end; a step passes it to whatever may take long. */
  readonly signal: AbortSignal;
  /** Runs a program of the system. */
  readonly run: RunCommand;
  /** The facts of this machine's distribution. */
  readonly distro: Distro;
  /** Folder of the extension as the VM sees it, 0700; it outlives versions. */
  readonly dataFolder: string;
}

/** What a step is going to do. Making it has read and checked everything, and changed nothing. */
export interface PlannedStep {
  readonly name: StepName;
  /**
   * Changes the machine and verifies the effect. Says to `undo`, before each change, how that change is taken back, and
   * throws when it fails or the effect cannot be verified. It does not undo anything itself.
   */
  act(undo: Undo): Promise<StepReport>;
}

/** What a step has done. */
export interface StepReport {
  /** False: everything was as it was asked for, and nothing was touched. */
  readonly changed: boolean;
  /** What was changed or found, verified; for people. Holds no secret. */
  readonly message: string;
  /** Something that the user should know although the step was carried out. */
  readonly warning?: string;
}
