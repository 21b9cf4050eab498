/** What VM Access is for, on real systems: who could not log in can, with a real sshd, and who must not cannot. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { useAccessVm } from './access-vm.ts';
import { findRoot, RELEASES } from './roots.ts';

const ROOTS = await Promise.all(RELEASES.map(findRoot));
const PASSWORD = 'first-Pass w0rd: "é"';
const NEXT_PASSWORD = 'second-Pass-w0rd';

const greeting = (name: string) => ({ exitCode: 0, stdout: `${name}\n`, stderr: '' });
const REFUSAL = { exitCode: 255, stdout: '', stderr: expect.stringContaining('Permission denied') };

describe.each(ROOTS)('VM Access on $title', (root) => {
  const cannot = root.reason !== undefined;
  const vm = useAccessVm(root, () => inject('vmAccessZip'));
  beforeAll(async () => {
    if (!cannot) await vm.startSshd();
  });

  it.skipIf(cannot)('makes a user with a password, who logs in and uses sudo with it', async () => {
    const { level, message, steps } = await vm.set({
      protected: { username: 'alice', password: PASSWORD },
    });
    expect(level, message).toBe('Info');
    expect(steps).toMatchObject({
      account: { status: 'succeeded' },
      password: { status: 'succeeded' },
      sudo: { status: 'succeeded' },
      sshd: { status: 'succeeded' },
    });
    expect(await vm.loginByPassword('alice', PASSWORD)).toEqual(greeting('alice'));
    expect(await vm.loginByPassword('alice', `${PASSWORD} `)).toEqual(REFUSAL);
    const script = 'sudo -k; sudo -n true 2>/dev/null && echo free; echo "$1" | sudo -S -p "" id -un';
    expect(await vm.get(`su alice -c '${script}' -- alice "$1"`, PASSWORD)).toBe('root');
  });

  it.skipIf(cannot)('gives an existing user another password, and the old one is refused', async () => {
    const rights = await vm.get('sudo -n -l -U alice');
    const { level, message } = await vm.set({ protected: { username: 'alice', password: NEXT_PASSWORD } });
    expect(level, message).toBe('Info');
    expect(await vm.loginByPassword('alice', NEXT_PASSWORD)).toEqual(greeting('alice'));
    expect(await vm.loginByPassword('alice', PASSWORD)).toEqual(REFUSAL);
    expect(await vm.get('sudo -n -l -U alice')).toBe(rights);
  });

  it.skipIf(cannot)('adds the key of a certificate, so that its owner logs in', async () => {
    const { certificate, privateKey } = makeCertificate();
    await vm.write('/run/keys/certificate', privateKey);
    expect(await vm.loginByKey('alice', '/run/keys/certificate')).toEqual(REFUSAL);
    const { level, message } = await vm.set({ protected: { username: 'alice', ssh_key: certificate } });
    expect(level, message).toBe('Info');
    expect(await vm.loginByKey('alice', '/run/keys/certificate')).toEqual(greeting('alice'));
    expect(await vm.get('stat -c "%U %a" ~alice/.ssh ~alice/.ssh/authorized_keys')).toBe(
      'alice 700\nalice 600',
    );
  });

  it.skipIf(cannot)('gets back in after sshd and firewall were locked, and brings both back', async () => {
    await vm.get(`
      printf '%s\\n' 'Port 2222' 'PasswordAuthentication no' 'PubkeyAuthentication no' 'DenyUsers alice' >/etc/ssh/sshd_config
      nft 'table inet guard { chain entry { type filter hook input priority 0; policy drop; tcp sport { 22, 2222 } accept; }; }'
      service ssh restart
    `);
    const locked = await vm.get('cat /etc/ssh/sshd_config');
    expect((await vm.loginByPassword('alice', NEXT_PASSWORD)).exitCode).not.toBe(0);
    const reset = await vm.set({ protected: { reset_ssh: true } });
    expect(reset.level, reset.message).toBe('Info');
    expect(reset.steps.firewall?.message).toContain(
      'port 22 opened to every address in nftables inet guard entry',
    );
    expect(await vm.loginByKey('alice', '/run/keys/certificate')).toEqual(greeting('alice'));
    expect(await vm.loginByPassword('alice', NEXT_PASSWORD)).toEqual(greeting('alice'));

    const restored = await vm.set({ protected: { restore_backup_ssh: true } });
    expect(restored.level, restored.message).toBe('Info');
    expect(await vm.get('cat /etc/ssh/sshd_config')).toBe(locked);
    expect(restored.steps.firewall?.message).toContain('port 2222 opened');
    expect(await vm.loginByPassword('alice', NEXT_PASSWORD)).toEqual(REFUSAL);
    await vm.set({ protected: { reset_ssh: 'true' } });
    expect(await vm.loginByPassword('alice', NEXT_PASSWORD)).toEqual(greeting('alice'));
  });

  it.skipIf(cannot)('removes a user with what runs and what is left of it (W20)', async () => {
    // With a firewall that drops what the system asks of its name server, sudo takes half a minute.
    await vm.get(`
      nft flush ruleset
      mkdir -p /var/mail && echo letter >/var/mail/alice && chown alice /var/mail/alice
      su alice -c 'sleep 600 >/dev/null 2>&1 &'
      echo 'alice ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users
      chmod 440 /etc/sudoers.d/90-cloud-init-users
    `);
    const { level, message } = await vm.set({ protected: { remove_user: 'alice' } });
    expect(level, message).toBe('Info');
    expect(
      await vm.exec('getent passwd alice; getent group alice; pgrep -u 1000; ls -d /home/alice'),
    ).toMatchObject({
      stdout: '',
    });
    expect(await vm.exec('grep -rs alice /etc/passwd /etc/shadow /etc/sudoers.d /var/mail')).toMatchObject({
      stdout: '',
    });
    expect(await vm.get('visudo -c >/dev/null && echo fine')).toBe('fine');
    expect(await vm.loginByPassword('alice', NEXT_PASSWORD)).toEqual(REFUSAL);
  });
});

/** Forms of a public key that `ssh-keygen -e` or `-y` writes. */
const KEYS = [
  ['ed25519', '-t ed25519', 'cat $key.pub'],
  ['rsa', '-t rsa -b 2048', 'cat $key.pub'],
  ['ecdsa', '-t ecdsa', 'cat $key.pub'],
  ['ecdsa as PEM', '-t ecdsa -b 384', 'ssh-keygen -e -m PKCS8 -f $key.pub'],
  ['rsa as PEM of PKCS#1', '-t rsa -b 2048', 'ssh-keygen -e -m PEM -f $key.pub'],
  ['ed25519 in the form of SSH2', '-t ed25519', 'ssh-keygen -e -m RFC4716 -f $key.pub'],
] as const;

