/** The file of keys on a real system: wherever sshd looks for it and whatever state it is in, the key opens the account afterwards. */
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { useAccessVm } from './access-vm.ts';
import { findRoot } from './roots.ts';

const root = await findRoot('bookworm');
const HOME = '/srv/people/alice';

describe.skipIf(root.reason !== undefined)(`the file of keys on ${root.title}`, () => {
  const vm = useAccessVm(root, () => inject('vmAccessZip'));
  const keys = new Map<string, string>();
  let count = 0;
  const set = (name: string, more: object = {}) => {
    count += 1;
    // The same settings again would be no new sequence.
    const ssh_key = `# ${count}\n${keys.get(name)}`;
    return vm.set({ protected: { username: 'alice', ssh_key, ...more } });
  };
  const login = async (name: string): Promise<string> => {
    const { exitCode, stdout } = await vm.loginByKey('alice', `/run/keys/${name}`);
    return exitCode === 0 ? stdout.trim() : 'refused';
  };
  beforeAll(async () => {
    await vm.startSshd();
    const names = ['first', 'second', 'third'];
    const texts = await vm.get(`
      mkdir -p /srv/people /run/keys
      useradd -m -d ${HOME} -s /bin/bash alice
      for name in ${names.join(' ')}; do ssh-keygen -q -N '' -t ed25519 -C $name -f /run/keys/$name; done
      cd ${HOME} && mkdir .ssh && printf %s "$(cat /run/keys/first.pub)" >.ssh/authorized_keys && chown -R alice: .ssh
      chmod 777 . .ssh && chmod 666 .ssh/authorized_keys
      cd /run/keys && cat ${names.map((name) => `${name}.pub`).join(' ')}
    `);
    for (const [index, text] of texts.split('\n').entries()) keys.set(names[index] ?? '', text);
  });

  it('lies in a home elsewhere, and modes that StrictModes refuses are mended (W26)', async () => {
    expect(await login('first')).toBe('refused');
    const { level, message, steps } = await set('second');
    expect(level, message).toBe('Info');
    expect(steps['ssh key']?.message).toContain('its mode was 666');
    expect(await login('second')).toBe('alice');
    expect(await vm.get(`stat -c '%U %a' ${HOME} ${HOME}/.ssh ${HOME}/.ssh/authorized_keys; ls /home`)).toBe(
      'alice 755\nalice 755\nalice 644',
    );
  });

  it('keeps the last key, which had no newline behind it (W25)', async () => {
    expect(await login('first')).toBe('alice');
    const lines = (await vm.get(`cat ${HOME}/.ssh/authorized_keys`)).split('\n');
    expect(lines).toEqual([keys.get('first'), keys.get('second')]);
  });

  it('has a key that was bound to one command without the bond', async () => {
    await vm.get(`sed -i '1s/^/command="echo bound" /' ${HOME}/.ssh/authorized_keys`);
    expect(await login('first')).toBe('bound');
    const { steps } = await set('first');
    expect(steps['ssh key']?.message).toContain('was there with options');
    expect(await login('first')).toBe('alice');
  });

  it('that is a link, or lies behind one, is refused, and nothing outside changes hands (W22)', async () => {
    const state = 'stat -c "%n %U %a %Y" /etc /etc/passwd; sha256sum /etc/passwd';
    const before = await vm.get(state);
    await vm.get(`cd ${HOME} && mv .ssh kept && ln -s /etc .ssh && chown -h alice: .ssh`);
    const behind = await set('third');
    expect([behind.level, behind.message]).toEqual([
      'Error',
      expect.stringContaining('.ssh is a symbolic link'),
    ]);
    await vm.get(
      `cd ${HOME} && rm .ssh && mkdir -m 700 .ssh && ln -s /etc/passwd .ssh/authorized_keys && chown -hR alice: .ssh`,
    );
    const link = await set('third');
    expect([link.level, link.message]).toEqual([
      'Error',
      expect.stringContaining('authorized_keys is a symbolic link'),
    ]);
    expect(await vm.get(state)).toBe(before);
    await vm.get(`cd ${HOME} && rm -r .ssh && mv kept .ssh`);
  });

  it('is that of AuthorizedKeysFile, also for this user alone (W26)', async () => {
    await vm.get(`
      printf '%s\\n' 'Match User alice' 'AuthorizedKeysFile /etc/ssh/keys/%u' >/etc/ssh/sshd_config.d/90-keys.conf
      service ssh restart
    `);
    expect(await login('first')).toBe('refused');
    const { level, message } = await set('third');
    expect(level, message).toBe('Info');
    expect(await login('third')).toBe('alice');
    expect(await vm.get('stat -c "%U %a" /etc/ssh/keys /etc/ssh/keys/alice')).toBe('root 755\nroot 644');
  });

  it('that sshd does not read is an error before anything is changed, unless sshd is reset (W26)', async () => {
    await vm.get(`
      sed -i 's,/etc/ssh/keys/%u,none,' /etc/ssh/sshd_config.d/90-keys.conf
      rm -r ${HOME}/.ssh && service ssh restart
    `);
    const refused = await set('third');
    expect([refused.level, refused.message]).toEqual([
      'Error',
      expect.stringContaining('AuthorizedKeysFile none'),
    ]);
    expect((await vm.exec(`ls ${HOME}/.ssh`)).exitCode).not.toBe(0);
    const { level, message } = await set('third', { reset_ssh: true });
    expect(level, message).toBe('Info');
    expect(await login('third')).toBe('alice');
  });
});
