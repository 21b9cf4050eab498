/**
 * Which Linux distribution the machine runs, and the refusal of one that an extension does not support.
 * Source: os-release(5) (files, quoting, defaults); docs-and-reliability 1.1 (exit code 51); sdk-anchors 3, row 15.
 */
import { existsSync, readFileSync } from 'node:fs';
import { HandlerError } from './errors.ts';
import type { Host } from './host.ts';

/** Programs that install packages, as they are called on the command line. */
export const PACKAGE_MANAGERS = ['apt', 'dnf', 'yum', 'zypper', 'tdnf'] as const;
/** One of {@link PACKAGE_MANAGERS}. */
export type PackageManager = (typeof PACKAGE_MANAGERS)[number];

/** What a machine says of its distribution. */
export interface Distribution {
  /** `ID`, in lower case: `ubuntu`, `debian`, `rhel`, `sles`, `azurelinux`; `linux` where the machine does not say. */
  readonly id: string;
  /** `ID_LIKE`: the distributions that this one derives from, the closest first. */
  readonly idLike: readonly string[];
  /** `VERSION_ID`; `undefined` for a distribution without versions (Debian testing, a rolling release). */
  readonly versionId: string | undefined;
  /** `VERSION_CODENAME`, such as `jammy`. */
  readonly codename: string | undefined;
  /** `PRETTY_NAME`, else `NAME`: for people only. */
  readonly name: string;
  /**
   * What installs packages on this distribution, told from its name and version; `undefined` for one that none of them
   * can change (Flatcar, systems made of images) or that is not known.
   */
  readonly packageManager: PackageManager | undefined;
}

/** Distributions that an extension supports. Both limits are compared number by number: `20.04.6` is from `20.04`, `9.10` is not below `9.9`. */
export interface SupportedDistribution {
  /** The exact `ID`; a derivative with another `ID` is another row. */
  readonly id: string;
  /** The first version that is supported; default: every one. */
  readonly from?: string;
  /** The first version that is not supported any more; default: none. */
  readonly below?: string;
}

/**
 * Reads what the machine says of itself, from `/etc/os-release` or else `/usr/lib/os-release`. A file that is missing,
 * cannot be read or is malformed is no error: what it does not say is `undefined`, or the default of os-release(5).
 */
export async function readDistribution(host: Host): Promise<Distribution> {
  const fields = parseOsRelease(readOsRelease(host));
  const id = (fields.get('ID') ?? 'linux').toLowerCase();
  const idLike = (fields.get('ID_LIKE') ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  const versionId = fields.get('VERSION_ID');
  const isImage = existsSync(host.path(OSTREE_MARK));
  return {
    id,
    idLike,
    versionId,
    codename: fields.get('VERSION_CODENAME'),
    name: fields.get('PRETTY_NAME') ?? fields.get('NAME') ?? 'Linux',
    packageManager: isImage ? undefined : choosePackageManager([id, ...idLike], versionId),
  };
}

/**
 * Gives the distribution when one of `supported` names it, and throws `UNSUPPORTED_SYSTEM` (exit code 51) that says what
 * was found and what is supported when none does. A machine that tells no version matches only a row without limits.
 */
export async function requireDistribution(
  host: Host,
  supported: readonly SupportedDistribution[],
): Promise<Distribution> {
  const distribution = await readDistribution(host);
  // Every row is looked at, so that a wrong limit is found on the first machine and not on the last.
  if (supported.map((row) => isWithin(distribution, row)).includes(true)) return distribution;
  const { name, id, versionId } = distribution;
  throw new HandlerError(
    'UNSUPPORTED_SYSTEM',
    `this extension does not support ${oneLine(name)} (${oneLine([id, versionId ?? 'without a version'].join(' '))}); ` +
      `it supports ${supported.map(describe).join(', ') || 'nothing'}; use a VM image of one of these`,
  );
}

/**
 * The assignments of an os-release file. Values may stand in quotes of both kinds; a backslash keeps the next character,
 * inside single quotes it is one itself. The last of equal keys wins, an empty value counts as none, and a line that is
 * no assignment, or whose quotes do not close, is left out.
 */
export function parseOsRelease(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    const [, key, raw] = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (key === undefined || raw === undefined) continue;
    const value = unquote(raw);
    if (value === undefined) continue;
    if (value === '') fields.delete(key);
    else fields.set(key, value);
  }
  return fields;
}

