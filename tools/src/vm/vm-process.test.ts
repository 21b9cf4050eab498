/** Services in real overlays; skipped with the reason in the title where this machine allows none. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { WIRE_SERVER_ADDRESS } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import { deps, until, useMachineRig, whyNoOverlay } from './fixtures/machine-rig.ts';
import { isAlive, nameProcess } from './linux-process.ts';
import { type OpenMachine, rebootMachine, type ServiceCommand, type VmServices } from './machine.ts';
import { METADATA_ADDRESS } from './vm-network.ts';

const rig = useMachineRig();
const noOverlay = await whyNoOverlay();
const test = it.skipIf(noOverlay !== undefined);
const because = noOverlay === undefined ? '' : ` (skipped: ${noOverlay})`;

function shell(line: string, changes: Partial<ServiceCommand> = {}): ServiceCommand {
  return {
    name: 'fabric',
    argv: ['/bin/sh', '-c', line],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ONLY: 'this' },
    files: 'vm',
    cwd: '/',
    logFile: join(rig.base, 'service.log'),
    ...changes,
  };
}

function servicesOf(machine: { services: VmServices | undefined }): VmServices {
  if (machine.services === undefined) throw new Error('The machine has no services.');
  return machine.services;
}

const openLoopback = (): Promise<OpenMachine> => rig.open({ kind: 'overlay', network: 'loopback' });
const log = (): string => readFileSync(join(rig.base, 'service.log'), 'utf8');

/**
 * A line with the number of links in /proc that lead to a file or folder, then one for each that leads out of the VM's mounts:
 * `d` or `f`, and the inode. The number of a mount is the kernel's own, in whatever namespace the file was opened.
 */
const FIND_FOREIGN = `
total=0
for link in /proc/[0-9]*/root /proc/[0-9]*/cwd /proc/[0-9]*/fd/*; do
  if [ -d "$link" ]; then kind=d; elif [ -f "$link" ]; then kind=f; else continue; fi
  exec 9<"$link" || continue
  total=$((total + 1))
  mount=$(sed -n 's/^mnt_id:[^0-9]*//p' /proc/$$/fdinfo/9)
  grep -q "^$mount " /proc/$$/mountinfo || found="$found
$kind $(stat -L -c %d:%i "$link")"
  exec 9<&-
done
echo "$total$found"`;

