/**
 * Repairs one disk: unmounts it, checks and mends its file system, mounts it as it was, and looks after each whether it is
 * so. A disk that is in use stays mounted, and the status says by what. How it was mounted is noted before it is unmounted,
 * so that a run which was killed in between can be ended by the next one.
 */
import { readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readTextIfThere, writeWholeFile } from '@handlerkit/sdk';
import * as z from 'zod';
import { accessError } from './errors.ts';
import { canCheck, checkFileSystem } from './file-systems.ts';
import { findDevice, mountsOf, readFstab, readMounts } from './mounts.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';
import type { Undo } from './undo.ts';

/**
 * Plans the repair of the disk that `name` means: a mount point with or without its first slash, or what fstab calls the
 * disk (`/dev/…`, `UUID=…`, `LABEL=…`). Throws `DISK_UNKNOWN` for one that is not there or that cannot be unmounted.
 */
export async function planDiskRepair(context: StepContext, name: string): Promise<PlannedStep> {
  const disk = await findDisk(context, name);
  if (!canCheck(context, disk.type, 'thorough')) {
    throw accessError(
      'PROGRAM_MISSING',
      `nothing on this VM can repair ${disk.device}, a file system of the type ${disk.type}`,
    );
  }
  return { name: 'disk', act: (undo) => repair(context, disk, undo) };
}

const Disk = z.object({
  device: z.string(),
  mountPoint: z.string(),
  type: z.string(),
  options: z.string(),
  /** True: fstab has it at this place, so `mount MOUNTPOINT` does. */
  isInFstab: z.boolean(),
  /** True: it is mounted again at the end. */
  isToBeMounted: z.boolean(),
});
type Disk = z.infer<typeof Disk>;

const NOTE = 'disk-repair.json';
const LIMIT_MS = 120_000;

async function repair(context: StepContext, disk: Disk, undo: Undo): Promise<StepReport> {
  const { device, mountPoint, type } = disk;
  const note = context.host.path(join(context.dataFolder, NOTE));
  const wasMounted = mountsOf(context, device, readMounts(context)).length > 0;
  if (wasMounted) {
    writeWholeFile(note, JSON.stringify(disk));
    undo.add(`the mount of ${device} on ${mountPoint}`, async () => {
      await mountAgain(context, disk);
      rmSync(note, { force: true });
    });
    await unmount(context, disk);
  }
  const { outcome, needsReboot } = await checkFileSystem(context, device, type, 'thorough');
  if (disk.isToBeMounted) await mountAgain(context, disk);
  rmSync(note, { force: true });
  const found = outcome === 'clean' ? 'no errors were left' : 'errors were corrected';
  const mounted = disk.isToBeMounted
    ? `, and is mounted on ${mountPoint}`
    : ', and stays unmounted, as it was';
  return {
    changed: outcome === 'mended' || (disk.isToBeMounted && !wasMounted),
    message: `${device} was ${wasMounted ? 'unmounted and ' : ''}checked, ${found}${mounted}`,
    ...(needsReboot ? { warning: `the VM has to be restarted because of ${device}` } : {}),
  };
}

async function findDisk(context: StepContext, name: string): Promise<Disk> {
  const isSpec = name.startsWith('/dev/') || name.includes('=');
  const mountPoint = `/${name.replace(/^\/+|\/+$/g, '')}`;
  if (!isSpec && (mountPoint === '/' || /(?:^|\/)\.{1,2}(?:\/|$)/.test(mountPoint))) {
    throw accessError(
      'DISK_UNKNOWN',
      `${mountPoint} cannot be unmounted on a running VM; check it with check_disk`,
    );
  }
  const mounts = readMounts(context).filter(({ type }) => type !== 'autofs');
  const fstab = readFstab(context);
  const wanted = isSpec ? await findDevice(context, name) : undefined;
  const mounted = isSpec
    ? wanted === undefined
      ? undefined
      : mountsOf(context, wanted, mounts)[0]
    : mounts.findLast((mount) => mount.mountPoint === mountPoint);
  if (mounted !== undefined) {
    const device = await findDevice(context, mounted.source);
    if (device === undefined) throw unknown(name, `what is mounted on ${mounted.mountPoint} is no disk`);
    refuseOtherMounts(context, device, mounted.mountPoint);
    const { type, options } = mounted;
    const isInFstab = fstab.some((entry) => entry.mountPoint === mounted.mountPoint);
    return { device, mountPoint: mounted.mountPoint, type, options, isInFstab, isToBeMounted: true };
  }
  const noted = readNote(context);
  if (noted !== undefined && (noted.mountPoint === mountPoint || noted.device === wanted)) return noted;
  for (const entry of fstab) {
    const device = await findDevice(context, entry.spec);
    if (device === undefined || (isSpec ? device !== wanted : entry.mountPoint !== mountPoint)) continue;
    const { stdout } = await context.run(['blkid', '-o', 'value', '-s', 'TYPE', device], { accept: [0, 2] });
    const type = stdout.trim() || entry.type;
    const isToBeMounted = entry.mountPoint.startsWith('/') && !entry.options.includes('noauto');
    return {
      device,
      mountPoint: entry.mountPoint,
      type,
      options: entry.options.join(','),
      isInFstab: true,
      isToBeMounted,
    };
  }
  throw unknown(name, 'it is neither mounted nor in /etc/fstab');
}

