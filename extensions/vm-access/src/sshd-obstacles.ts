/**
 * What in sshd's configuration keeps a user from a login by password besides `PasswordAuthentication`: who may log in at
 * all, and what is asked for besides. These are rules that somebody made; VM Access names them and leaves them alone.
 */
import type { EffectiveSshd } from './effective-sshd.ts';
import { matchesPattern, matchesUser } from './sshd-pattern.ts';
import type { LocatedDirective } from './sshd-tree.ts';
import type { StepContext } from './step.ts';

/** Something in the way. */
export interface Obstacle {
  /** `DenyUsers in line 3 of /etc/ssh/sshd_config`. */
  readonly text: string;
  /** True when the user can get in by password nevertheless, with something besides or from some places. */
  readonly isWarning: boolean;
}

/** Looks at `DenyUsers`, `AllowUsers`, `DenyGroups` and `AllowGroups`. Groups are judged only when the user is there. */
export async function findLoginObstacle(
  context: StepContext,
  effective: EffectiveSshd,
  directives: readonly LocatedDirective[],
  user: string,
): Promise<Obstacle | undefined> {
  const at = (keyword: string): string => describeKeyword(directives, keyword);
  const users = (keyword: string): readonly { readonly user: boolean; readonly from: string }[] =>
    words(effective, keyword).map((entry) => matchesUser(entry, user));
  const denied = users('denyusers').filter((entry) => entry.user);
  if (denied.length > 0) {
    const isWarning = denied.every(({ from }) => from !== '*');
    return { text: `${at('denyusers')}, which names ${user}`, isWarning };
  }
  const allowed = users('allowusers');
  if (allowed.length > 0 && !allowed.some((entry) => entry.user)) {
    return { text: `${at('allowusers')}, which does not name ${user}`, isWarning: false };
  }
  const from = allowed.filter((entry) => entry.user).map((entry) => entry.from);
  if (allowed.length > 0 && !from.includes('*')) {
    return {
      text: `${at('allowusers')}, which lets ${user} in from ${from.join(', ')} only`,
      isWarning: true,
    };
  }
  return findGroupObstacle(context, effective, at, user);
}

/** Looks at `AuthenticationMethods`, which may ask for more than a password, or never for one. */
export function findMethodObstacle(
  effective: EffectiveSshd,
  directives: readonly LocatedDirective[],
): Obstacle | undefined {
  const lists = words(effective, 'authenticationmethods').map((list) => list.split(','));
  if (lists.length === 0 || lists.some((list) => list.every((method) => /^(any|password)$/.test(method)))) {
    return undefined;
  }
  const where = describeKeyword(directives, 'authenticationmethods');
  if (lists.some((list) => list.includes('password'))) {
    return { text: `${where}, which asks for more than a password`, isWarning: true };
  }
  return { text: `${where}, which never asks for a password`, isWarning: false };
}

/** Looks for lines that forbid passwords to everybody who comes from some place: sshd was asked about one place only. */
export function findPlaceObstacle(directives: readonly LocatedDirective[]): Obstacle | undefined {
  const line = directives.find(
    ({ keyword, args, conditions }) =>
      keyword === 'passwordauthentication' &&
      args[0]?.toLowerCase() === 'no' &&
      conditions.some((text) => /\b(local)?(address|port)\b|\bhost\b/i.test(text)) &&
      !conditions.some((text) => /\b(user|group)\b/i.test(text)),
  );
  if (line === undefined) return undefined;
  return { text: `passwords are not taken from everywhere: ${describeObstacle(line)}`, isWarning: true };
}

/** Where a line is, for people: what it says stays out, and file and line say enough. */
export function describeObstacle({ keyword, args, line, file, conditions }: LocatedDirective): string {
  const under = conditions.length === 0 ? '' : ` (below Match ${conditions.join(', ')})`;
  return `${keyword} ${args.join(' ')} in line ${line} of ${file}${under}`;
}

async function findGroupObstacle(
  context: StepContext,
  effective: EffectiveSshd,
  at: (keyword: string) => string,
  user: string,
): Promise<Obstacle | undefined> {
  const denied = words(effective, 'denygroups');
  const allowed = words(effective, 'allowgroups');
  if (denied.length === 0 && allowed.length === 0) return undefined;
  const { exitCode, stdout } = await context.run(['id', '-Gn', '--', user], { accept: [0, 1] });
  if (exitCode !== 0) return undefined;
  const groups = stdout.trim().split(/\s+/);
  const isIn = (patterns: readonly string[]): boolean =>
    groups.some((group) => patterns.some((pattern) => matchesPattern(group, pattern)));
  if (isIn(denied)) return { text: `${at('denygroups')}, which names a group of ${user}`, isWarning: false };
  if (allowed.length === 0 || isIn(allowed)) return undefined;
  return { text: `${at('allowgroups')}, which names no group of ${user}`, isWarning: false };
}

function words(effective: EffectiveSshd, keyword: string): readonly string[] {
  return effective.values(keyword).flatMap((value) => value.split(/\s+/).filter(Boolean));
}

function describeKeyword(directives: readonly LocatedDirective[], keyword: string): string {
  const found = directives.filter((directive) => directive.keyword === keyword);
  const places = found.map(({ line, file }) => `line ${line} of ${file}`);
  return `${NAMES[keyword] ?? keyword}${places.length === 0 ? '' : ` in ${places.join(' and ')}`}`;
}

/** As people write them. */
const NAMES: Readonly<Record<string, string>> = {
  allowusers: 'AllowUsers',
  denyusers: 'DenyUsers',
  allowgroups: 'AllowGroups',
  denygroups: 'DenyGroups',
  authenticationmethods: 'AuthenticationMethods',
};