describe('a service of an overlay VM', () => {
  test(`keeps the VM awake without making it busy, and is found by the next tool${because}`, async () => {
    const first = await rig.open({ kind: 'overlay' });
    await servicesOf(first).start(shell('echo up; exec sleep 60'));
    await until(() => log().includes('up'));
    expect(await first.isBusy()).toBe(false);
    await first.close();
    const second = await rig.open({ kind: 'overlay' });
    expect(servicesOf(second).isRunning('fabric')).toBe(true);
    await servicesOf(second).start(shell('echo twice'));
    await servicesOf(second).stop('fabric');
    expect(servicesOf(second).isRunning('fabric')).toBe(false);
    expect(log()).toBe('up\n');
    const keeper = rig.keeper();
    await second.close();
    await until(() => keeper !== undefined && !isAlive(keeper));
  });

  test(`ends with the VM${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    await servicesOf(machine).start(shell('exec sleep 60'));
    await rebootMachine(join(rig.base, 'vm'), deps);
    await until(() => !servicesOf(machine).isRunning('fabric'));
  });

  test(`is wholly in the VM, with default signals and the environment it was given${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    await rig.run(machine, 'mkdir -p /tmp/inside; echo here >/tmp/inside/note');
    const line = 'cat note; echo "ONLY=$ONLY HOME=$HOME"; grep SigIgn /proc/self/status';
    await servicesOf(machine).start(shell(line, { cwd: '/tmp/inside' }));
    await until(() => !servicesOf(machine).isRunning('fabric'));
    expect(log()).toBe('here\nONLY=this HOME=\nSigIgn:\t0000000000000000\n');
  });

  test(`can have this machine's files on the VM's network, and then no process of the VM sees it${because}`, async () => {
    const machine = await openLoopback();
    const line = 'pwd; ls vm/vm.json; cat /proc/self/net/dev; exec sleep 60';
    await servicesOf(machine).start(shell(line, { files: 'machine', cwd: rig.base }));
    await until(() => log().includes('lo:'));
    expect(log()).toMatch(`${rig.base}\nvm/vm.json\n`);
    expect(log()).not.toContain('eth');
    await rig.run(machine, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    expect(rig.output()).not.toContain('sleep 60');
  });

  test(`with this machine's files ends with SIGTERM, and is killed with its children after the grace${because}`, async () => {
    const machine = await openLoopback();
    const services = servicesOf(machine);
    await services.start(shell('exec sleep 60', { files: 'machine' }));
    await services.stop('fabric', 60_000);
    const stubborn = 'trap "" TERM; sleep 60 & echo "child $!"; while :; do wait; sleep 1; done';
    await services.start(shell(stubborn, { files: 'machine' }));
    await until(() => log().includes('child'));
    const child = nameProcess(Number(/child (\d+)/.exec(log())?.[1]));
    await services.stop('fabric', 50);
    expect(child).toBeDefined();
    await until(() => child !== undefined && !isAlive(child));
  });

  test(`with this machine's files does not keep the VM awake, and the next run of the VM starts its own${because}`, async () => {
    const first = await openLoopback();
    // Such a program should end by itself; this one does not.
    const line = 'readlink /proc/self/ns/net; exec sleep 60';
    await servicesOf(first).start(shell(line, { files: 'machine' }));
    await until(() => log().includes('net:'));
    const keeper = rig.keeper();
    await first.close();
    await until(() => keeper !== undefined && !isAlive(keeper));
    const second = await openLoopback();
    expect(servicesOf(second).isRunning('fabric')).toBe(false);
    await servicesOf(second).start(shell(line, { files: 'machine' }));
    await until(() => log().split('\n').length === 3);
    const [former, present] = log().split('\n');
    expect(present).not.toBe(former);
    expect(servicesOf(second).isRunning('fabric')).toBe(true);
  });

  test(`with this machine's files is ended with the VM by a reboot, whatever it does${because}`, async () => {
    const machine = await openLoopback();
    await servicesOf(machine).start(
      shell('trap "" TERM; echo $$; while :; do sleep 1; done', { files: 'machine' }),
    );
    await until(() => /^\d+\n/.test(log()));
    const program = nameProcess(Number(log()));
    expect(program).toBeDefined();
    await rebootMachine(join(rig.base, 'vm'), deps);
    expect(program !== undefined && isAlive(program)).toBe(false);
  });

  test(`leaves no way to this machine's files in the VM's /proc: no root, no folder, no open file${because}`, async () => {
    const machine = await openLoopback();
    const services = servicesOf(machine);
    await services.start(shell('exec sleep 60', { files: 'machine', cwd: rig.base }));
    await services.start(shell('echo up; exec sleep 60', { name: 'waagent' }));
    await until(() => log().includes('up'));
    await rig.run(machine, 'sleep 60 & echo $! >/tmp/background');
    await rig.run(machine, FIND_FOREIGN, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } });
    const [count, ...foreign] = rig.output().trim().split('\n');
    // The keeper, the service, the child in the background, and the looking shell, each with its root and folder at least.
    expect(Number(count)).toBeGreaterThanOrEqual(8);
    // What is left are plain files of the VM itself: the lock that the keeper waits for, and what was printed to.
    const files = ['use.lock', 'service.log', 'stdout', 'stderr'];
    const known = files.map((name) => join(rig.base, name === 'use.lock' ? `vm/${name}` : name));
    const inodes = known.map((file) => `f ${statSync(file).dev}:${statSync(file).ino}`);
    expect(foreign.filter((line) => !inodes.includes(line))).toEqual([]);
    // The same look finds what is there to be found.
    const lock = inodes[0];
    expect(foreign).toContain(lock);
  });

  test(`that ignores SIGTERM is killed with its children after the grace${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay' });
    await servicesOf(machine).start(
      shell('trap "" TERM; echo up; sleep 60 & while :; do wait; sleep 1; done'),
    );
    await until(() => log().includes('up'));
    await servicesOf(machine).stop('fabric', 50);
    await rig.run(machine, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    expect(rig.output()).not.toContain('sleep 60');
  });

  test(`finds the addresses and the route of Azure's host side, however often they are set${because}`, async () => {
    const machine = await openLoopback();
    await machine.addFabricAddresses();
    await machine.addFabricAddresses();
    await rig.run(machine, 'cat /proc/net/route /proc/net/fib_trie');
    expect(rig.output()).toContain(WIRE_SERVER_ADDRESS);
    expect(rig.output()).toContain(METADATA_ADDRESS);
    // Bytes of the address in the order of the processor.
    const hex = WIRE_SERVER_ADDRESS.split('.')
      .reverse()
      .map((part) => Number(part).toString(16).padStart(2, '0'));
    expect(rig.output()).toMatch(new RegExp(`^lo\\s+${hex.join('')}\\s.*\\sFFFFFFFF\\s`, 'mi'));
  });

  test(`has no such addresses on the machine's own network${because}`, async () => {
    const machine = await rig.open({ kind: 'overlay', network: 'host' });
    await expect(machine.addFabricAddresses()).rejects.toMatchObject({ code: 'vm-other-network' });
  });
});

it('is not possible in a relocated VM', async () => {
  const machine = await rig.open({ kind: 'relocated' });
  expect(machine.services).toBeUndefined();
  await expect(machine.addFabricAddresses()).rejects.toMatchObject({ code: 'vm-other-network' });
});
