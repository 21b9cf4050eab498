/**
 * The files of users and groups, read line by line. They are only read here: who changes them is always a program of the
 * system, which holds the system's locks.
 */
import type { Host } from '@handlerkit/sdk';
import { readTextIfThere } from '@handlerkit/sdk';

/** A line of `/etc/passwd`. */
export interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly comment: string;
  readonly home: string;
  /** As it is written; empty stands for `/bin/sh`. */
  readonly shell: string;
  readonly line: string;
}

/** A line of `/etc/shadow`; days are counted since 1970-01-01, and `undefined` stands for an empty field. */
export interface ShadowEntry {
  readonly name: string;
  /** Hash of the password, or what stands in its place. A secret. */
  readonly hash: string;
  readonly lastChange: number | undefined;
  readonly minimumAge: number | undefined;
  readonly maximumAge: number | undefined;
  readonly warning: number | undefined;
  readonly inactive: number | undefined;
  readonly expires: number | undefined;
  readonly line: string;
}

/** A line of `/etc/group`. */
export interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
  readonly line: string;
}

/** A range of ids that a user may use in containers: a line of `/etc/subuid` or `/etc/subgid`. */
export interface SubIdRange {
  readonly name: string;
  readonly first: number;
  readonly count: number;
}

/** The users of `/etc/passwd`, in its order; none when there is no such file. What is no line of a user is left out. */
export function readPasswd(host: Host): readonly PasswdEntry[] {
  return readLines(host, '/etc/passwd').flatMap((line) => {
    const [name = '', , uid = '', gid = '', comment = '', home = '', shell] = line.split(':');
    if (shell === undefined || !isNumber(uid) || !isNumber(gid)) return [];
    return [{ name, uid: Number(uid), gid: Number(gid), comment, home, shell, line }];
  });
}

/** The line of a user in `/etc/shadow`. */
export function readShadow(host: Host, username: string): ShadowEntry | undefined {
  const line = readLines(host, '/etc/shadow').find((one) => one.startsWith(`${username}:`));
  if (line === undefined) return undefined;
  const [name = '', hash = '', ...rest] = line.split(':');
  const [lastChange, minimumAge, maximumAge, warning, inactive, expires] = rest.map(readDays);
  return { name, hash, lastChange, minimumAge, maximumAge, warning, inactive, expires, line };
}

/** The groups of `/etc/group`. */
export function readGroups(host: Host): readonly GroupEntry[] {
  return readLines(host, '/etc/group').flatMap((line) => {
    const [name = '', , gid = '', members] = line.split(':');
    if (members === undefined || !isNumber(gid)) return [];
    return [{ name, gid: Number(gid), members: members.split(',').filter(Boolean), line }];
  });
}

/** Lines of `/etc/gshadow` that name the user, or the group of that name: for a comparison. */
export function readGroupSecrets(host: Host, username: string): readonly string[] {
  return readLines(host, '/etc/gshadow').filter((line) => {
    const [group, , administrators = '', members = ''] = line.split(':');
    return group === username || [...administrators.split(','), ...members.split(',')].includes(username);
  });
}

/** The ranges of ids of `/etc/subuid` or `/etc/subgid`. */
export function readSubIds(host: Host, file: 'subuid' | 'subgid'): readonly SubIdRange[] {
  return readLines(host, `/etc/${file}`).flatMap((line) => {
    const [name = '', first = '', count = ''] = line.split(':');
    return isNumber(first) && isNumber(count) ? [{ name, first: Number(first), count: Number(count) }] : [];
  });
}

/** Today, as shadow counts. */
export function today(host: Host): number {
  return Math.floor(host.now().getTime() / DAY_MS);
}

const DAY_MS = 24 * 60 * 60 * 1000;

function readLines(host: Host, path: string): readonly string[] {
  return (readTextIfThere(host.path(path)) ?? '').split('\n').filter((line) => line !== '');
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text);
}

/** The programs of the system take a number below zero for none. */
function readDays(text: string): number | undefined {
  return isNumber(text) ? Number(text) : undefined;
}
