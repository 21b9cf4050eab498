/**
 * The mounts that a process sees, and what becomes of each in the VM: an overlay of its own, a read-only view, a
 * private copy, or nothing. Source: proc(5), `/proc/self/mountinfo`; `/proc/self/fdinfo`.
 */
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';

export interface Mount {
  readonly id: number;
  readonly mountPoint: string;
  readonly fileSystem: string;
  readonly readOnly: boolean;
}

export interface MountPlan {
  /** Folders with an upper folder of their own, outer ones first; `/` is the first. */
  readonly overlays: readonly string[];
  /** Shown read-only, as there is nothing to change or it is the kernel's. */
  readonly views: readonly string[];
  /** Single files with a mount on them (containers do so with `/etc/hosts`). */
  readonly files: readonly string[];
}

/** Folders that the VM gets new, so what is mounted below them on the machine does not matter. */
const OWN_FOLDERS = ['/proc', '/sys', '/dev', '/run'];

/** Kernel interfaces without files of their own. */
const PSEUDO = new Set(
  (
    'proc sysfs devtmpfs devpts cgroup cgroup2 mqueue debugfs tracefs securityfs selinuxfs pstore bpf configfs ' +
    'fusectl hugetlbfs efivarfs binfmt_misc rpc_pipefs nsfs nfsd ramfs'
  ).split(' '),
);

const O_PATH = 0o10000000;

/** Reads `/proc/self/mountinfo`; a mount under another one is left out. */
export function readMounts(): Mount[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).filter(isVisible);
}

export function parseMountInfo(text: string): Mount[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [left = '', right = ''] = line.split(' - ');
      const [id, , , , mountPoint = '', options = ''] = left.split(' ');
      const [fileSystem = '', , superOptions = ''] = right.split(' ');
      const readOnly = [options, superOptions].some((list) => list.split(',').includes('ro'));
      return { id: Number(id), mountPoint: unescapeOctal(mountPoint), fileSystem, readOnly };
    });
}

/** `except` is the VM's own folder: what is mounted there is not shown inside. */
export function planMounts(mounts: readonly Mount[], except: string, isFile = isRegularFile): MountPlan {
  const overlays = ['/'];
  const views: string[] = [];
  const files: string[] = [];
  const sorted = [...mounts].sort((a, b) => a.mountPoint.length - b.mountPoint.length);
  for (const { mountPoint, fileSystem, readOnly } of sorted) {
    const isControlGroup = isBelow(mountPoint, '/sys/fs/cgroup');
    if (mountPoint === '/' || fileSystem === 'autofs' || isBelow(mountPoint, except)) continue;
    if (OWN_FOLDERS.some((folder) => isBelow(mountPoint, folder)) && !isControlGroup) continue;
    if (isFile(mountPoint)) files.push(mountPoint);
    else if (readOnly || PSEUDO.has(fileSystem) || isControlGroup) views.push(mountPoint);
    else overlays.push(mountPoint);
  }
  return { overlays, views, files };
}

/** True for `folder` itself and all below it. */
export function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

// The order of mountinfo says nothing about what lies on top; the kernel does.
function isVisible(mount: Mount): boolean {
  try {
    const fd = openSync(mount.mountPoint, O_PATH);
    try {
      const id = /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
      return Number(id) === mount.id;
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}

function isRegularFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === false;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
