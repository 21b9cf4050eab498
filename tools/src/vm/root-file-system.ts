/**
 * The root file system that a VM is put on instead of this machine's: what it has to hold, and what a new VM on it gets from
 * this machine. The folder itself is never written to; additions go to the VM's own layer.
 * Source: hier(7), hosts(5), resolver(5).
 */
import { chmodSync, chownSync, copyFileSync, lstatSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ToolError } from '../errors.ts';
import type { Network } from './machine-state.ts';
import { isBelow } from './mount-table.ts';
import { resolveUnder } from './root-path.ts';
import { requireRoot, SYSTEM_PATH } from './system-tools.ts';

/**
 * The true path of a root file system. Throws `vm-overlay-unavailable` for an ordinary user, who can have no VM on one, and
 * `ROOTFS_INVALID` for one that lacks what a VM needs, that the VM's folder and it
 * would contain one another, or whose path overlayfs cannot take.
 */
export function readRootfs(folder: string, stateFolder: string, uid: number): string {
  requireRoot(uid);
  const root = trueFolder(folder);
  if (root === undefined) throw invalid(folder, 'it is no folder');
  if (root === '/') throw invalid(folder, "it is this machine's own, which a VM is on without --rootfs");
  if (/[,:\\]/.test(root)) throw invalid(folder, 'its path has one of the characters , : \\ in it');
  const state = truePath(stateFolder);
  if (isBelow(state, root) || isBelow(root, state)) {
    throw invalid(folder, `it and the VM's folder ${stateFolder} contain one another`);
  }
  const missing = PROGRAMS.filter((name) => !hasProgram(root, name));
  if (missing.length > 0) {
    throw invalid(folder, `a VM needs these programs in it, and they are missing: ${missing.join(', ')}`);
  }
  const foreign = FOLDERS.find(
    (name) => lstatSync(join(root, name), { throwIfNoEntry: false })?.isDirectory() === false,
  );
  if (foreign !== undefined) throw invalid(folder, `its /${foreign} is no folder`);
  return root;
}

/**
 * Gives a new VM, in its own layer `upper`, the files that say how names are found: the machine's name servers when the VM has
 * the machine's network, and its hosts when the root file system has none.
 */
export function addNameFiles(rootfs: string, upper: string, network: Network): void {
  const hasHosts = statSync(join(rootfs, 'etc/hosts'), { throwIfNoEntry: false }) !== undefined;
  const names = [...(network === 'host' ? ['resolv.conf'] : []), ...(hasHosts ? [] : ['hosts'])];
  if (names.length === 0) return;
  const etc = join(upper, 'etc');
  mkdirSync(etc, { recursive: true });
  const { mode, uid, gid } = statSync(join(rootfs, 'etc'));
  chownSync(etc, uid, gid);
  chmodSync(etc, mode & 0o7777);
  for (const name of names) {
    try {
      copyFileSync(join('/etc', name), join(etc, name));
      chmodSync(join(etc, name), 0o644);
    } catch {
      // This machine has none either.
    }
  }
}

/** `sh` for the handlers, the others for the VM's own process. All else comes from this machine. */
const PROGRAMS = ['sh', 'flock', 'sleep'];

/** Mount points, and the folder that gets files. A link there would lead out of the root file system. */
const FOLDERS = ['proc', 'sys', 'dev', 'run', 'tmp', 'etc'];

function hasProgram(root: string, name: string): boolean {
  return SYSTEM_PATH.split(':').some((folder) => {
    const file = statSync(resolveUnder(root, `${folder}/${name}`), { throwIfNoEntry: false });
    return file?.isFile() === true && (file.mode & 0o111) !== 0;
  });
}

function trueFolder(folder: string): string | undefined {
  try {
    const path = realpathSync(folder);
    return statSync(path).isDirectory() ? path : undefined;
  } catch {
    return undefined;
  }
}

/** Of a folder that may have to be made yet. */
function truePath(path: string): string {
  const parent = join(path, '..');
  try {
    return realpathSync(path);
  } catch {
    return parent === path ? path : join(truePath(parent), path.slice(parent.length));
  }
}

function invalid(folder: string, why: string): ToolError {
  return new ToolError('ROOTFS_INVALID', `${folder} cannot be the root file system of a VM: ${why}.`, {
    hint: 'Make one, for instance with: debootstrap --variant=minbase bookworm DIR. Then: --rootfs DIR',
  });
}
