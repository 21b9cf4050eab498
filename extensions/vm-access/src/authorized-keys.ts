/**
 * The step that lets a user in by key: finds the file in which sshd looks for the user's keys, adds the keys without
 * touching what is there, mends what sshd would object to, and reads the file again as the user.
 */
import type { UserAccount } from '@handlerkit/sdk';
import { findUserAccount, HandlerError } from '@handlerkit/sdk';
import { findMissing } from './authorized-keys-text.ts';
import type { EffectiveSshd } from './effective-sshd.ts';
import { readSshd } from './effective-sshd.ts';
import { accessError } from './errors.ts';
import { findFileMend, findFolderMend, openKeyFile } from './key-file.ts';
import { planKeyFile, writeKeyFile } from './key-file-change.ts';
import type { KeyFile, KeyLoginRules } from './key-login-rules.ts';
import { checkKeysAccepted, DEFAULT_RULES, listKeyFiles, readKeyLoginRules } from './key-login-rules.ts';
import type { SshKey } from './ssh-key.ts';
import { describeKey } from './ssh-key.ts';
import { keyError } from './ssh-wire.ts';
import { findLoginObstacle } from './sshd-obstacles.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';
import type { Undo } from './undo.ts';

/** Which keys are to open which account. */
export interface SshKeyRequest {
  readonly username: string;
  readonly keys: readonly SshKey[];
  /** Removes all other keys of the user. */
  readonly removePriorKeys: boolean;
  /** The account, once it is there. Asked only when the step acts. */
  readonly account: () => Promise<UserAccount>;
  /** True: sshd's configuration is replaced before this step acts, so what it says now does not count. */
  readonly afterReset?: boolean;
}

/** Asks sshd for what it will do with a user; `undefined` when it is not installed. */
export type AskSshd = (context: StepContext, username: string) => Promise<EffectiveSshd | undefined>;

/**
 * Plans the step. Throws `SSH_KEY_INVALID`, `SSH_KEY_NOT_LOOKED_AT`, `PATH_UNSAFE`, `PATH_UNUSABLE`, and what `askSshd`
 * throws; has changed nothing then. What an account needs that is not there yet is looked at when the step acts.
 */
export async function planSshKey(
  context: StepContext,
  request: SshKeyRequest,
  askSshd: AskSshd = readSshd,
): Promise<PlannedStep> {
  await checkWithSshKeygen(context, request.keys);
  if (request.afterReset !== true) {
    const rules = await readRules(context, request, askSshd);
    const account = await findUserAccount(context.host, request.username);
    if (account !== undefined) {
      const { main, others } = await chooseFiles(context, account, rules);
      for (const file of request.removePriorKeys ? [main, ...others] : [main]) {
        await planKeyFile(context, account, rules, { file, ...contentOf(request, file === main) });
      }
    }
  }
  return { name: 'ssh key', act: (undo) => install(context, request, askSshd, undo) };
}

async function install(
  context: StepContext,
  request: SshKeyRequest,
  askSshd: AskSshd,
  undo: Undo,
): Promise<StepReport> {
  const account = await request.account();
  const rules = await readRules(context, request, askSshd);
  const { main, others, shared } = await chooseFiles(context, account, rules);
  const change = { account, rules, undo };
  const done = await writeKeyFile(context, change, { file: main, ...contentOf(request, true) });
  const emptied: string[] = [];
  let removedCount = done.removedCount;
  const notes = [...done.notes];
  if (request.removePriorKeys) {
    for (const file of others) {
      const outcome = await writeKeyFile(context, change, { file, ...contentOf(request, false) });
      if (outcome.isChanged) emptied.push(file.path);
      removedCount += outcome.removedCount;
      notes.push(...outcome.notes);
    }
  }
  const warnings = [...rules.warnings, ...done.warnings];
  if (request.removePriorKeys && shared.length > 0) {
    warnings.push(`keys in ${shared.join(', ')}, which is also for other users, were not removed`);
  }
  const verified = await verify(context, account, rules, main, request);
  if (verified !== undefined) warnings.push(verified);
  return {
    changed: done.isChanged || emptied.length > 0,
    message: describe(account, main, request, { ...done, removedCount }, [
      ...notes,
      ...emptied.map((path) => `emptied ${path}, where sshd also looks`),
    ]),
    ...(warnings.length === 0 ? {} : { warning: warnings.join('; ') }),
  };
}

