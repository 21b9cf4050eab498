/**
 * Real file systems on loop devices that only these tests know, mounted in a mount namespace of their own. Each device goes
 * away with the last process that has it open.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Host } from '@handlerkit/sdk';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { planDiskCheck } from './disk-check.ts';
import { planDiskRepair } from './disk-repair.ts';
import type { SshdMachine } from './fixtures/sshd-machine.ts';
import { createContext, startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import type { StepContext, StepReport } from './step.ts';
import { createUndoList, type UndoList } from './undo.ts';

const reason =
  whyNoMachine('bookworm') ?? (existsSync('/dev/loop-control') ? undefined : 'it takes loop devices');

let machine: SshdMachine;
let context: StepContext;
let undo: UndoList;
/** `/dev/loop7` */
let disk: string;

/** Keeps the device open. */
let holder: number;
let folder: string;

/** The device is given back at once, and goes away when nobody has it open any more, also when the test was killed. */
function makeDisk(): void {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-disk-'));
  const image = join(folder, 'image');
  writeFileSync(image, '');
  truncateSync(image, 16 * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', '-F', '-U', '01234567-89ab-cdef-0123-456789abcdef', image]);
  // Outside of the machine: an image in a file system that ends with the disk in it would never let go of the disk.
  disk = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
  holder = openSync(disk, 'r');
  execFileSync('losetup', ['--detach', disk]);
}

describe.skipIf(reason !== undefined)(`disks${reason === undefined ? '' : ` (${reason})`}`, () => {
  beforeEach(async () => {
    machine = await startSshdMachine();
    makeDisk();
    await machine.sh('mkdir /data');
    const { host } = machine;
    // What /proc/self is depends on who reads it.
    const init = /^\/proc\/(\d+)\//.exec(host.path('/proc/net/dev'))?.[1];
    const path: Host['path'] = (name) =>
      name.startsWith('/proc/self/') ? `/proc/${init}/${name.slice('/proc/self/'.length)}` : host.path(name);
    context = {
      ...(await createContext({ ...host, path }, [...machine.log])),
      dataFolder: '/var/lib/waagent',
    };
    undo = createUndoList(context.log);
  });
  afterEach(() => {
    machine.remove();
    closeSync(holder);
    rmSync(folder, { recursive: true, force: true });
  });

  const fstab = (line: string): void => machine.write('/etc/fstab', `# a comment\n${line}\n`);
  const mount = (options = 'defaults'): Promise<string> =>
    machine.sh(`mount -o ${options} ${disk} /data && echo kept >/data/file 2>/dev/null || :`);
  /** Which of the test's file systems is mounted where. */
  const mounted = async (): Promise<string> =>
    (await machine.sh(`findmnt -rno TARGET,OPTIONS -S ${disk} || :`)).trim();
  /** Takes a folder of the file system away and marks it as one with errors; it can be mounted all the same. */
  const damage = (): Promise<string> =>
    machine.sh(
      `for change in 'clri <11>' 'set_super_value state 2'; do debugfs -w -R "$change" ${disk}; done 2>&1`,
    );
  const isDamaged = async (): Promise<boolean> =>
    (await machine.sh(`e2fsck -fn ${disk} >/dev/null 2>&1; echo $?`)).trim() !== '0';
  const check = async (): Promise<StepReport> => (await planDiskCheck(context)).act(undo);
  const repair = async (name = 'data'): Promise<StepReport> =>
    (await planDiskRepair(context, name)).act(undo);

  describe('planDiskCheck', () => {
    it('mends a disk that is not mounted; that errors were corrected is success (W39)', async () => {
      fstab(`${disk} /data ext4 defaults 0 2`);
      await damage();
      expect(await isDamaged()).toBe(true);
      expect(await check()).toEqual({ changed: true, message: `${disk} (/data) is mended` });
      expect(await isDamaged()).toBe(false);
      expect(await check()).toEqual({ changed: false, message: `${disk} (/data) is clean` });
    });

    it('leaves a disk alone that may be written to (W39)', async () => {
      fstab('UUID=01234567-89ab-cdef-0123-456789abcdef /data auto defaults 0 2');
      await mount();
      expect(await check()).toEqual({
        changed: false,
        message: expect.stringMatching(
          /^no disk could be checked; .* \(\/data\)? ?is not there$|may be written to$/,
        ),
      });
      expect(await mounted()).toContain('/data rw');
    });

    it('looks at a disk that is mounted read-only, and says that it is damaged without mending it (W39)', async () => {
      fstab(`${disk} /data ext4 ro 0 2`);
      await mount('ro');
      expect(await check()).toEqual({ changed: false, message: `${disk} (/data) is clean` });
      await machine.sh('umount /data');
      await damage();
      await mount('ro');
      await expect(check()).rejects.toMatchObject({
        code: 'DISK_DAMAGED',
        message: expect.stringContaining(`e2fsck left errors on ${disk}`),
      });
      expect(await isDamaged()).toBe(true);
    });

    it('says which disk is not there, and passes over those that are never checked', async () => {
      fstab(
        `UUID=ffffffff-89ab-cdef-0123-456789abcdef /gone ext4 defaults 0 2\n${disk} /data ext4 defaults 0 0`,
      );
      await damage();
      expect(await check()).toEqual({
        changed: false,
        message: 'no disk could be checked; UUID=ffffffff-89ab-cdef-0123-456789abcdef (/gone) is not there',
      });
      expect(await isDamaged()).toBe(true);
    });
  });

  describe('planDiskRepair', () => {
    it.each([
      ['by fstab', true],
      ['as it was mounted by hand', false],
    ])('unmounts, mends and mounts again, %s (W39)', async (_how, isInFstab) => {
      if (isInFstab) fstab(`${disk} /data ext4 defaults,noatime 0 2`);
      await damage();
      await mount('noatime');
      const before = await mounted();
      expect(await repair()).toEqual({
        changed: true,
        message: `${disk} was unmounted and checked, errors were corrected, and is mounted on /data`,
      });
      expect(await mounted()).toBe(before);
      expect(await machine.sh('cat /data/file; ls /var/lib/waagent')).toBe('kept\n');
      expect((await repair(disk)).message).toContain('no errors were left');
      await machine.sh('umount /data');
      expect(await isDamaged()).toBe(false);
    });

    it('mounts a disk that could not be mounted', async () => {
      fstab(`${disk} /data ext4 defaults 0 2`);
      await damage();
      expect(await repair('/data/')).toEqual({
        changed: true,
        message: `${disk} was checked, errors were corrected, and is mounted on /data`,
      });
      expect(await mounted()).toContain('/data rw');
    });

    it('leaves a disk that is used as it was, and says by what (W39)', async () => {
      await damage();
      await mount();
      await machine.sh('cd /data && sleep 600 >/dev/null 2>&1 &');
      const before = await mounted();
      await expect(repair()).rejects.toMatchObject({
        code: 'DISK_IN_USE',
        message: expect.stringMatching(/cannot be unmounted from \/data: it is used by sleep \(\d+\)/),
      });
      expect(await undo.rollBack()).toEqual([]);
      expect(await mounted()).toBe(before);
    });

    it('mounts a disk again that cannot be mended, and fails (W39)', async () => {
      await mount();
      // A program that fails as e2fsck does when it leaves errors.
      await machine.sh(
        "printf '#!/bin/sh\\necho trouble >&2\\nexit 4\\n' >/sbin/e2fsck; chmod 755 /sbin/e2fsck",
      );
      const before = await mounted();
      await expect(repair()).rejects.toMatchObject({
        code: 'DISK_DAMAGED',
        message: expect.stringContaining('exit code 4: trouble'),
      });
      expect(await mounted()).toBe('');
      expect(await undo.rollBack()).toEqual([]);
      expect(await mounted()).toBe(before);
    });

    it('ends what a killed run has begun', async () => {
      await mount('noatime');
      const before = await mounted();
      const planned = await planDiskRepair(context, 'data');
      // What was to be taken back is forgotten, as after a kill.
      await machine.sh(
        'mv /sbin/e2fsck /sbin/e2fsck.away; printf "#!/bin/sh\\nexit 8\\n" >/sbin/e2fsck; chmod 755 /sbin/e2fsck',
      );
      await expect(planned.act(createUndoList(context.log))).rejects.toThrow();
      await machine.sh('mv /sbin/e2fsck.away /sbin/e2fsck');
      expect(await mounted()).toBe('');
      expect((await repair()).message).toContain('is mounted on /data');
      expect(await mounted()).toBe(before);
    });

    it.each([
      ['/', /cannot be unmounted on a running VM/],
      ['data/../..', /cannot be unmounted/],
      ['nowhere', /neither mounted nor in/],
      ['proc', /is no disk/],
      ['/dev/null', /neither mounted nor in/],
    ])('refuses %s', async (name, text) => {
      await expect(planDiskRepair(context, name)).rejects.toMatchObject({
        code: 'DISK_UNKNOWN',
        message: expect.stringMatching(text),
      });
    });

    it('names the other mounts of a disk, which keep it in use', async () => {
      await mount();
      await machine.sh('mkdir /other; mount --bind /data /other');
      await expect(planDiskRepair(context, 'data')).rejects.toMatchObject({
        code: 'DISK_IN_USE',
        message: expect.stringContaining('unmount /other first'),
      });
    });
  });
});
