/**
 * What is mounted, and what the system is told to mount: the tables of the kernel and of fstab.
 * Source: proc_pid_mountinfo(5), fstab(5), udev's links in `/dev/disk`.
 */
import { readFileSync, statSync } from 'node:fs';
import type { StepContext } from './step.ts';

/** A mounted file system. */
export interface Mount {
  readonly mountPoint: string;
  /** `/` unless a folder of the file system is mounted. */
  readonly root: string;
  /** `8:17` */
  readonly device: string;
  readonly type: string;
  /** What was mounted, such as `/dev/sdc1`. */
  readonly source: string;
  /** Options of the mount and of the file system, joined by commas. */
  readonly options: string;
  readonly isReadOnly: boolean;
}

/** A line of fstab. */
export interface FstabEntry {
  /** `UUID=…`, `LABEL=…`, `/dev/…` */
  readonly spec: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly options: readonly string[];
  /** When it is checked at boot; 0: never. */
  readonly pass: number;
}

/** What is mounted now, in the order of the mounting. */
export function readMounts({ host }: StepContext): readonly Mount[] {
  return parseMountinfo(readFileSync(host.path('/proc/self/mountinfo'), 'utf8'));
}

/** The lines of fstab; none when there is no such file. */
export function readFstab({ host }: StepContext): readonly FstabEntry[] {
  try {
    return parseFstab(readFileSync(host.path('/etc/fstab'), 'utf8'));
  } catch {
    return [];
  }
}

/** Reads mountinfo. */
export function parseMountinfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line): Mount[] => {
    const words = line.split(' ');
    const dash = words.indexOf('-', FIRST_OPTIONAL_FIELD);
    const [, , device, root, mountPoint, options] = words;
    const [type, source, superOptions] = dash === -1 ? [] : words.slice(dash + 1);
    if (device === undefined || root === undefined || mountPoint === undefined) return [];
    if (options === undefined || type === undefined || source === undefined) return [];
    const all = [...options.split(','), ...(superOptions ?? '').split(',')].filter((option) => option !== '');
    return [
      {
        mountPoint: decodeOctal(mountPoint),
        root: decodeOctal(root),
        device,
        type,
        source: decodeOctal(source),
        options: [...new Set(all)].join(','),
        isReadOnly: all.includes('ro'),
      },
    ];
  });
}

/** Reads fstab. Lines that are no entries are passed over. */
export function parseFstab(text: string): readonly FstabEntry[] {
  return text.split('\n').flatMap((line): FstabEntry[] => {
    const [spec, mountPoint, type, options = 'defaults', , pass = '0'] = line.trim().split(/\s+/);
    if (spec === undefined || spec.startsWith('#') || mountPoint === undefined || type === undefined)
      return [];
    return [
      {
        spec: decodeOctal(spec.replace(/"/g, '')),
        mountPoint: decodeOctal(mountPoint),
        type,
        options: options.split(','),
        pass: Number(pass) || 0,
      },
    ];
  });
}

/** The device that a line of fstab or a user names, without links; `undefined` when the VM has none. */
export async function findDevice(context: StepContext, spec: string): Promise<string | undefined> {
  const isTag = /^(?:PART)?(?:UUID|LABEL)=/.test(spec);
  if (!isTag && !spec.startsWith('/dev/')) return undefined;
  const tagged = isTag ? await context.run(['findfs', spec], { accept: [0, 1, 2] }) : undefined;
  const path = tagged === undefined ? spec : tagged.stdout.trim();
  if (path === '' || deviceNumber(context, path) === undefined) return undefined;
  const { stdout } = await context.run(['readlink', '-f', '--', path]);
  return stdout.replace(/\n$/, '');
}

/** The mounts of a device. A btrfs has a number of its own, and is known by what was mounted. */
export function mountsOf(
  context: Pick<StepContext, 'host'>,
  device: string,
  mounts: readonly Mount[],
): readonly Mount[] {
  const number = deviceNumber(context, device);
  return mounts.filter(
    (mount) =>
      mount.device === number ||
      (mount.source.startsWith('/dev/') && deviceNumber(context, mount.source) === number),
  );
}

/** mountinfo has six fields before the optional ones. */
const FIRST_OPTIONAL_FIELD = 6;

/** `8:17` for a block device; `undefined` for what is none. */
function deviceNumber({ host }: Pick<StepContext, 'host'>, path: string): string | undefined {
  const stats = statSync(host.path(path), { throwIfNoEntry: false });
  if (stats?.isBlockDevice() !== true) return undefined;
  // Source: gnu_dev_major(3): 12 bits of major and 20 of minor, mixed.
  const number = BigInt(stats.rdev);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n);
  const minor = (number & 0xffn) | ((number >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** A space is `\040`. */
function decodeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
}
