import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkSshdConfig, readSshd } from './effective-sshd.ts';
import type { DebianRelease, SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const MAIN = '/etc/ssh/sshd_config';

describe.each<DebianRelease>(['bullseye', 'bookworm', 'trixie'])(
  'readSshd, with the sshd of %s',
  (release) => {
    const reason = whyNoMachine(release);
    let machine: SshdMachine;
    beforeEach(async ({ skip }) => {
      if (reason !== undefined) skip(reason);
      machine = await startSshdMachine(release);
      await machine.sh('useradd -m alice');
    });
    afterEach(() => machine?.remove());

    it('gives ports, addresses and values for a user who is there or not yet (W31)', async () => {
      machine.write(
        MAIN,
        'Port 2222\nListenAddress 127.0.0.1\nListenAddress [::1]:2200\nAllowUsers a b\nAllowUsers c\n' +
          'Match User alice LocalPort 2222\nPasswordAuthentication no\nMatch User new\nAuthorizedKeysFile /x/%u .ssh/k\n',
      );
      const sshd = (await readSshd(machine.context, 'alice')) ?? expect.fail('no sshd');
      expect(sshd.program).toBe('/usr/sbin/sshd');
      expect(sshd.ports.toSorted()).toEqual([2200, 2222]);
      expect(sshd.listens.toSorted()).toEqual(['127.0.0.1:2222', '[::1]:2200']);
      expect(sshd.values('PasswordAuthentication')).toEqual(['no']);
      expect(sshd.values('allowusers')).toEqual(['a', 'b', 'c']);
      expect(sshd.values('none')).toEqual([]);
      const other = await readSshd(machine.context, 'new');
      expect(other?.values('authorizedkeysfile')).toEqual(['/x/%u .ssh/k']);
      expect(other?.values('passwordauthentication')).toEqual(['yes']);
    });

    it('asks about a Match for a routing domain where the configuration has one', async () => {
      machine.write(
        MAIN,
        'Match RDomain red\nPasswordAuthentication no\nMatch User alice\nX11Forwarding yes\n',
      );
      const sshd = await readSshd(machine.context, 'alice');
      expect([sshd?.values('passwordauthentication'), sshd?.values('x11forwarding')]).toEqual([
        ['yes'],
        ['yes'],
      ]);
    });

    it('makes the folder that the service makes for sshd, and takes it away again', async () => {
      await machine.sh('rm -rf /run/sshd');
      expect((await readSshd(machine.context))?.ports).toEqual([22]);
      expect(existsSync(machine.host.path('/run/sshd'))).toBe(false);
    });

    it('tells missing host keys from a wrong line (W30)', async () => {
      await machine.sh('rm /etc/ssh/ssh_host_*');
      expect(await checkSshdConfig(machine.context)).toMatchObject({ kind: 'no host keys' });
      await expect(readSshd(machine.context)).rejects.toMatchObject({
        code: 'SSHD_NO_HOST_KEYS',
        message: expect.stringContaining('reset_ssh'),
      });
      machine.write(MAIN, 'Port 22\nPasswordAuthentication perhaps\n');
      const problem = await checkSshdConfig(machine.context);
      expect(problem).toMatchObject({ kind: 'configuration', text: expect.stringMatching(/line 2: /) });
      await expect(readSshd(machine.context)).rejects.toMatchObject({ code: 'SSHD_CONFIG_INVALID' });
    });

    it('gives nothing where sshd is not installed', async () => {
      await machine.sh('rm /usr/sbin/sshd');
      expect(await readSshd(machine.context)).toBeUndefined();
      expect(await checkSshdConfig(machine.context)).toMatchObject({ kind: 'missing' });
    });
  },
);
