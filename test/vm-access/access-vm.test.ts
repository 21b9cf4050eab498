/** What the tests of VM Access rely on: a login that works and one that does not are told apart, with a real sshd. */
import { describe, expect, it } from 'vitest';
import { useAccessVm } from './access-vm.ts';
import { findRoot, RELEASES } from './roots.ts';

const ROOTS = await Promise.all(RELEASES.map(findRoot));

describe.each(ROOTS)('a VM on $title', (root) => {
  const vm = useAccessVm(root, () => '');

  it.skipIf(root.reason !== undefined)('tells a login from a refusal', async () => {
    await vm.startSshd();
    await vm.get(`
      useradd -m alice
      echo 'alice:pass-W0rd' | chpasswd
      mkdir -m 700 /run/keys ~alice/.ssh
      ssh-keygen -q -N '' -t ed25519 -f /run/keys/known
      ssh-keygen -q -N '' -t ed25519 -f /run/keys/unknown
      cp /run/keys/known.pub ~alice/.ssh/authorized_keys
      chown -R alice: ~alice/.ssh
    `);
    const greeting = { exitCode: 0, stdout: 'alice\n', stderr: '' };
    const refusal = { exitCode: 255, stdout: '', stderr: expect.stringContaining('Permission denied') };
    expect(await vm.loginByPassword('alice', 'pass-W0rd')).toEqual(greeting);
    expect(await vm.loginByPassword('alice', 'pass-W0rt')).toEqual(refusal);
    expect(await vm.loginByKey('alice', '/run/keys/known')).toEqual(greeting);
    expect(await vm.loginByKey('alice', '/run/keys/unknown')).toEqual(refusal);
    expect(await vm.diff()).toContain('A /home/alice/.ssh/authorized_keys');
  });
});
