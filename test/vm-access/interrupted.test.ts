/** A run that is killed in the middle of making an account: the next boot completes it, on a real system. */
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { InstanceView, LocalVm } from '../local-vm.ts';
import { createLocalVm } from '../local-vm.ts';
import { findRoot } from './roots.ts';

const root = await findRoot('bookworm');

/** Kills the handler that calls it, the first time, and becomes the program that it was. */
const KILLER = `
program=$(command -v chpasswd)
mv "$program" "$program.first"
printf '%s\\n' '#!/bin/sh' "mv $program.first $program" 'touch /var/killed' 'kill -9 $PPID' 'exec sleep 60' >"$program"
chmod 755 "$program"
`;

describe.skipIf(root.reason !== undefined)(`a run that is killed on ${root.title}`, () => {
  let vm: LocalVm;
  beforeAll(async () => {
    vm = await createLocalVm('overlay', { network: 'loopback' });
  });
  afterAll(() => vm.remove());
  const place = ['--isolation', 'overlay', '--network', 'loopback', '--rootfs', root.folder];
  const shell = async (script: string): Promise<string> => {
    const { stdout, stderr } = await vm.run(['exec', ...place, '--', 'sh', '-c', script]);
    if (stdout === '') throw new Error(`${script}: ${stderr}`);
    return String(Reflect.get(Object(JSON.parse(stdout)), 'stdout')).trim();
  };

  it('is done again after a restart, with the rights of a new account, and says so (W3)', async () => {
    await shell(`service ssh start; ${KILLER}`);
    const settings = { protected: { username: 'alice', password: 'pass-W0rd-of-alice' } };
    await vm.set(inject('vmAccessZip'), settings, ['--rootfs', root.folder, '--no-wait']);
    await shell("timeout 60 sh -c 'until [ -e /var/killed ]; do sleep 0.05; done'");
    expect(await shell('getent passwd alice | cut -d: -f1')).toBe('alice');
    expect(await shell('getent shadow alice | cut -d: -f2')).toMatch(/^[!*]/);
    const { stdout, stderr } = await vm.run(['reboot']);
    const [view] = JSON.parse(stdout) as InstanceView[];
    expect(view?.statuses[0]?.code, stderr).toBe('ProvisioningState/succeeded');
    expect(view?.substatuses?.map(({ code }) => code)).toEqual(
      ['account', 'password', 'sudo', 'sshd'].map((name) => expect.stringContaining(`/${name}/`)),
    );
    expect(await shell('getent shadow alice | cut -d: -f2')).toMatch(/^\$(?:y|6)\$/);
    expect(await shell('sudo -n -l -U alice')).toContain('(ALL : ALL) ALL');
    expect(await shell('ls /var/lib/waagent/vm-access')).not.toContain('new-account');
  });
});