const bookworm = await findRoot('bookworm');
describe.skipIf(bookworm.reason !== undefined)(`a key on ${bookworm.title}`, () => {
  const vm = useAccessVm(bookworm, () => inject('vmAccessZip'));
  beforeAll(() => vm.startSshd());

  it.each(KEYS)('opens the account: %s (W27)', async (name, type, show) => {
    const file = `/run/keys/${name.replaceAll(/\W/g, '-')}`;
    const text = await vm.get(
      `mkdir -p /run/keys; key=$1; ssh-keygen -q -N '' ${type} -f $key && ${show}`,
      file,
    );
    const { level, message } = await vm.set({ protected: { username: 'bob', ssh_key: text } });
    expect(level, message).toBe('Info');
    expect(await vm.loginByKey('bob', file)).toEqual(greeting('bob'));
  });

  it('leaves the others working, and takes them away when that is asked for', async () => {
    for (const [name] of KEYS) {
      expect(await vm.loginByKey('bob', `/run/keys/${name.replaceAll(/\W/g, '-')}`)).toEqual(greeting('bob'));
    }
    const text = await vm.get('cat /run/keys/rsa.pub');
    await vm.set({ protected: { username: 'bob', ssh_key: text, remove_prior_keys: true } });
    expect(await vm.loginByKey('bob', '/run/keys/rsa')).toEqual(greeting('bob'));
    expect(await vm.loginByKey('bob', '/run/keys/ed25519')).toEqual(REFUSAL);
    expect(await vm.loginByPassword('bob', '')).toEqual(REFUSAL);
  });
});

/** As `openssl x509 -text` shows it: a description, then the certificate. */
function makeCertificate(): { readonly certificate: string; readonly privateKey: string } {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-certificate-'));
  try {
    const [key, certificate] = [join(folder, 'key'), join(folder, 'certificate')];
    const names = ['-subj', '/CN=alice', '-keyout', key, '-out', certificate];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-text', ...names], {
      stdio: 'ignore',
    });
    return { certificate: readFileSync(certificate, 'utf8'), privateKey: readFileSync(key, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
