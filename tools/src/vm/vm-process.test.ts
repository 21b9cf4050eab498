/** Services in real overlays; skipped with the reason in the title where this machine allows none. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WIRE_SERVER_ADDRESS } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import { deps, until, useMachineRig, whyNoOverlay } from './fixtures/machine-rig.ts';
import { isAlive } from './linux-process.ts';
import { openMachine, rebootMachine, type ServiceCommand, type VmServices } from './machine.ts';
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

const log = (): string => readFileSync(join(rig.base, 'service.log'), 'utf8');

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

  test(`can see this machine's files from the VM's network and processes${because}`, async () => {
    const machine = await openMachine(
      { stateFolder: join(rig.base, 'vm'), isolation: 'overlay', network: 'loopback' },
      deps,
    );
    rig.closeLater(machine);
    const line = 'pwd; ls vm/vm.json; cat /proc/self/net/dev; exec sleep 60';
    await servicesOf(machine).start(shell(line, { files: 'machine', cwd: rig.base }));
    await until(() => log().includes('lo:'));
    expect(log()).toMatch(`${rig.base}\nvm/vm.json\n`);
    expect(log()).not.toContain('eth');
    await rig.run(machine, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    expect(rig.output()).toContain('sleep 60');
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
    const machine = await openMachine(
      { stateFolder: join(rig.base, 'vm'), isolation: 'overlay', network: 'loopback' },
      deps,
    );
    rig.closeLater(machine);
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
