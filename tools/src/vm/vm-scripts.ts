/**
 * The shell scripts that put a VM together. Three steps, as a pid namespace holds only for children: (1) in new mount
 * namespaces, mount everything; (2) start the keeper in a new pid namespace; (3) the keeper mounts proc, makes it all the
 * root and waits. All programs up to there are this machine's; the keeper's wait needs two of the VM's own. The tool then
 * takes the machine's root out of the VM. Nothing is mounted in the machine's own mount namespace.
 * Source: pivot_root(2), mount(8), overlayfs in the kernel's documentation (`Documentation/filesystems/overlayfs.rst`).
 */
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { layerOf, type MachineState, type Network, readBootId } from './machine-state.ts';
import { isBelow, type MountPlan, planMounts, readMounts } from './mount-table.ts';
import { addNameFiles } from './root-file-system.ts';

/** Line of the keeper's output: the VM is ready. */
export const READY_REPORT = 'ready';
/** Start of a line that names a mount which could not be overlaid. */
export const READ_ONLY_REPORT = 'read-only ';

/** Where the machine's root is in the VM until the tool takes it out. In the VM's own /dev, so that no file of the VM is touched. */
export const OLD_ROOT = 'dev/.machine';

/** A VM on a root file system of its own shows nothing that is mounted on this machine. */
const ROOT_ONLY: MountPlan = { overlays: ['/'], views: [], files: [] };

const MOUNT_FOLDERS = [
  'mkdir -p root/proc root/sys root/dev root/run',
  '[ -d root/tmp ] || mkdir -m 1777 root/tmp',
];

/** A small Debian has neither `ip` nor `ifconfig`, but always perl: SIOCSIFFLAGS (0x8914) with IFF_UP. */
const LOOPBACK_UP = [
  '{ ip link set lo up || ifconfig lo up ||',
  `perl -MSocket -e 'socket(S,AF_INET,SOCK_DGRAM,0); ioctl(S,0x8914,$_=pack("a16s","lo",1)) or exit 1'; } 2>/dev/null ||`,
  "{ echo 'The loopback interface of the VM cannot be set up. Install the package iproute2.' >&2; exit 1; }",
].join(' ');

/** Devices that do not reach the machine's hardware. */
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];

/** Makes the folders that the mounts need and returns step 1. Arguments of the script: those of steps 2 and 3. */
export function mountScript(state: MachineState, rootfs: string | undefined, network: Network): string {
  const plan = rootfs === undefined ? planMounts(readMounts(), state.folder) : ROOT_ONLY;
  for (const mountPoint of plan.overlays) {
    const isNew = prepareLayer(state, mountPoint, mountPoint === '/' ? (rootfs ?? '/') : mountPoint);
    if (isNew && rootfs !== undefined) addNameFiles(rootfs, join(state.folder, layerOf('/').upper), network);
  }
  for (const file of plan.files) prepareCopy(state, file);
  prepareRun(state);
  const [, ...inner] = plan.overlays;
  const views = plan.views.filter((view) => !isBelow(view, '/sys'));
  const controlGroups = plan.views.filter((view) => isBelow(view, '/sys'));
  return [
    'set -e',
    overlay('/', rootfs),
    ...(rootfs === undefined ? [] : MOUNT_FOLDERS),
    ...inner.map((mountPoint) => overlayOrView(mountPoint)),
    ...views.map((view) => `${bindReadOnly(view)} || :`),
    ...plan.files.map((file) => `mount -n --bind ${quote(layerOf(file).file)} ${under(file)} || :`),
    // The VM does not see its own state: keys, other tools' files, and an endless nesting.
    `[ ! -d ${under(state.folder)} ] || mount -n -t tmpfs -o ro,size=4k,mode=700 handlerkit ${under(state.folder)}`,
    // Sockets of the machine's services are in /run: a handler must not reach them.
    'mount -n --bind run root/run',
    'mount -n -t sysfs -o ro,nosuid,nodev,noexec sysfs root/sys',
    ...controlGroups.map((view) => `${bindReadOnly(view)} || :`),
    'mount -n -t tmpfs -o nosuid,mode=755,size=16m handlerkit root/dev',
    'mkdir root/dev/pts root/dev/shm',
    `for name in ${DEVICES.join(' ')}; do : >root/dev/$name; mount -n --bind /dev/$name root/dev/$name; done`,
    'mount -n -t devpts -o newinstance,nosuid,noexec,ptmxmode=0666,mode=620,gid=5 devpts root/dev/pts',
    'mount -n -t tmpfs -o nosuid,nodev,mode=1777 handlerkit root/dev/shm',
    'ln -s pts/ptmx root/dev/ptmx',
    'ln -s /proc/self/fd root/dev/fd',
    'for name in stdin:0 stdout:1 stderr:2; do ln -s /proc/self/fd/${name#*:} root/dev/${name%:*}; done',
    ...(network === 'loopback' ? [LOOPBACK_UP] : []),
    `mkdir root/${OLD_ROOT}`,
    'exec unshare --pid /bin/sh -c "$1" handlerkit-vm "$2"',
  ].join('\n');
}

