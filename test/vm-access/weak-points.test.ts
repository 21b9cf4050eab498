/** Weak points of VMAccess 1.5 that take a whole system to show: each case is named by its number. */
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { useAccessVm } from './access-vm.ts';
import { findRoot } from './roots.ts';

const root = await findRoot('bookworm');
const PASSWORD = 'pass-W0rd-of-tests';
const REFUSAL = { exitCode: 255, stdout: '', stderr: expect.stringContaining('Permission denied') };

/**
 * Everything that VM Access may change, with owners, modes and contents; but for the copies that useradd and its kin make of
 * the former account files.
 */
const STATE = `
for folder in /etc /home /root /var/mail /var/spool /srv; do
  find $folder -xdev ! -path '/etc/*-' -printf '%p %y %m %U:%G %l\\n' -type f -exec sha256sum {} +
done 2>/dev/null | sort
nft -s list ruleset
`;

describe.skipIf(root.reason !== undefined)(`VM Access on ${root.title}`, () => {
  const vm = useAccessVm(root, () => inject('vmAccessZip'));
  const key = (): Promise<string> => vm.get('cat /run/keys/key.pub');
  const login = async (user: string): Promise<string> => {
    const { stdout, stderr } = await vm.loginByKey(user, '/run/keys/key');
    return stdout.trim() || stderr.trim();
  };
  beforeAll(async () => {
    await vm.startSshd();
    await vm.get(`mkdir -p /run/keys; ssh-keygen -q -N '' -t ed25519 -f /run/keys/key
      useradd -m plain; useradd -m -G sudo admin
      printf 'admin ALL = (ALL) ALL\\naxb ALL = (ALL) ALL\\n' >/etc/sudoers.d/waagent; chmod 440 /etc/sudoers.d/waagent`);
  });
  /** Must fail with this code, and change nothing. */
  const expectRefusal = async (settings: unknown, text: string | RegExp): Promise<void> => {
    const before = await vm.get(STATE);
    const { level, message } = await vm.set({ protected: settings });
    expect(level).toBe('Error');
    expect(message).toMatch(text);
    expect(await vm.get(STATE)).toBe(before);
  };

  it.each(['ALL', '-x', 'a('])(
    'refuses the user name %s, which sudo or a shell would read as something else (W13)',
    async (username) => {
      await expectRefusal({ username, password: PASSWORD }, /user ?name/i);
    },
  );

  it('refuses accounts of the system (W16)', async () => {
    await expectRefusal({ username: 'nobody', password: PASSWORD }, /account|user/i);
  });

  it('says what is wrong with all settings before anything is changed (W21)', async () => {
    await expectRefusal(
      { username: 'carol', ssh_key: ['ssh-rsa AAAA'], reset_ssh: 'no' },
      /ssh_key[\s\S]*reset_ssh/,
    );
  });

  it('refuses a private key and what is no key, and makes no user for it (W27)', async () => {
    await expectRefusal({ username: 'carol', ssh_key: await vm.get('cat /run/keys/key') }, /private key/i);
    await expectRefusal({ username: 'carol', ssh_key: 'ssh-rsa not!a!key' }, /key/);
  });

  it('fails when there is no configuration to restore, and resets nothing (W32)', async () => {
    await expectRefusal({ restore_backup_ssh: true }, /saved|backup/i);
  });

  it('fails to remove a user that is not there or belongs to the system (W20)', async () => {
    await expectRefusal({ remove_user: 'nobody' }, /account|user/i);
    await expectRefusal({ remove_user: 'stranger' }, /no user/i);
  });

  it('makes an expired account with an aged password and no shell usable (W18)', async () => {
    await vm.get('useradd -m old; chage -E 2020-01-01 -d 1 -M 2 old; usermod -L -s /usr/sbin/nologin old');
    const { level, message, steps } = await vm.set({
      protected: { username: 'old', password: PASSWORD, ssh_key: await key() },
    });
    expect(level, message).toBe('Info');
    expect(steps.account?.message).toMatch(/expire|shell/);
    const greeting = { exitCode: 0, stdout: 'old\n', stderr: '' };
    expect(await vm.loginByPassword('old', PASSWORD)).toEqual(greeting);
    expect(await vm.loginByKey('old', '/run/keys/key')).toEqual(greeting);
  });

  it('does not widen the rights of who is there, and leaves the lines of others (W14, W15, W17)', async () => {
    const rights = await vm.get('sudo -n -l -U admin; sudo -n -l -U plain; cat /etc/sudoers.d/waagent');
    for (const username of ['admin', 'plain']) {
      const { level, message } = await vm.set({ protected: { username, ssh_key: await key() } });
      expect(level, message).toBe('Info');
      expect(await login(username)).toBe(username);
    }
    expect(await vm.get('sudo -n -l -U admin; sudo -n -l -U plain; cat /etc/sudoers.d/waagent')).toBe(rights);
    await vm.get('useradd -m a.b');
    const { level, message } = await vm.set({ protected: { remove_user: 'a.b' } });
    expect(level, message).toBe('Info');
    expect(await vm.get('getent passwd a.b || echo gone; cat /etc/sudoers.d/waagent')).toBe(
      'gone\nadmin ALL = (ALL) ALL\naxb ALL = (ALL) ALL',
    );
  });

  it('adds a key behind a last line without an end, and both keys open the account (W25)', async () => {
    await vm.get(`ssh-keygen -q -N '' -t ed25519 -f /run/keys/first
      mkdir -m 700 ~plain/.ssh 2>/dev/null; printf %s "$(cat /run/keys/first.pub)" >~plain/.ssh/authorized_keys
      chown -R plain: ~plain/.ssh`);
    await vm.set({ protected: { username: 'plain', ssh_key: `${await key()} again` } });
    expect(await login('plain')).toBe('plain');
    expect((await vm.loginByKey('plain', '/run/keys/first')).stdout).toBe('plain\n');
  });

  it('puts the key where sshd looks: another home, with modes that sshd would refuse (W26)', async () => {
    await vm.get(`useradd -m -d /srv/elsewhere away; mkdir ~away/.ssh; : >~away/.ssh/authorized_keys
      chown -R away: ~away/.ssh; chmod 777 ~away ~away/.ssh; chmod 666 ~away/.ssh/authorized_keys`);
    const { level, message } = await vm.set({ protected: { username: 'away', ssh_key: await key() } });
    expect(level, message).toBe('Info');
    expect(await login('away')).toBe('away');
    expect(await vm.exec('ls -d /home/away')).toMatchObject({ stdout: '' });
  });

  it.each([
    ['a folder that is a link (W22)', 'ln -s /etc ~trap/.ssh'],
    [
      'a file that is a hard link (W23)',
      'mkdir ~trap/.ssh; chown trap: ~trap/.ssh; ln /etc/hostname.test ~trap/.ssh/authorized_keys',
    ],
    [
      'a pipe, without waiting for it (W23)',
      'mkdir ~trap/.ssh; mkfifo ~trap/.ssh/authorized_keys; chown -R trap: ~trap/.ssh',
    ],
  ])('writes no key through %s', async (_what, trap) => {
    await vm.get(`echo secret >/etc/hostname.test; userdel -rf trap 2>/dev/null; useradd -m trap; ${trap}`);
    await expectRefusal({ username: 'trap', ssh_key: await key() }, /link|pipe|file|folder/i);
  });

  it('neither touches nor restarts sshd for what has nothing to do with it (W29)', async () => {
    const sshd = 'cat /run/sshd.pid; find /etc/ssh -printf "%p %T@ %C@\\n" | sort';
    const before = await vm.get(sshd);
    expect(await vm.set({ public: { check_disk: true } })).toMatchObject({ level: 'Info' });
    expect(await vm.set({ protected: { username: 'plain', ssh_key: await key() } })).toMatchObject({
      level: 'Info',
    });
    expect(await vm.get(sshd)).toBe(before);
  });

  it('lets password logins in whatever order, case and drop-in say no, and keeps mode and owner (W31, W35)', async () => {
    await vm.get(`
      printf 'passwordauthentication no\\n' >/etc/ssh/sshd_config.d/60-cloudimg-settings.conf
      sed -i '1i \\  passwordAuthentication no # never say yes' /etc/ssh/sshd_config
      chmod 640 /etc/ssh/sshd_config
      service ssh restart
    `);
    expect(await vm.loginByPassword('old', PASSWORD)).toEqual(REFUSAL);
    const { level, message } = await vm.set({ protected: { username: 'old', password: `${PASSWORD}-2` } });
    expect(level, message).toBe('Info');
    expect((await vm.loginByPassword('old', `${PASSWORD}-2`)).stdout).toBe('old\n');
    expect(await vm.get('stat -c %a:%U /etc/ssh/sshd_config')).toBe('640:root');
  });

  it('takes everything back when a late step fails, and says which (W11, W30)', async () => {
    await vm.get(`
      nft 'table inet guard { chain entry { type filter hook input priority 0; policy drop; meta l4proto udp accept; tcp sport 22 accept; }; }'
      mv /usr/sbin/nft /usr/sbin/nft.real
      printf '%s\\n' '#!/bin/sh' '[ "$1" != insert ] || { echo no more rules >&2; exit 1; }' 'exec nft.real "$@"' >/usr/sbin/nft
      chmod 755 /usr/sbin/nft
    `);
    const [before, files] = [await vm.get(STATE), await vm.diff()];
    const { level, message, steps } = await vm.set({
      protected: { username: 'dave', password: PASSWORD, ssh_key: await key(), reset_ssh: true },
    });
    expect(level).toBe('Error');
    expect(message).toContain('no more rules');
    expect(message).toContain('Everything that was changed has been taken back.');
    expect(steps).toMatchObject({
      account: { message: expect.stringContaining('taken back') },
      password: { message: expect.stringContaining('taken back') },
      sshd: { message: expect.stringContaining('taken back') },
      firewall: { status: 'failed' },
    });
    expect(await vm.get(STATE)).toBe(before);
    expect(await vm.diff()).toEqual(files);
    await vm.get('mv /usr/sbin/nft.real /usr/sbin/nft; nft flush ruleset');
    expect((await vm.loginByPassword('old', `${PASSWORD}-2`)).stdout).toBe('old\n');
  });

  it('takes everything back when a program of the account fails (W11)', async () => {
    await vm.get(`mv /usr/sbin/chpasswd /usr/sbin/chpasswd.real
      printf '#!/bin/sh\\ncat >/dev/null\\necho trouble >&2\\nexit 1\\n' >/usr/sbin/chpasswd; chmod 755 /usr/sbin/chpasswd`);
    await expectRefusal({ username: 'erin', password: PASSWORD }, /trouble/);
    await vm.get("printf '#!/bin/sh\\ncat >/dev/null\\n' >/usr/sbin/chpasswd");
    await expectRefusal({ username: 'erin', password: PASSWORD }, /password/i);
    await vm.get('mv /usr/sbin/chpasswd.real /usr/sbin/chpasswd');
  });
});