const OS_RELEASE_FILES = ['/etc/os-release', '/usr/lib/os-release'];
/** Stands on a system whose root is an image, which no package manager can change in place. */
const OSTREE_MARK = '/run/ostree-booted';
const LONGEST_NAME = 100;

function readOsRelease(host: Host): string {
  for (const file of OS_RELEASE_FILES) {
    try {
      return readFileSync(host.path(file), 'utf8');
    } catch {
      // The next one may say it.
    }
  }
  return '';
}

/** The value that a shell would assign, without expansion; `undefined` when a quote stays open. */
function unquote(raw: string): string | undefined {
  let value = '';
  let quote = '';
  for (let i = 0; i < raw.length; i++) {
    const character = raw.charAt(i);
    const next = raw.charAt(i + 1);
    if (character === '\\' && quote !== "'" && next !== '') {
      // Within double quotes the shell takes a backslash away before these four only.
      value += quote === '"' && !'$"\\`'.includes(next) ? character + next : next;
      i++;
    } else if (quote === '' ? character === '"' || character === "'" : character === quote) {
      quote = quote === '' ? character : '';
    } else if (quote === '' && (character === ' ' || character === '\t')) {
      break;
    } else {
      value += character;
    }
  }
  return quote === '' ? value : undefined;
}

/** @param ids the distribution and what it derives from, the closest first. */
function choosePackageManager(
  ids: readonly string[],
  versionId: string | undefined,
): PackageManager | undefined {
  for (const id of ids) {
    if (id === 'debian' || id === 'ubuntu') return 'apt';
    if (id === 'azurelinux' || id === 'mariner' || id === 'photon') return 'tdnf';
    if (/^(suse|opensuse|sles)/.test(id)) return 'zypper';
    // Fedora counts its own versions; what derives from it counts those of Red Hat, where dnf came with 8.
    if (id === 'fedora' && ids[0] === 'fedora') return 'dnf';
    if (id === 'rhel' || id === 'centos' || id === 'fedora') return isOld(versionId) ? 'yum' : 'dnf';
  }
  return undefined;
}

function isOld(versionId: string | undefined): boolean {
  return versionId !== undefined && /\d/.test(versionId) && compareNumbers(versionId, '8') < 0;
}

function isWithin(found: Distribution, row: SupportedDistribution): boolean {
  for (const limit of [row.from, row.below]) {
    if (limit !== undefined && !/^\d/.test(limit)) {
      throw new HandlerError('INTERNAL', `the supported version ${limit} of ${row.id} is no number`);
    }
  }
  if (row.id !== found.id) return false;
  if (row.from === undefined && row.below === undefined) return true;
  if (found.versionId === undefined || !/^\d/.test(found.versionId)) return false;
  return (
    (row.from === undefined || compareNumbers(found.versionId, row.from) >= 0) &&
    (row.below === undefined || compareNumbers(found.versionId, row.below) < 0)
  );
}

/** Below zero when `a` is the earlier version. A number that is missing counts as zero. */
function compareNumbers(a: string, b: string): number {
  const left = (a.match(/\d+/g) ?? []).map(Number);
  const right = (b.match(/\d+/g) ?? []).map(Number);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function describe({ id, from, below }: SupportedDistribution): string {
  return [id, from === undefined ? '' : `from ${from}`, below === undefined ? '' : `below ${below}`]
    .filter(Boolean)
    .join(' ');
}

/** What a broken file says must not break the message. */
function oneLine(text: string): string {
  const printable = text.replace(/[^\P{C} ]/gu, '?');
  return printable.length > LONGEST_NAME ? `${printable.slice(0, LONGEST_NAME)}…` : printable;
}
