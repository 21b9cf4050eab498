/**
 * A disk that can be filled to the last page or the last inode: a small tmpfs in a mount namespace of its own, on which a laid-out handler
 * has all that it writes. Only its program stays where it is. The machine's own disk is never full.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readlinkSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../await-condition.ts';
import type { LaidOutHandler } from '../unpacked-handler.ts';

export interface SmallDisk {
  /** Words that run a command there. */
  readonly wrapper: readonly string[];
  /** A path of the handler, as it is seen from outside. */
  path(inside: string): string;
  /** Leaves so many pages of 4 KiB for all that is written from now on. */
  leavePages(count: number): void;
  leaveInodes(count: number): void;
  /** Takes away what fills it. */
  free(): void;
  /** Waits for the end of all that runs there. */
  quiet(): Promise<void>;
  /** Takes the disk away; what still runs there keeps it. */
  remove(): void;
}

export interface SmallDiskOptions {
  /** True: the handler's log folder is on it, too. */
  readonly withLogs?: boolean;
  /** Default: 1024. */
  readonly pages?: number;
  /** Default: 256. */
  readonly inodes?: number;
}

const PAGE_BYTES = 4096;
const FILLER = '.filler';

/** Moves what is laid out so far to a small disk. Settings that are written later are not on it. Needs root. */
export async function putOnSmallDisk(
  { libFolder, logFolder }: LaidOutHandler,
  { withLogs = false, pages = 1024, inodes = 256 }: SmallDiskOptions = {},
): Promise<SmallDisk> {
  const options = `size=${pages * PAGE_BYTES},nr_inodes=${inodes},mode=755`;
  const holder = spawn(
    'unshare',
    ['--mount', '/bin/sh', '-ec', MOUNT, 'sh', libFolder, options, withLogs ? logFolder : ''],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const [ready] = await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit')]);
  if (String(ready) !== 'ready\n') throw new Error(`no small disk could be mounted: ${ready}`);
  const path = (inside: string): string => `/proc/${holder.pid}/root${inside}`;
  const filler = path(join(libFolder, FILLER));
  return {
    wrapper: ['nsenter', `--mount=/proc/${holder.pid}/ns/mnt`],
    path,
    leavePages: (count) => {
      const { bavail } = statfsSync(path(libFolder));
      writeFileSync(join(filler, 'pages'), Buffer.alloc((bavail - count) * PAGE_BYTES));
    },
    leaveInodes: (count) => {
      for (let left = statfsSync(path(libFolder)).ffree; left > count; left--) {
        writeFileSync(join(filler, `${left}`), '');
      }
    },
    free: () => {
      for (const name of readdirSync(filler)) rmSync(join(filler, name));
    },
    quiet: async () => {
      await until('the end of what runs on the small disk', () => neighbours(holder.pid ?? 0).length === 0);
    },
    remove: () => holder.stdin.end(),
  };
}

/** Every file below a folder that some program had not finished writing, and every lock. */
export function unfinishedFiles(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => /\.tmp$|\.part$/.test(name) || /(^|\/)\.lock/.test(name),
  );
}

/** The other processes in the mount namespace of one. */
function neighbours(pid: number): string[] {
  const namespace = (of: string): string | undefined => {
    try {
      return readlinkSync(`/proc/${of}/ns/mnt`);
    } catch {
      return undefined;
    }
  };
  const own = namespace(`${pid}`);
  return readdirSync('/proc').filter(
    (name) => /^\d+$/.test(name) && name !== `${pid}` && namespace(name) === own,
  );
}

/** It lives until the test closes its input. */
const MOUNT = `
mkdir "$1.disk"
mount -t tmpfs -o "$2" tmpfs "$1.disk"
tar -C "$1" --exclude=bin -cf - . | tar -C "$1.disk" -xf -
mkdir "$1.disk/${FILLER}"
for bin in "$1"/*/bin; do
  target="$1.disk\${bin#"$1"}"
  mkdir "$target"
  mount --bind "$bin" "$target"
done
if [ -n "$3" ]; then
  mkdir "$1.disk/.log"
  cp -a "$3/." "$1.disk/.log"
  mount --bind "$1.disk/.log" "$3"
fi
mount --rbind "$1.disk" "$1"
echo ready
exec cat >/dev/null
`;
