/**
 * Which steps a run has, in which order: somebody is removed first, then the account, its password and rights, then the
 * ways in. sshd gets its configuration before the keys, which go where sshd will look for them. The disks come last.
 */
import { accessError } from './errors.ts';
import type { NewAccount } from './new-account.ts';
import type { FoundAccount, Planners } from './planners.ts';
import type { AccessSettings, AccountSettings } from './settings.ts';
import type { PlannedStep, StepContext, StepName } from './step.ts';

/** One step of a run, to be planned. */
export interface StepPlan {
  readonly name: StepName;
  plan(): Promise<PlannedStep>;
}

/** The steps that the settings ask for, in the order in which they act. Plans none of them. */
export function listSteps(
  context: StepContext,
  settings: AccessSettings,
  newAccount: NewAccount | undefined,
  planners: Planners,
): readonly StepPlan[] {
  const { account, removeUser, sshd, disk } = settings;
  const steps: StepPlan[] = [];
  const add: AddStep = (name, plan) => {
    steps.push({ name, plan });
  };
  if (removeUser !== undefined) add('account', () => planners.planRemoval(context, removeUser));
  if (account !== undefined) addAccount(add, context, account, newAccount, planners);
  if (sshd === 'reset') add('sshd', () => planners.planSshdReset(context));
  if (sshd === 'restore') add('sshd', () => planners.planSshdRestore(context));
  if (account !== undefined) addLogins(add, context, account, sshd !== undefined, planners);
  if (sshd !== undefined) {
    add('firewall', () => planners.planFirewall(context, () => readPorts(context, planners)));
  }
  if (disk?.kind === 'check') add('disk', () => planners.planDiskCheck(context));
  if (disk?.kind === 'repair') add('disk', () => planners.planDiskRepair(context, disk.name));
  return steps;
}

type AddStep = (name: StepName, plan: () => Promise<PlannedStep>) => void;

function addAccount(
  add: AddStep,
  context: StepContext,
  settings: AccountSettings,
  newAccount: NewAccount | undefined,
  planners: Planners,
): void {
  const { username, password, expiration } = settings;
  const hasPassword = password !== undefined;
  const request = { username, expiration, hasKey: settings.key !== undefined, hasPassword };
  add('account', async () => {
    const planned = await planners.planAccount(context, request);
    await newAccount?.look();
    return planned;
  });
  if (password !== undefined) {
    add('password', () => planners.planPassword(context, { username, password }));
  }
  const passwordless = settings.passwordlessSudo;
  const sudo = { username, passwordless, isNew: () => newAccount?.isNew() === true, hasPassword };
  add('sudo', () => planners.planSudo(context, sudo));
}

/** `afterReset`: sshd has another configuration by the time that these act. */
function addLogins(
  add: AddStep,
  context: StepContext,
  { username, password, key, removePriorKeys }: AccountSettings,
  afterReset: boolean,
  planners: Planners,
): void {
  if (password !== undefined) {
    add('sshd', () => planners.planSshdPassword(context, { username, afterReset }));
  }
  if (key === undefined) return;
  const account = (): Promise<FoundAccount> => findMade(context, username, planners);
  add('ssh key', async () => {
    const keys = planners.parseSshKeys(key);
    return planners.planSshKey(context, { username, keys, removePriorKeys, account, afterReset });
  });
}

async function findMade(context: StepContext, username: string, planners: Planners): Promise<FoundAccount> {
  const found = await planners.findAccount(context.host, username);
  if (found !== undefined) return found;
  throw accessError('ACCOUNT_MISSING', `the user ${username} is not there; look into the log and try again`);
}

/** Where nothing says otherwise sshd listens on 22. */
async function readPorts(context: StepContext, planners: Planners): Promise<readonly number[]> {
  const ports = await planners.readSshdPorts(context);
  return ports.length > 0 ? ports : [22];
}
