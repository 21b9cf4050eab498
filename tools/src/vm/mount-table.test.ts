import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isBelow, type Mount, parseMountInfo, planMounts, readMounts } from './mount-table.ts';

const ROWS = [
  ['27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard', 'plain', '/', 'ext4', false],
  [
    '30 27 8:1 / /my\\040disk rw shared:1 master:2 - xfs /dev/sda1 rw',
    'space, tags',
    '/my disk',
    'xfs',
    false,
  ],
  ['31 27 0:25 / /data ro,nosuid - tmpfs none rw', 'read-only mount', '/data', 'tmpfs', true],
  ['32 27 0:26 / /iso rw - iso9660 /dev/sr0 ro,utf8', 'read-only file system', '/iso', 'iso9660', true],
] as const;

describe('parseMountInfo', () => {
  it.each(ROWS)('reads %j (%s)', (line, _reason, mountPoint, fileSystem, readOnly) => {
    const id = Number(line.split(' ')[0]);
    expect(parseMountInfo(`${line}\n`)).toEqual([{ id, mountPoint, fileSystem, readOnly }]);
  });
});

describe('readMounts', () => {
  it('knows the root of this machine once and no mount point twice', () => {
    const points = readMounts().map((mount) => mount.mountPoint);
    expect(points.filter((point) => point === '/')).toHaveLength(1);
    expect(new Set(points).size).toBe(points.length);
    const all = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).map((mount) => mount.mountPoint);
    expect(all).toEqual(expect.arrayContaining(points));
  });
});

describe('planMounts', () => {
  const isFile = (path: string) => path.startsWith('/etc/');

  it.each<[string, string, boolean, 'overlays' | 'views' | 'files' | undefined, string]>([
    ['/home', 'ext4', false, 'overlays', 'a disk'],
    ['/tmp', 'tmpfs', false, 'overlays', 'files in memory'],
    ['/data', 'ext4', true, 'views', 'read-only on the machine too'],
    ['/mnt/cgroup', 'cgroup2', false, 'views', "the kernel's, wherever it is"],
    ['/sys/fs/cgroup', 'cgroup2', false, 'views', 'handlers look at their limits'],
    ['/etc/hosts', 'ext4', false, 'files', 'one file, as containers have'],
    ['/run/user/0', 'tmpfs', false, undefined, 'the VM has a /run of its own'],
    ['/dev/shm', 'tmpfs', false, undefined, 'the VM has a /dev of its own'],
    ['/sys/kernel/debug', 'debugfs', false, undefined, "reaches the machine's kernel"],
    ['/misc', 'autofs', false, undefined, 'mounts by itself when it is looked at'],
    ['/vm/state/x', 'ext4', false, undefined, "in the VM's own folder"],
    ['/runtime', 'ext4', false, 'overlays', 'not below /run'],
  ])('puts %s (%s, read-only %s) into %s: %s', (mountPoint, fileSystem, readOnly, list) => {
    const mount: Mount = { id: 2, mountPoint, fileSystem, readOnly };
    const plan = planMounts([mount], '/vm/state', isFile);
    const { overlays, views, files } = { ...plan, overlays: plan.overlays.slice(1) };
    const found = Object.entries({ overlays, views, files }).filter(([, points]) =>
      points.includes(mountPoint),
    );
    expect(found.map(([name]) => name)).toEqual(list === undefined ? [] : [list]);
  });

  it('starts with the root and has outer folders before inner ones', () => {
    const mount = (mountPoint: string): Mount => ({ id: 1, mountPoint, fileSystem: 'ext4', readOnly: false });
    const plan = planMounts(['/var/lib/x', '/', '/var', '/var/lib'].map(mount), '/vm', isFile);
    expect(plan.overlays).toEqual(['/', '/var', '/var/lib', '/var/lib/x']);
  });
});

describe('isBelow', () => {
  it.each([
    ['/a', '/a', true],
    ['/a/b', '/a', true],
    ['/ab', '/a', false],
    ['/a', '/', true],
  ])('says of %s and %s: %s', (path, folder, answer) => {
    expect(isBelow(path, folder)).toBe(answer);
  });
});
