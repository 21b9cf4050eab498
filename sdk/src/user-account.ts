/** Finds a user of the machine by name, wherever the machine keeps its users. */
import { HandlerError } from './errors.ts';
import type { ExecResult } from './exec.ts';
import type { Host } from './host.ts';
import { readTextIfThere } from './whole-file.ts';

/** A user as the machine knows it. */
export interface UserAccount {
  readonly name: string;
  readonly uid: number;
  /** The user's own group. */
  readonly gid: number;
  /** Absolute path; the folder need not exist. */
  readonly home: string;
  /** Login shell; `/bin/sh` where none is named. */
  readonly shell: string;
}

/**
 * Asks `getent`, so that users of a directory service count too; without it reads `/etc/passwd`. Gives `undefined` when
 * there is no such user, also for a number: an id is no name. Throws `DEPENDENCY_MISSING` when the users cannot be read.
 */
export async function findUserAccount(host: Host, name: string): Promise<UserAccount | undefined> {
  if (!isUserName(name)) return undefined;
  const lines = (await askGetent(host, name)) ?? readTextIfThere(host.path('/etc/passwd'));
  if (lines === undefined) {
    throw new HandlerError('DEPENDENCY_MISSING', 'neither getent nor /etc/passwd tells the users of the VM');
  }
  return lines
    .split('\n')
    .map(parseLine)
    .find((account) => account?.name === name);
}

/** False for a text that some program would take for an id, an option, a path or several names. */
function isUserName(text: string): boolean {
  return text.length <= 256 && !/^[+-]|^\d+$|[\s:,/\p{Cc}]/u.test(text) && text !== '';
}

const GETENT_LIMIT_MS = 30_000;

async function askGetent(host: Host, name: string): Promise<string | undefined> {
  let result: ExecResult;
  try {
    result = await host.exec(['getent', 'passwd', name], { timeoutMs: GETENT_LIMIT_MS });
  } catch {
    return undefined;
  }
  return result.exitCode === 0 || result.exitCode === GETENT_NOT_FOUND ? result.stdout : undefined;
}

const GETENT_NOT_FOUND = 2;

function parseLine(line: string): UserAccount | undefined {
  const [name, , uid, gid, , home, shell] = line.split(':');
  if (name === undefined || !isId(uid) || !isId(gid) || home === undefined) return undefined;
  return {
    name,
    uid: Number(uid),
    gid: Number(gid),
    home: home === '' ? '/' : home,
    shell: shell === undefined || shell === '' ? '/bin/sh' : shell,
  };
}

/** The largest number stands for "no user" in the system's calls. */
function isId(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32 - 1;
}
