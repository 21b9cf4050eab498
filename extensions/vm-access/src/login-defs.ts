/**
 * What the system says of accounts: `login.defs`, and what `useradd` would do. Source: login.defs(5), useradd(8); the
 * folders for vendors are those of openSUSE.
 */
import { readdirSync } from 'node:fs';
import type { Host } from '@handlerkit/sdk';
import { readTextIfThere } from '@handlerkit/sdk';
import type { StepContext } from './step.ts';

/** The rules of this machine. */
export interface LoginDefs {
  /** Ids of accounts for people: from this one… */
  readonly uidMin: number;
  /** …to this one. */
  readonly uidMax: number;
  /** Permission bits of a new home. */
  readonly homeMode: number;
  /** How passwords are hashed where PAM does not say it, in capitals. */
  readonly encryptMethod: string | undefined;
}

/** What `useradd` takes for a new account. */
export interface UseraddDefaults {
  /** Folder of the homes. */
  readonly homeBase: string;
  /** What a new home is filled with. */
  readonly skeleton: string;
}

/** Reads the rules; what is not said has the value that the shadow suite has for it. */
export function readLoginDefs(host: Host): LoginDefs {
  const values = new Map<string, string>();
  for (const text of readFiles(host)) {
    for (const line of text.split('\n')) {
      const [, key, value] = /^\s*([A-Z_]+)\s+"?([^\s"#]+)/.exec(line) ?? [];
      if (key !== undefined && value !== undefined) values.set(key, value);
    }
  }
  const number = (key: string, radix = 10): number | undefined => {
    const value = Number.parseInt(values.get(key) ?? '', radix);
    return Number.isNaN(value) ? undefined : value;
  };
  return {
    uidMin: number('UID_MIN') ?? 1000,
    uidMax: number('UID_MAX') ?? 60_000,
    homeMode: (number('HOME_MODE', 8) ?? 0o777 & ~(number('UMASK', 8) ?? 0o077)) & 0o777,
    encryptMethod: values.get('ENCRYPT_METHOD')?.toUpperCase(),
  };
}

/** Asks `useradd`; what it does not say is `/home` and `/etc/skel`. Throws `PROGRAM_MISSING` where it is not there. */
export async function readUseraddDefaults(context: StepContext): Promise<UseraddDefaults> {
  const { stdout } = await context.run(['useradd', '-D'], { timeoutMs: 20_000 });
  const value = (key: string): string | undefined =>
    stdout
      .split('\n')
      .find((line) => line.startsWith(`${key}=/`))
      ?.slice(key.length + 1)
      .replace(/\/+$/, '');
  return { homeBase: value('HOME') ?? '/home', skeleton: value('SKEL') ?? '/etc/skel' };
}

/** The whole files, the one that counts most at the end. */
function readFiles(host: Host): readonly string[] {
  const [first] = ['/etc/login.defs', '/usr/etc/login.defs'].flatMap((path) => read(host, path));
  const rest = ['/usr/etc/login.defs.d', '/etc/login.defs.d'].flatMap((folder) =>
    listFolder(host, folder)
      .filter((name) => name.endsWith('.defs'))
      .toSorted()
      .flatMap((name) => read(host, `${folder}/${name}`)),
  );
  return [...(first === undefined ? [] : [first]), ...rest];
}

function read(host: Host, path: string): readonly string[] {
  const text = readTextIfThere(host.path(path));
  return text === undefined ? [] : [text];
}

function listFolder(host: Host, path: string): readonly string[] {
  try {
    return readdirSync(host.path(path));
  } catch {
    return [];
  }
}
