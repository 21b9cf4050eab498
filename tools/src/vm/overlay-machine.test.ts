/** Real overlays; skipped with the reason in the title where this machine allows none. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import {
  deps,
  quote,
  runUseMachine,
  until,
  useMachineCommand,
  useMachineRig,
  whyNoOverlay,
} from './fixtures/machine-rig.ts';
import { isAlive, processesWithEnvironment } from './linux-process.ts';
import { openMachine, rebootMachine } from './machine.ts';

const rig = useMachineRig();
const noOverlay = await whyNoOverlay();

describe('an overlay VM', () => {
  const test = it.skipIf(noOverlay !== undefined);
  const because = noOverlay === undefined ? '' : ` (skipped: ${noOverlay})`;

  test(`keeps changes to /etc and deletions in the VM, over close and open${because}`, async () => {
    const name = `/etc/handlerkit-${randomUUID()}`;
    const first = await rig.open({ kind: 'overlay' });
    await rig.run(first, `echo changed >${name}; rm /etc/hostname; mv /etc/apt /etc/apt-moved`);
    await first.close();
    const second = await rig.open({ kind: 'overlay' });
    await rig.run(second, `cat ${name}; ls -d /etc/hostname /etc/apt /etc/apt-moved 2>/dev/null`);
    expect(rig.output()).toBe(existsSync('/etc/apt') ? 'changed\n/etc/apt-moved\n' : 'changed\n');
    expect(existsSync(name)).toBe(false);
    expect(existsSync('/etc/hostname')).toBe(true);
  });

  test(`sleeps without a process once it is closed${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    const keeper = rig.keeper();
    expect(keeper !== undefined && isAlive(keeper)).toBe(true);
    await machine.close();
    expect(keeper !== undefined && isAlive(keeper)).toBe(false);
  });

  test(`falls asleep by itself when the last handler ends and no tool is there${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    await rig.run(machine, 'setsid sleep 600 >/dev/null 2>&1 &');
    const keeper = rig.keeper();
    await machine.close();
    expect(keeper !== undefined && isAlive(keeper)).toBe(true);
    for (const pid of processesWithEnvironment(rig.token)) process.kill(pid, 'SIGKILL');
    await until(() => keeper !== undefined && !isAlive(keeper));
  });

  test(`stays awake for a second tool when the first one closes it${because}`, async () => {
    const [first, second] = [await rig.open({ kind: 'overlay' }), await rig.open({ kind: 'overlay' })];
    await first.close();
    // Longer than the keeper needs to look around: nothing can be awaited, as nothing may happen.
    await delay(500);
    expect(await rig.run(second, 'true')).toMatchObject({ exitCode: 0 });
  });

  test(`reaps orphans: twenty leave no zombie${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    await rig.run(
      machine,
      'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (sleep 0.1 &) ; done',
    );
    await until(async () => !(await machine.isBusy()));
    await rig.run(machine, 'cat /proc/[0-9]*/stat');
    expect(rig.output().match(/^\d+ \(.*\) Z /gm)).toBeNull();
    expect(rig.output().split('\n').length).toBeLessThan(8);
  });

  test(`survives a handler that kills every process it can${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    expect(await rig.run(machine, 'kill -9 -1; true')).toMatchObject({ exitCode: 0 });
    await delay(300);
    expect(await rig.run(machine, 'true')).toMatchObject({ exitCode: 0 });
  });

  test(`shows neither its own state nor the machine's disks, processes and sockets${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    await rig.run(
      machine,
      `ls -A ${join(rig.base, 'vm')}; find /dev -type b; find /run -type s; ls -d /proc/${process.pid}`,
    );
    expect(rig.output()).toBe('');
  });

  test(`withholds the rights that reach past the namespaces${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay', network: 'host' });
    await rig.run(machine, 'grep ^CapBnd /proc/self/status');
    const rights = BigInt(`0x${rig.output().split(/\s+/)[1]}`);
    // Source: capabilities(7), linux/capability.h.
    const withheld = {
      dac_read_search: 2n,
      net_admin: 12n,
      sys_module: 16n,
      sys_rawio: 17n,
      sys_time: 25n,
      mknod: 27n,
      syslog: 34n,
    };
    for (const [name, bit] of Object.entries(withheld))
      expect([name, (rights >> bit) & 1n]).toEqual([name, 0n]);
    expect(await rig.run(machine, 'mknod /tmp/disk b 8 0 2>/dev/null')).toMatchObject({ exitCode: 1 });
  });

  test(`shows the kernel's settings, but none can be changed${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    // The same value: should the write succeed, nothing has happened.
    const line = 'read -r now </proc/sys/vm/swappiness && (echo "$now" >/proc/sys/vm/swappiness) 2>/dev/null';
    expect((await rig.run(machine, line)).exitCode).not.toBe(0);
    await rig.run(machine, 'cat /proc/sys/vm/swappiness');
    expect(rig.output()).toBe(readFileSync('/proc/sys/vm/swappiness', 'utf8'));
  });

  test(`is not possible inside another VM: there agent folders are relocated, with the reason${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    const line = useMachineCommand(['/tmp/handlerkit-inner', 'auto', 'exit 4']).map(quote).join(' ');
    expect(await rig.run(machine, line)).toMatchObject({ exitCode: 0 });
    const [about, result] = rig.output().split('\n');
    expect(JSON.parse(about ?? '')).toMatchObject({
      kind: 'relocated',
      limits: expect.stringMatching(/An overlay is not possible: .*(overlay|mount)/),
    });
    expect(JSON.parse(result ?? '')).toMatchObject({ exitCode: 4 });
  });

  test(`keeps changes to other disks and to mounted files in the VM as well${because}`, async () => {
    for (const folder of ['disk', 'a,b']) mkdirSync(join(rig.base, folder));
    for (const file of ['source', 'file']) writeFileSync(join(rig.base, file), 'real\n');
    const mounts = 'mount -t tmpfs none disk && mount -t tmpfs none a,b && mount --bind source file';
    const line = `cd ${rig.base}; echo new >disk/x; echo new >file; cat disk/x file; (echo new >a,b/x) 2>/dev/null`;
    // In a mount namespace of its own, so that nothing is mounted on this machine.
    const script = `cd "$0" && ${mounts} && "$@" >reports; ls disk a,b; cat file`;
    const command = useMachineCommand([join(rig.base, 'vm'), 'overlay', line]);
    const args = ['--mount', '--propagation', 'private', '/bin/sh', '-c', script, rig.base, ...command];
    const { stdout } = spawnSync('unshare', args, { encoding: 'utf8' });
    expect(readFileSync(join(rig.base, 'vm/output'), 'utf8')).toBe('new\nnew\n');
    expect(stdout).toBe('a,b:\n\ndisk:\nreal\n');
    const [about] = readFileSync(join(rig.base, 'reports'), 'utf8').split('\n');
    expect(JSON.parse(about ?? '').limits).toContain(`Read-only in the VM: ${rig.base}/a,b.`);
  });

  test(`starts without the extensions of a machine that is an Azure VM itself${because}`, async () => {
    mkdirSync(join(rig.base, 'lib', basename(LIB_FOLDER), 'Contoso.Old-1.0'), { recursive: true });
    const command = useMachineCommand([
      join(rig.base, 'vm'),
      'overlay',
      `ls -A ${LIB_FOLDER}; stat -c %a ${LIB_FOLDER}`,
    ]);
    const script = 'mount --bind "$0/lib" /var/lib && "$@"';
    spawnSync('unshare', [
      '--mount',
      '--propagation',
      'private',
      '/bin/sh',
      '-c',
      script,
      rig.base,
      ...command,
    ]);
    expect(readFileSync(join(rig.base, 'vm/output'), 'utf8')).toBe('700\n');
    expect(readdirSync(join(rig.base, 'lib', basename(LIB_FOLDER)))).toEqual(['Contoso.Old-1.0']);
  });

  test(`gives way to relocated folders for a root without the right to mount, with the reason${because}`, async () => {
    const rights = ['setpriv', '--bounding-set=-sys_admin', '--'];
    const tool = runUseMachine([join(rig.base, 'vm'), 'auto', 'exit 6'], { prefix: rights });
    await tool.ended;
    expect(tool.reports()).toEqual([
      expect.objectContaining({ kind: 'relocated', limits: expect.stringContaining('not permitted') }),
      expect.objectContaining({ exitCode: 6 }),
    ]);
  });

  test(`has a loopback of its own without the machine's network${because}`, async () => {
    const machine = await openMachine(
      { stateFolder: join(rig.base, 'vm'), isolation: 'overlay', network: 'loopback' },
      deps,
    );
    rig.closeLater(machine);
    await rig.run(machine, 'ls /sys/class/net; cat /sys/class/net/lo/carrier');
    expect(rig.output().split('\n').filter(Boolean)).toEqual(expect.arrayContaining(['lo', '1']));
    expect(rig.output()).not.toContain('eth');
    await expect(rig.open({ kind: 'overlay', network: 'host' })).rejects.toMatchObject({
      code: 'vm-other-network',
    });
  });

  test(`follows links inside the VM and not to the machine${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    await rig.run(machine, 'mkdir /tmp/inside && echo yes >/tmp/inside/file && ln -s /tmp/inside /tmp/link');
    expect(readFileSync(machine.hostPath('/tmp/link/file'), 'utf8')).toBe('yes\n');
    expect(existsSync('/tmp/link')).toBe(false);
  });

  test(`gets another boot id, an empty /run and no process from a reboot, and keeps its files${because}`, async () => {
    const first = await rig.open({ kind: 'overlay' });
    expect(first.bootId).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    await rig.run(first, 'echo 1 >/run/handler.pid; echo kept >/etc/kept; setsid sleep 60 >/dev/null 2>&1 &');
    await rebootMachine(join(rig.base, 'vm'), deps);
    const second = await rig.open({ kind: 'overlay' });
    expect(await second.isBusy()).toBe(false);
    await rig.run(second, 'cat /proc/sys/kernel/random/boot_id /etc/kept; ls /run/handler.pid 2>/dev/null');
    expect(rig.output()).toBe(`${second.bootId}\nkept\n`);
    expect(second.bootId).not.toBe(first.bootId);
    expect(processesWithEnvironment(rig.token)).toEqual([]);
  });
});
