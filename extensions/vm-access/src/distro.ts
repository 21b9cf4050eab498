/**
 * Distributions in one table: what VM Access needs to know of each and cannot ask the machine. Everything else (ids of
 * users, methods of hashing, folders of sudo, services) is asked of the machine itself.
 */
import type { Distribution, Host } from '@handlerkit/sdk';
import { readDistribution } from '@handlerkit/sdk';

/** What VM Access knows of a distribution. */
export interface Distro {
  readonly distribution: Distribution;
  /** `lower-case`: its `useradd` takes neither capitals nor dots. `any`: what is safe goes. */
  readonly userNames: 'any' | 'lower-case';
  /** Ids of accounts for people although `login.defs` counts them as the system's. */
  readonly loginUids: readonly number[];
  /** `tested`: on a real root file system. `scripted`: with recorded files and scripts of commands. */
  readonly proof: 'tested' | 'scripted';
}

/** Reads the distribution and finds its row. */
export async function readDistro(host: Host): Promise<Distro> {
  return findDistro(await readDistribution(host));
}

/** The row of a distribution, else of the closest one that it derives from, else the general one. */
export function findDistro(distribution: Distribution): Distro {
  const { id, idLike } = distribution;
  for (const [index, name] of [id, ...idLike].entries()) {
    const row = Object.hasOwn(ROWS, name) ? ROWS[name] : undefined;
    // What a relative was tested on was not tested on this one.
    if (row !== undefined) return { ...GENERAL, ...row, ...(index > 0 && SCRIPTED), distribution };
  }
  return { ...GENERAL, distribution };
}

type Row = Partial<Omit<Distro, 'distribution'>>;

const SCRIPTED = { proof: 'scripted' } as const;
const GENERAL = { userNames: 'any', loginUids: [], ...SCRIPTED } as const;

const ROWS: Readonly<Record<string, Row>> = {
  debian: { proof: 'tested' },
  ubuntu: {},
  rhel: {},
  centos: {},
  almalinux: {},
  rocky: {},
  ol: {},
  fedora: {},
  sles: {},
  suse: {},
  opensuse: {},
  'opensuse-leap': {},
  'opensuse-tumbleweed': {},
  // Azure Linux 2 has the shadow suite 4.9 as its authors wrote it.
  mariner: { userNames: 'lower-case' },
  azurelinux: {},
  // `core` has the id 500, and UID_MIN is 1000.
  flatcar: { loginUids: [500] },
};