function unknown(name: string, why: string): Error {
  return accessError('DISK_UNKNOWN', `disk_name: ${name} cannot be repaired: ${why}`);
}

/** Unmounting one of several mounts would leave the file system in use. */
function refuseOtherMounts(context: StepContext, device: string, mountPoint: string): void {
  const mounts = readMounts(context);
  const others = mountsOf(context, device, mounts).filter((mount) => mount.mountPoint !== mountPoint);
  const inside = mounts.filter((mount) => mount.mountPoint.startsWith(`${mountPoint}/`));
  const places = [...new Set([...others, ...inside].map((mount) => mount.mountPoint))];
  if (places.length === 0) return;
  throw accessError('DISK_IN_USE', `${mountPoint} cannot be unmounted: unmount ${places.join(', ')} first`);
}

/** Neither forced nor lazy: those take the disk away from programs that write to it. */
async function unmount(context: StepContext, { device, mountPoint }: Disk): Promise<void> {
  const { exitCode, stderr } = await context.run(['umount', '--', mountPoint], {
    accept: Array.from({ length: 256 }, (_, code) => code),
    timeoutMs: LIMIT_MS,
  });
  if (mountsOf(context, device, readMounts(context)).length === 0) return;
  const users = findUsers(context, mountPoint);
  const who =
    users.length > 0 ? `it is used by ${users.join(', ')}` : stderr.trim() || `exit code ${exitCode}`;
  throw accessError(
    'DISK_IN_USE',
    `${device} cannot be unmounted from ${mountPoint}: ${who}; end that and try again`,
  );
}

/** Mounts it unless it is mounted. Throws `DISK_NOT_MOUNTED`. */
async function mountAgain(context: StepContext, disk: Disk): Promise<void> {
  const { device, mountPoint, type, options, isInFstab } = disk;
  const isMounted = (): boolean =>
    mountsOf(context, device, readMounts(context)).some((mount) => mount.mountPoint === mountPoint);
  if (isMounted()) return;
  const argv = isInFstab
    ? ['mount', '--', mountPoint]
    : ['mount', '-t', type, '-o', options, '--', device, mountPoint];
  const { stderr } = await context.run(argv, {
    accept: Array.from({ length: 256 }, (_, code) => code),
    timeoutMs: LIMIT_MS,
  });
  if (isMounted()) return;
  throw accessError(
    'DISK_NOT_MOUNTED',
    `${device} could not be mounted on ${mountPoint} again: ${stderr.trim()}`,
  );
}

/**
 * Processes that have their folder, their program or an open file there: `bash (123)`. Only what may be meant by its name is
 * looked at more closely, as a look at a disk of the network can take for ever; one in a root of its own has another name.
 */
function findUsers({ host }: StepContext, mountPoint: string): readonly string[] {
  const proc = host.path('/proc');
  const disk = statSync(host.path(mountPoint), { throwIfNoEntry: false })?.dev;
  const isInside = (link: string): boolean => {
    try {
      return readlinkSync(link).includes(mountPoint) && statSync(link).dev === disk;
    } catch {
      return false;
    }
  };
  const isUser = (pid: string): boolean => {
    const links = ['cwd', 'root', 'exe', ...listNames(join(proc, pid, 'fd')).map((name) => `fd/${name}`)];
    return links.some((link) => isInside(join(proc, pid, link)));
  };
  return listNames(proc)
    .filter((pid) => /^\d+$/.test(pid) && isUser(pid))
    .slice(0, MOST_USERS)
    .map((pid) => `${readTextIfThere(join(proc, pid, 'comm'))?.trim() ?? 'a process'} (${pid})`);
}

/** As many as a status can show. */
const MOST_USERS = 10;

function listNames(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readNote(context: StepContext): Disk | undefined {
  try {
    const text = readTextIfThere(context.host.path(join(context.dataFolder, NOTE)));
    return text === undefined ? undefined : Disk.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
