/**
 * Root file systems of Debian releases, as the script beside this file makes and keeps them. A local VM on one has namespaces of
 * its own, with an own network in which root may change the firewall, and never writes to the root itself.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { NO_OVERLAY } from '../local-vm.ts';

/** Debian 11, 12 and 13. */
export const RELEASES = ['bullseye', 'bookworm', 'trixie'] as const;
/** One of {@link RELEASES}. */
export type Release = (typeof RELEASES)[number];

export interface DebianRoot {
  readonly release: Release;
  /** Folder of the root file system; empty when there is none. */
  readonly folder: string;
  /** Why there is none. */
  readonly reason: string | undefined;
  /** For a title: `Debian 12`, or with the reason why its tests are skipped. */
  readonly title: string;
}

/** Program: `bash MAKE_ROOT RELEASE` prints the folder. */
export const MAKE_ROOT = fileURLToPath(new URL('make-root.sh', import.meta.url));

/** Gives the root file system of a release, made when it is not there. A machine that cannot is a result with its reason. */
export async function findRoot(release: Release): Promise<DebianRoot> {
  const { folder, reason } =
    NO_OVERLAY === undefined ? await make(release) : { folder: '', reason: NO_OVERLAY };
  const name = `Debian ${FIRST_RELEASE + RELEASES.indexOf(release)}`;
  return { release, folder, reason, title: reason === undefined ? name : `${name} (skipped: ${reason})` };
}

const FIRST_RELEASE = 11;

async function make(release: Release): Promise<Pick<DebianRoot, 'folder' | 'reason'>> {
  try {
    const { stdout } = await promisify(execFile)('bash', [MAKE_ROOT, release]);
    return { folder: stdout.trim(), reason: undefined };
  } catch (thrown) {
    const said = thrown instanceof Error && 'stderr' in thrown ? String(thrown.stderr).trim() : '';
    return { folder: '', reason: said || `the root file system of ${release} cannot be made` };
  }
}