const NO_SSHD =
  'no sshd was found on this VM; the key is where OpenSSH looks for it when it is not configured otherwise';
const READ_LIMIT = { timeoutMs: 15_000, tailBytes: 2 * 1024 * 1024 };

async function readRules(
  context: StepContext,
  { username, keys }: SshKeyRequest,
  askSshd: AskSshd,
): Promise<KeyLoginRules> {
  const sshd = await askSshd(context, username);
  if (sshd === undefined) return { ...DEFAULT_RULES, warnings: [NO_SSHD] };
  const rules = readKeyLoginRules(sshd, username);
  const obstacle = await findLoginObstacle(context, sshd, [], username);
  if (obstacle?.isWarning === false) {
    throw accessError(
      'SSH_KEY_NOT_LOOKED_AT',
      `sshd lets ${username} not log in (${obstacle.text}); change sshd_config, or set reset_ssh to true`,
    );
  }
  const more = obstacle === undefined ? [] : [`sshd has a rule of ${obstacle.text}`];
  return { ...rules, warnings: [...rules.warnings, ...more, ...checkKeysAccepted(sshd, keys)] };
}

/** The first file that is usable, the user's other ones, and those that are not the user's alone. */
async function chooseFiles(
  context: StepContext,
  account: UserAccount,
  rules: KeyLoginRules,
): Promise<{
  readonly main: KeyFile;
  readonly others: readonly KeyFile[];
  readonly shared: readonly string[];
}> {
  const files = listKeyFiles(rules.patterns, account);
  const own = files.filter(({ isOfThisUser }) => isOfThisUser);
  const shared = files.filter(({ isOfThisUser }) => !isOfThisUser).map(({ path }) => path);
  const main = await findUsable(context, account, rules, own);
  if (main !== undefined) return { main, others: own.filter((file) => file !== main), shared };
  throw accessError(
    'SSH_KEY_NOT_LOOKED_AT',
    `sshd looks for the keys of ${account.name} in no file of that user alone (AuthorizedKeysFile ${rules.patterns.join(' ')}); a key there would let everybody's accounts be opened. Change sshd_config, or set reset_ssh to true`,
  );
}

/** In the home any will do; elsewhere one whose folder is there comes before one whose folder has to be made. */
async function findUsable(
  context: StepContext,
  account: UserAccount,
  rules: KeyLoginRules,
  own: readonly KeyFile[],
): Promise<KeyFile | undefined> {
  if (own.length < 2) return own[0];
  for (const file of own) {
    const place = await openKeyFile(context.host, file, account, rules);
    await place.close();
    if (place.isInHome || place.missing.length === 0) return file;
  }
  return own[0];
}

function contentOf(
  { keys, removePriorKeys }: SshKeyRequest,
  isMain: boolean,
): { readonly keys: readonly SshKey[]; readonly keepsOthers: boolean } {
  return { keys: isMain ? keys : [], keepsOthers: !removePriorKeys };
}

/** Lets the VM's own ssh-keygen read the keys, where there is one: it knows what its sshd knows. */
async function checkWithSshKeygen(context: StepContext, keys: readonly SshKey[]): Promise<void> {
  if (keys.length === 0) throw keyError('it holds no key');
  for (const key of keys) {
    const answer = await runSshKeygen(context, key);
    if (answer === undefined) return;
    // Before OpenSSH 6.8 it prints other fingerprints.
    const isSame = !answer.includes('SHA256:') || answer.split(/\s+/).includes(key.fingerprint);
    if (answer.trim() === '' || !isSame) {
      throw keyError(`ssh-keygen of this VM does not take the key ${describeKey(key)}`);
    }
  }
}

