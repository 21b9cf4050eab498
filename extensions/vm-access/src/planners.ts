/**
 * What plans each step: the real functions of the modules beside this one, in one object, so that a test can give
 * scripted ones.
 */
import type { Host } from '@handlerkit/sdk';
import { findUserAccount } from '@handlerkit/sdk';
import type { SshKeyRequest } from './authorized-keys.ts';
import { planSshKey } from './authorized-keys.ts';
import { planDiskCheck } from './disk-check.ts';
import { planDiskRepair } from './disk-repair.ts';
import type { Distro } from './distro.ts';
import { readDistro } from './distro.ts';
import type { ExpirationDate } from './expiration.ts';
import { planFirewall } from './firewall.ts';
import { planPassword } from './password.ts';
import type { SshKey } from './ssh-key.ts';
import { parseSshKeys } from './ssh-key.ts';
import { planSshdPassword } from './sshd-password.ts';
import { planSshdReset, planSshdRestore } from './sshd-reset.ts';
import { readSshdPorts } from './sshd-service.ts';
import type { PlannedStep, StepContext } from './step.ts';
import { planSudo } from './sudoers.ts';
import { planAccount } from './user-account.ts';
import { planRemoval } from './user-removal.ts';

/** A user of the VM. */
export type FoundAccount = NonNullable<Awaited<ReturnType<typeof findUserAccount>>>;

/** What the steps need to know of the account. */
export interface AccountRequest {
  readonly username: string;
  readonly expiration: ExpirationDate | undefined;
  readonly hasKey: boolean;
  readonly hasPassword: boolean;
}

/** What is to become of the user's sudo rights. */
export interface SudoRequest {
  readonly username: string;
  readonly passwordless: boolean | undefined;
  /** True when the account is made by this run. */
  readonly isNew: () => boolean;
  readonly hasPassword: boolean;
}

/** Plans steps. Each function reads and checks, changes nothing, and throws a clear error. */
export interface Planners {
  readDistro(host: Host): Promise<Distro>;
  findAccount(host: Host, username: string): Promise<FoundAccount | undefined>;
  planRemoval(context: StepContext, username: string): Promise<PlannedStep>;
  planAccount(context: StepContext, request: AccountRequest): Promise<PlannedStep>;
  planPassword(
    context: StepContext,
    request: { readonly username: string; readonly password: string },
  ): Promise<PlannedStep>;
  planSudo(context: StepContext, request: SudoRequest): Promise<PlannedStep>;
  /** Reads the text of the settings. Throws a clear error. */
  parseSshKeys(text: string): readonly SshKey[];
  planSshKey(context: StepContext, request: SshKeyRequest): Promise<PlannedStep>;
  planSshdPassword(
    context: StepContext,
    request: { readonly username: string; readonly afterReset: boolean },
  ): Promise<PlannedStep>;
  planSshdReset(context: StepContext): Promise<PlannedStep>;
  planSshdRestore(context: StepContext): Promise<PlannedStep>;
  /** Ports on which sshd listens; none when it is not installed. */
  readSshdPorts(context: StepContext): Promise<readonly number[]>;
  planFirewall(context: StepContext, ports: () => Promise<readonly number[]>): Promise<PlannedStep>;
  planDiskCheck(context: StepContext): Promise<PlannedStep>;
  planDiskRepair(context: StepContext, name: string): Promise<PlannedStep>;
}

/** The planners of the real steps. */
export const PLANNERS: Planners = {
  readDistro,
  findAccount: findUserAccount,
  planRemoval,
  planAccount,
  planPassword,
  planSudo,
  parseSshKeys,
  planSshKey: (context, request) => planSshKey(context, request),
  planSshdPassword,
  planSshdReset,
  planSshdRestore,
  readSshdPorts,
  planFirewall,
  planDiskCheck,
  planDiskRepair,
};
