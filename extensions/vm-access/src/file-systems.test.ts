import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createTestMachine, type TestMachine } from '@handlerkit/sdk/testing';
import { afterEach, expect, it } from 'vitest';
import { type CheckKind, canCheck, checkFileSystem } from './file-systems.ts';
import { createContext } from './fixtures/sshd-machine.ts';
import { parseFstab, parseMountinfo } from './mounts.ts';

let machine: TestMachine | undefined;
afterEach(() => machine?.remove());

it.each<[string, string, CheckKind, number, string]>([
  ['ext4', 'e2fsck -y', 'mend', 0, 'clean'],
  ['ext4', 'e2fsck -y', 'mend', 1, 'mended'],
  ['ext3', 'e2fsck -f -y', 'thorough', 3, 'mended, then a restart'],
  ['ext2', 'e2fsck -n', 'look', 4, 'DISK_DAMAGED'],
  ['ext4', 'e2fsck -y', 'mend', 5, 'DISK_DAMAGED'],
  ['ext4', 'e2fsck -y', 'mend', 8, 'DISK_DAMAGED'],
  ['ext4', 'e2fsck -y', 'mend', 32, 'DISK_DAMAGED'],
  ['vfat', 'fsck.fat -a', 'mend', 1, 'mended'],
  ['vfat', 'fsck.fat -n', 'look', 1, 'DISK_DAMAGED'],
  ['xfs', 'xfs_repair', 'thorough', 0, 'clean'],
  ['xfs', 'xfs_repair -n', 'mend', 1, 'DISK_DAMAGED'],
  ['xfs', 'xfs_repair', 'thorough', 2, 'DISK_DAMAGED'],
  ['btrfs', 'btrfs check --readonly', 'mend', 0, 'clean'],
])('checks %s with %s (%s): code %i is %s (W39)', async (type, command, kind, exitCode, meaning) => {
  let ran: readonly string[] = [];
  machine = createTestMachine({
    exec: (argv) => {
      ran = argv;
      return { exitCode };
    },
  });
  const [program = ''] = command.split(' ');
  mkdirSync(machine.path('/usr/sbin'), { recursive: true });
  writeFileSync(machine.path(`/usr/sbin/${program}`), '');
  chmodSync(machine.path(`/usr/sbin/${program}`), 0o755);
  const context = await createContext({ ...machine.host, path: machine.path });
  expect(canCheck(context, type, kind)).toBe(true);
  const result = await checkFileSystem(context, '/dev/sdz1', type, kind).then(
    ({ outcome, needsReboot }) => `${outcome}${needsReboot ? ', then a restart' : ''}`,
    (error: unknown) => String(Reflect.get(Object(error), 'code')),
  );
  expect([ran.slice(1), result]).toEqual([[...command.split(' ').slice(1), '/dev/sdz1'], meaning]);
});

it('repairs no btrfs and nothing that it does not know', async () => {
  machine = createTestMachine({});
  const context = await createContext({ ...machine.host, path: machine.path });
  for (const type of ['btrfs', 'ntfs', '']) {
    expect(canCheck(context, type, 'thorough')).toBe(false);
    await expect(checkFileSystem(context, '/dev/sdz1', type, 'thorough')).rejects.toMatchObject({
      code: 'PROGRAM_MISSING',
    });
  }
});

it('reads what is mounted, with spaces in names and options of both kinds', () => {
  const text = `36 35 98:0 /sub /mnt\\0402 rw,noatime shared:1 master:2 - ext4 /dev/sd\\040c1 ro,errors=continue
37 35 0:5 / /proc rw - proc proc rw
broken line
`;
  expect(parseMountinfo(text)).toEqual([
    {
      mountPoint: '/mnt 2',
      root: '/sub',
      device: '98:0',
      type: 'ext4',
      source: '/dev/sd c1',
      options: 'rw,noatime,ro,errors=continue',
      isReadOnly: true,
    },
    {
      mountPoint: '/proc',
      root: '/',
      device: '0:5',
      type: 'proc',
      source: 'proc',
      options: 'rw',
      isReadOnly: false,
    },
  ]);
});

it('reads fstab', () => {
  const text =
    '# UUID=x / ext4 defaults 0 1\n\n UUID="0-1"\t/data\\0401  auto\tnofail,ro 0 2\n/dev/sdb1 none swap\nx\n';
  expect(parseFstab(text)).toEqual([
    { spec: 'UUID=0-1', mountPoint: '/data 1', type: 'auto', options: ['nofail', 'ro'], pass: 2 },
    { spec: '/dev/sdb1', mountPoint: 'none', type: 'swap', options: ['defaults'], pass: 0 },
  ]);
});
