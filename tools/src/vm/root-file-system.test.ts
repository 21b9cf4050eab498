/** VMs on a small root file system of their own; skipped with the reason in the title where there can be none. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import { deps, useMachineRig, whyNoOverlay } from './fixtures/machine-rig.ts';
import { makeSmallRoot, whyNoSmallRoot } from './fixtures/small-root.ts';
import type { Network, OpenMachine } from './machine.ts';
import { openMachine } from './machine.ts';
import { readRootfs } from './root-file-system.ts';

const rig = useMachineRig();
const obstacle = (await whyNoOverlay()) ?? whyNoSmallRoot();
const test = it.skipIf(obstacle !== undefined);
const because = obstacle === undefined ? '' : ` (skipped: ${obstacle})`;

async function open(network: Network = 'loopback'): Promise<OpenMachine> {
  const stateFolder = join(rig.base, 'vm');
  const rootfs = readRootfs(join(rig.base, 'root'), stateFolder, 0);
  const machine = await openMachine({ stateFolder, isolation: 'overlay', network, rootfs }, deps);
  rig.closeLater(machine);
  return machine;
}

describe('a VM on a root file system of its own', () => {
  test(`sees that system, has the folders of the kernel, and never changes it${because}`, async () => {
    const root = join(rig.base, 'root');
    makeSmallRoot(root);
    const before = readdirSync(root, { recursive: true }).sort();
    const first = await open();
    const line = `cat /etc/os-release; ls / ${LIB_FOLDER}; echo new >/etc/os-release; rm /bin/wc; echo t >/tmp/t; ls /dev/.machine`;
    await rig.run(first, line);
    expect(rig.output()).toMatch(/^ID=small\n/);
    for (const name of ['proc', 'sys', 'dev', 'run', 'tmp', 'var'])
      expect(rig.output()).toMatch(`\n${name}\n`);
    expect(rig.output()).not.toContain('home');
    await first.close();
    expect(readdirSync(root, { recursive: true }).sort()).toEqual(before);
    expect(readFileSync(join(root, 'etc/os-release'), 'utf8')).toBe('ID=small\n');
    const second = await openMachine({ stateFolder: join(rig.base, 'vm'), isolation: 'auto' }, deps);
    rig.closeLater(second);
    await rig.run(second, 'cat /etc/os-release /proc/1/comm; ls /dev/null /proc/sys/kernel/random/boot_id');
    expect(rig.output()).toMatch(/^new\n\w+\n\/dev\/null\n/);
  });

  test.each(['host', 'loopback'] as const)(
    `has this machine's hosts, and its name servers with network host (%s)${because}`,
    async (network) => {
      const root = join(rig.base, 'root');
      makeSmallRoot(root);
      symlinkSync('../run/nowhere', join(root, 'etc/resolv.conf'));
      const machine = await open(network);
      await rig.run(machine, 'cat /etc/hosts');
      expect(rig.output()).toBe(readFileSync('/etc/hosts', 'utf8'));
      await rig.run(machine, 'cat /etc/resolv.conf 2>/dev/null');
      const servers = existsSync('/etc/resolv.conf') ? readFileSync('/etc/resolv.conf', 'utf8') : '';
      expect(rig.output()).toBe(network === 'host' ? servers : '');
    },
  );

  test.each(['sh', 'sleep'])(`cannot be made without the program %s in it${because}`, (name) => {
    makeSmallRoot(join(rig.base, 'root'), name);
    expect(() => readRootfs(join(rig.base, 'root'), join(rig.base, 'vm'), 0)).toThrow(
      expect.objectContaining({
        code: 'ROOTFS_INVALID',
        message: expect.stringMatching(`missing: ${name}\\.$`),
      }),
    );
  });
});

describe('readRootfs', () => {
  it.each([
    ['missing', 'vm', 'it is no folder'],
    ['a:b', 'vm', 'one of the characters'],
    ['root', 'root/vm', 'contain one another'],
    ['root', '.', 'contain one another'],
    ['empty', 'vm', 'missing: sh, flock, sleep'],
  ])('refuses %j for a VM in %j (%s)', (name, state, reason) => {
    for (const folder of ['a:b', 'root', 'empty']) mkdirSync(join(rig.base, folder));
    expect(() => readRootfs(join(rig.base, name), join(rig.base, state), 0)).toThrow(reason);
  });

  it('refuses what this machine itself runs on', () => {
    expect(() => readRootfs('/', join(rig.base, 'vm'), 0)).toThrow("it is this machine's own");
  });

  it('tells an ordinary user that it takes root, whatever the folder is', () => {
    for (const folder of ['/', join(rig.base, 'missing')]) {
      expect(() => readRootfs(folder, join(rig.base, 'vm'), 1000)).toThrow(
        expect.objectContaining({
          code: 'vm-overlay-unavailable',
          hint: expect.stringContaining('Run the command as root'),
        }),
      );
    }
  });

  it('refuses one whose mount points are links, as they would lead out of it', () => {
    const root = join(rig.base, 'root');
    mkdirSync(join(root, 'bin'), { recursive: true });
    for (const name of ['sh', 'flock', 'sleep']) writeFileSync(join(root, 'bin', name), '', { mode: 0o755 });
    symlinkSync('/run', join(root, 'run'));
    expect(() => readRootfs(root, join(rig.base, 'vm'), 0)).toThrow('its /run is no folder');
  });
});