async function runSshKeygen(context: StepContext, key: SshKey): Promise<string | undefined> {
  try {
    const options = { stdin: `${key.type} ${key.data}\n`, accept: [0, 1, 255], timeoutMs: 20_000 };
    const { exitCode, stdout } = await context.run(['ssh-keygen', '-l', '-f', '-'], options);
    return exitCode === 0 ? stdout : '';
  } catch (thrown) {
    if (thrown instanceof HandlerError && thrown.code === 'PROGRAM_MISSING') return undefined;
    throw thrown;
  }
}

/** Looks at everything once more, as sshd and the user will. Gives a warning, or throws `SSH_KEY_NOT_VERIFIED`. */
async function verify(
  context: StepContext,
  account: UserAccount,
  rules: KeyLoginRules,
  file: KeyFile,
  { keys }: SshKeyRequest,
): Promise<string | undefined> {
  const wrong = (reason: string): Error =>
    accessError('SSH_KEY_NOT_VERIFIED', `${file.path} is not what it was to become: ${reason}`);
  const place = await openKeyFile(context.host, file, account, rules);
  try {
    if (place.file === undefined) throw wrong('it is not there');
    if (findMissing(place.file.content, keys).length > 0) throw wrong('a key is missing');
    const fileMend = findFileMend(place, account, rules.isStrict);
    if (fileMend.reason !== undefined) throw wrong(fileMend.reason);
    for (const folder of place.usersFolders) {
      const mend = await findFolderMend(folder, place.name, account, rules.isStrict);
      if (mend !== undefined) throw wrong(`${folder.path}: ${mend.reason}`);
    }
    return await readAsUser(context, account, file, (text) => {
      if (findMissing(Buffer.from(text), keys).length > 0) throw wrong('the user reads something else');
    });
  } finally {
    await place.close();
  }
}

/** sshd reads the file as the user. `nonblock`: whatever is there by now, nobody waits for it. */
async function readAsUser(
  context: StepContext,
  account: UserAccount,
  { path }: KeyFile,
  check: (text: string) => void,
): Promise<string | undefined> {
  const argv = ['dd', `if=${context.host.path(path)}`, 'bs=65536', 'iflag=nonblock,nofollow'];
  try {
    check((await context.run(argv, { ...READ_LIMIT, user: account })).stdout);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof HandlerError)) throw thrown;
    if (thrown.code === 'COMMAND_NOT_STARTED' || thrown.code === 'PROGRAM_MISSING') {
      return `that ${account.name} can read ${path} was told from its owner and mode only (${thrown.message})`;
    }
    if (thrown.code !== 'COMMAND_FAILED') throw thrown;
    throw accessError(
      'SSH_KEY_NOT_VERIFIED',
      `${account.name}, as whom sshd reads the keys, cannot read ${path}: ${thrown.message}`,
    );
  }
}

function describe(
  account: UserAccount,
  file: KeyFile,
  { keys, removePriorKeys }: SshKeyRequest,
  done: Awaited<ReturnType<typeof writeKeyFile>>,
  notes: readonly string[],
): string {
  const names = (some: readonly SshKey[]): string => some.map(describeKey).join(', ');
  const parts = [
    done.added.length === 0
      ? `${file.path} of ${account.name} has the key ${names(keys)} already`
      : `${account.name} can log in with ${names(done.added)}, added to ${file.path}`,
    ...(removePriorKeys
      ? [`${done.removedCount} other ${done.removedCount === 1 ? 'key' : 'keys'} removed`]
      : []),
    ...(done.restricted.length > 0
      ? [
          `${names(done.restricted)} was there with options that allow something else; it now stands in front of that line`,
        ]
      : []),
    ...notes,
  ];
  return parts.join('; ');
}
