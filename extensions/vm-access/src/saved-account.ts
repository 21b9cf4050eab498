/**
 * An account as the files of users and groups have it, and putting it back after it was deleted: with the programs of the
 * system, then compared line by line.
 */
import type { GroupEntry, PasswdEntry, ShadowEntry, SubIdRange } from './account-files.ts';
import { readGroupSecrets, readGroups, readPasswd, readShadow, readSubIds } from './account-files.ts';
import { runAccountTool } from './account-tool.ts';
import { accessError } from './errors.ts';
import { restorePassword } from './password-field.ts';
import type { StepContext } from './step.ts';

/** All lines of one account. */
export interface SavedAccount {
  readonly entry: PasswdEntry;
  readonly shadow: ShadowEntry | undefined;
  /** The groups that have its name or list it. */
  readonly groups: readonly GroupEntry[];
  readonly groupSecrets: readonly string[];
  readonly subUids: readonly SubIdRange[];
  readonly subGids: readonly SubIdRange[];
}

/** Reads them. */
export function saveAccount({ host }: StepContext, entry: PasswdEntry): SavedAccount {
  const { name } = entry;
  return {
    entry,
    shadow: readShadow(host, name),
    groups: readGroups(host).filter((group) => group.name === name || group.members.includes(name)),
    groupSecrets: readGroupSecrets(host, name),
    subUids: readSubIds(host, 'subuid').filter((range) => range.name === name),
    subGids: readSubIds(host, 'subgid').filter((range) => range.name === name),
  };
}

/** Puts the account back. Throws `ACCOUNT_NOT_VERIFIED` when a line is not what it was. */
export async function restoreAccount(context: StepContext, saved: SavedAccount): Promise<void> {
  const { host } = context;
  const { entry, groups } = saved;
  const { name } = entry;
  const own = groups.find((group) => group.name === name);
  if (own !== undefined && !readGroups(host).some((group) => group.name === name)) {
    await runAccountTool(context, ['groupadd', '-g', String(own.gid), name]);
  }
  if (!readPasswd(host).some((one) => one.name === name)) await addUser(context, saved);
  await addToGroups(context, saved);
  if (saved.shadow !== undefined) await restoreShadow(context, saved.shadow);
  const now = readPasswd(host).find((one) => one.name === name);
  const isRestored = now !== undefined && fingerprint(saveAccount(context, now)) === fingerprint(saved);
  if (isRestored) return;
  throw accessError(
    'ACCOUNT_NOT_VERIFIED',
    `the account ${name} is there again, but not in every line as it was`,
  );
}

/** It may give ranges of ids for containers, in the place of which the former ones are put. */
async function addUser(context: StepContext, { entry, subUids, subGids }: SavedAccount): Promise<void> {
  const { host } = context;
  const { name, uid, gid, comment, home, shell } = entry;
  const identity = ['-u', String(uid), '-g', String(gid), '-d', home, '-s', shell, '-c', comment];
  await runAccountTool(context, ['useradd', '-M', '-N', ...identity, '-p', '*', name]);
  const ranges = [
    ...changeRanges(readSubIds(host, 'subuid'), subUids, name, ['-V', '-v']),
    ...changeRanges(readSubIds(host, 'subgid'), subGids, name, ['-W', '-w']),
  ];
  if (ranges.length > 0) await runAccountTool(context, ['usermod', ...ranges, name]);
}

/** Options that take ranges away and that give them. */
function changeRanges(
  all: readonly SubIdRange[],
  wanted: readonly SubIdRange[],
  username: string,
  [away, give]: readonly [string, string],
): readonly string[] {
  const text = ({ first, count }: SubIdRange): string => `${first}-${first + count - 1}`;
  const before = all.filter(({ name }) => name === username).map(text);
  const after = wanted.map(text);
  return [
    ...before.filter((range) => !after.includes(range)).flatMap((range) => [away, range]),
    ...after.filter((range) => !before.includes(range)).flatMap((range) => [give, range]),
  ];
}

/** In the former order where nobody else has come or gone. */
async function addToGroups(
  context: StepContext,
  { entry, groups, groupSecrets }: SavedAccount,
): Promise<void> {
  const { name } = entry;
  const now = readGroups(context.host);
  for (const group of groups.filter(({ members }) => members.includes(name))) {
    const members = now.find((one) => one.name === group.name)?.members ?? [];
    const isSame = sortNames([...members, name].join(',')) === sortNames(group.members.join(','));
    const argv = isSame
      ? ['gpasswd', '-M', group.members.join(','), group.name]
      : ['usermod', '-a', '-G', group.name, name];
    if (!members.includes(name)) await runAccountTool(context, argv);
  }
  for (const line of groupSecrets) {
    const [group = '', , administrators = ''] = line.split(':');
    if (!administrators.split(',').includes(name)) continue;
    await runAccountTool(context, ['gpasswd', '-A', administrators, group]);
  }
}

async function restoreShadow(context: StepContext, shadow: ShadowEntry): Promise<void> {
  const { name, minimumAge, maximumAge, warning, inactive, expires } = shadow;
  const days = (value: number | undefined): string => String(value ?? -1);
  const ages = ['-m', days(minimumAge), '-M', days(maximumAge), '-W', days(warning)];
  await restorePassword(context, shadow);
  await runAccountTool(context, ['chage', ...ages, '-I', days(inactive), '-E', days(expires), name]);
}

/** The lines; whoever is in a group is put back at its end. */
function fingerprint({ entry, shadow, groups, groupSecrets, subUids, subGids }: SavedAccount): string {
  const sorted = (line: string): string => line.split(':').map(sortNames).join(':');
  return JSON.stringify([
    entry.line,
    shadow?.line,
    groups.map(({ line }) => sorted(line)),
    groupSecrets.map(sorted),
    subUids,
    subGids,
  ]);
}

function sortNames(field: string): string {
  return field.split(',').toSorted().join(',');
}
