/** The programs of util-linux that the VM needs, found on the tool's PATH and in the usual system folders. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { MachineError } from './machine-error.ts';

/** For scripts that run as root: only the system's own folders. */
export const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

export interface SystemTools {
  readonly unshare: string;
  readonly nsenter: string;
  readonly setsid: string;
  readonly setpriv: string;
  readonly flock: string;
}

/** Absolute paths of all that an overlay needs. Throws `vm-overlay-unavailable` without root, else `vm-tool-missing`. */
export function findTools(deps: { readonly uid: number; readonly searchPath: string }): SystemTools {
  requireRoot(deps.uid);
  const find = (name: string) => findTool(name, deps.searchPath);
  // The script that mounts finds these by itself; look here so that a missing one is named.
  for (const name of ['mount', 'umount', 'pivot_root']) find(name);
  return {
    unshare: find('unshare'),
    nsenter: find('nsenter'),
    setsid: find('setsid'),
    setpriv: find('setpriv'),
    flock: find('flock'),
  };
}

/** Throws `vm-overlay-unavailable` for an ordinary user. */
export function requireRoot(uid: number): void {
  if (uid === 0) return;
  throw new MachineError(
    'vm-overlay-unavailable',
    'Only root can make an overlay of this machine.',
    'Run the command as root, or leave out what needs an overlay: --isolation overlay, --network loopback, --rootfs and --agent waagent.',
  );
}

/** Absolute path of one program. Throws `vm-tool-missing`, naming the package that has it. */
export function findTool(name: string, searchPath: string, packageName = 'util-linux'): string {
  for (const folder of `${SYSTEM_PATH}:${searchPath}`.split(':')) {
    if (!folder.startsWith('/')) continue;
    const path = join(folder, name);
    if (isExecutable(path)) return path;
  }
  throw new MachineError(
    'vm-tool-missing',
    `The program "${name}" of the package ${packageName} is missing.`,
    `Install the package ${packageName} on this machine.`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