/** Step 2. Its first child is process 1 of the new pid namespace; its number here is reported. */
export function launchScript(): string {
  return '/bin/sh -c "$1" handlerkit-vm & echo $!';
}

/** Step 3, the keeper. Descriptor 3 is the lock that the tools share. It is always in a wait, so orphans are reaped. */
export function keeperScript(state: MachineState): string {
  const bootId = readBootId(state);
  return [
    'set -e',
    'mount -n -t proc -o nosuid,nodev,noexec proc root/proc',
    // What is written there changes the kernel of the machine.
    'mount -n -o bind,ro root/proc/sys root/proc/sys',
    'if [ -e /proc/sysrq-trigger ]; then mount -n -o bind,ro root/proc/sysrq-trigger root/proc/sysrq-trigger; fi',
    ...(bootId === undefined
      ? []
      : [`mount -n -o bind,ro ${quote(bootId.file)} root/proc/sys/kernel/random/boot_id`]),
    'cd root',
    `pivot_root . ${OLD_ROOT}`,
    'cd /',
    'set +e',
    `echo ${READY_REPORT}`,
    'exec >/dev/null 2>&1',
    'while :; do',
    // A handler can kill the child that waits, or break the program: then nothing is known, so nothing ends.
    '  flock -x 3 || { sleep 0.2 || exit; continue; }',
    '  set -- /proc/[0-9]*',
    '  [ $# -gt 1 ] || exit 0',
    '  flock -u 3',
    '  sleep 0.2 || exit',
    'done',
  ].join('\n');
}

function overlay(mountPoint: string, lower = mountPoint): string {
  const { upper, work } = layerOf(mountPoint);
  // Without `redirect_dir` a handler could not rename a folder of the machine.
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work},index=off,redirect_dir=on`;
  return `mount -n -t overlay -o ${quote(options)} handlerkit ${under(mountPoint)}`;
}

function overlayOrView(mountPoint: string): string {
  const view = `{ ${bindReadOnly(mountPoint)} && echo ${quote(READ_ONLY_REPORT + mountPoint)}; }`;
  // `lowerdir` takes a list, so a name with its separators cannot be one.
  const change = /[,:\\]/.test(mountPoint) ? view : `${overlay(mountPoint)} 2>/dev/null || ${view}`;
  // The handler may have deleted the mount point in the VM.
  return `if [ -d ${under(mountPoint)} ]; then ${change} || :; fi`;
}

function bindReadOnly(mountPoint: string): string {
  return `mount -n -o bind,ro ${quote(mountPoint)} ${under(mountPoint)} 2>/dev/null`;
}

/** True when the layer is new. */
function prepareLayer(state: MachineState, mountPoint: string, lower: string): boolean {
  const { upper, work } = layerOf(mountPoint);
  mkdirSync(join(state.folder, work), { recursive: true });
  if (mkdirSync(join(state.folder, upper), { recursive: true }) === undefined) return false;
  // The top of the overlay has the mode and owner of its upper folder.
  const { mode, uid, gid } = statSync(lower);
  chownSync(join(state.folder, upper), uid, gid);
  chmodSync(join(state.folder, upper), mode & 0o7777);
  return true;
}

function prepareCopy(state: MachineState, file: string): void {
  const copy = join(state.folder, layerOf(file).file);
  if (existsSync(copy)) return;
  mkdirSync(dirname(copy), { recursive: true });
  try {
    copyFileSync(file, copy);
  } catch {
    // A socket or a device: the mount of it fails as well, and the VM goes without.
  }
}

function prepareRun(state: MachineState): void {
  const lockFolder = join(state.runFolder, 'lock');
  if (mkdirSync(lockFolder, { recursive: true }) !== undefined) {
    chmodSync(state.runFolder, 0o755);
    chmodSync(lockFolder, 0o1777);
  }
  // systemd-resolved keeps the list of name servers here; without it no name is found.
  try {
    const resolver = realpathSync('/etc/resolv.conf');
    if (!isBelow(resolver, '/run')) return;
    const copy = join(state.runFolder, resolver.slice('/run'.length));
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(resolver, copy);
  } catch {
    // No name servers on the machine, so none in the VM.
  }
}

/** The place of `path` while the VM is put together, quoted. */
function under(path: string): string {
  return quote(path === '/' ? 'root' : `root${path}`);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
