import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DebianRelease, SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import type { AccountRequest } from './planners.ts';
import type { StepReport } from './step.ts';
import { planAccount } from './user-account.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const RELEASES: readonly DebianRelease[] = ['bullseye', 'bookworm', 'trixie'];
const KEY_ONLY: AccountRequest = {
  username: 'alice',
  expiration: undefined,
  hasKey: true,
  hasPassword: false,
};
const IN_2030 = { text: '2030-12-31', days: 22_279 };

let machine: SshdMachine;

async function make(more: Partial<AccountRequest> = {}): Promise<StepReport> {
  const step = await planAccount(machine.context, { ...KEY_ONLY, ...more });
  return step.act(machine.undo);
}

/** All that an account is made of, as text. */
function everything(): Promise<string> {
  return machine.sh(`
    cd /etc && sha256sum passwd shadow group gshadow subuid subgid
    find /home /var/mail /srv -printf '%p %y %m %U %G\\n' | sort
  `);
}

async function line(file: string, name = 'alice'): Promise<string> {
  return (await machine.sh(`grep '^${name}:' /etc/${file} || true`)).trim();
}

describe.each(RELEASES)('planAccount on Debian %s', (release) => {
  const reason = whyNoMachine(release);
  beforeEach(async () => {
    if (reason === undefined) machine = await startSshdMachine(release);
  });
  afterEach(() => machine.remove());

  it.skipIf(reason !== undefined)('makes an account with a group and a home of its own (W12)', async () => {
    const before = await everything();
    const report = await make({ expiration: IN_2030 });
    expect(report).toEqual({
      changed: true,
      message: 'made the account alice (uid 1000, home /home/alice, shell /bin/bash, expires on 2030-12-31)',
    });
    expect(await line('passwd')).toBe('alice:x:1000:1000::/home/alice:/bin/bash');
    expect(await line('group')).toBe('alice:x:1000:');
    expect(await line('shadow')).toMatch(/^alice:\*:\d+:0:99999:7::22279:$/);
    expect(await machine.sh('stat -c "%U %G %F" ~alice ~alice/.bashrc')).toBe(
      'alice alice directory\nalice alice regular file\n',
    );
    const made = await everything();
    expect(await make({ expiration: IN_2030 })).toEqual({
      changed: false,
      message: 'the account alice can be used',
    });
    expect(await everything()).toBe(made);
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it.skipIf(reason !== undefined).each([
    ['in passwd only', 'echo alice:x:1000:1000::/home/alice:/bin/bash >>/etc/passwd'],
    ['without its group', 'useradd -m alice; sed -i /^alice:/d /etc/group /etc/gshadow'],
    ['without its line in shadow', 'useradd -m alice; sed -i /^alice:/d /etc/shadow'],
    ['without a home', 'useradd alice'],
    ['with an empty home of root', 'useradd alice; mkdir -m 0 /home/alice'],
    ['with a home half made', 'useradd alice; mkdir /home/.alice.handlerkit-new; useradd -D >/dev/null'],
    [
      'with locks of a process that is gone',
      'useradd -m alice; usermod -s /bin/false alice; printf 4000000 | tee /etc/passwd.lock >/etc/shadow.lock',
    ],
  ])('finishes an account that an ended run has left %s', async (_what, commands) => {
    await machine.sh(commands);
    const report = await make();
    expect(report.changed).toBe(true);
    expect(await machine.sh('id alice')).toBe('uid=1000(alice) gid=1000(alice) groups=1000(alice)\n');
    expect(await line('shadow')).not.toBe('');
    expect(await machine.sh('stat -c "%U %G" ~alice ~alice/.bashrc; ls -A /home')).toBe(
      'alice alice\nalice alice\nalice\n',
    );
    expect((await machine.sh('stat -c %a ~alice; useradd -m bob; stat -c %a ~bob')).split('\n')).toSatisfy(
      ([own, other]: string[]) => own === other,
    );
    expect(await make()).toMatchObject({ changed: false });
  });
});

const reason = whyNoMachine('bookworm');
describe.skipIf(reason !== undefined)('planAccount for an account that is there', () => {
  beforeEach(async () => {
    machine = await startSshdMachine();
    await machine.sh('useradd -m -s /bin/bash -G users,games alice; echo alice:old-Passw0rd | chpasswd');
  });
  afterEach(() => machine.remove());

  it.each<[string, string, Partial<AccountRequest>, RegExp, string]>([
    ['expired', 'chage -E 2001-01-01 alice', {}, /had expired, and now does not expire/, 'id alice'],
    ['of another day', 'chage -E 2029-01-01 alice', { expiration: IN_2030 }, /now expires on 2030-12-31/, ''],
    [
      'with nologin',
      'usermod -s /usr/sbin/nologin alice',
      {},
      /shell \/usr\/sbin\/nologin.* is now \/bin\/bash/,
      '',
    ],
    ['with a shell that is gone', 'usermod -s /bin/fish alice', {}, /\/bin\/fish.* is now \/bin\/bash/, ''],
    ['whose password must be changed', 'chage -d 0 alice', {}, /counts as of today/, ''],
    ['whose password is too old', 'chage -d 2001-01-01 -M 90 alice', {}, /counts as of today/, ''],
    ['without a home', 'rm -r /home/alice', {}, /its home \/home\/alice was missing and was made/, ''],
  ])('makes one usable that is %s, says so, and takes it back (W18)', async (_what, commands, more, says) => {
    await machine.sh(commands);
    const before = await everything();
    expect(await make(more)).toMatchObject({ changed: true, message: expect.stringMatching(says) });
    expect(await machine.sh('id -Gn alice')).toBe('alice games users\n');
    expect(await make(more)).toMatchObject({ changed: false });
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it('leaves age and lock to the new password where there is one', async () => {
    await machine.sh('chage -d 0 alice; usermod -L alice');
    expect(await make({ hasPassword: true })).toMatchObject({ changed: false });
  });

  it('leaves a lock alone where sshd uses PAM, and makes it one of the password only where not (W18)', async () => {
    await machine.sh('usermod -L alice');
    const before = await everything();
    expect(await make()).toMatchObject({ changed: false });
    machine.write('/etc/ssh/sshd_config.d/1.conf', 'UsePAM no\n');
    expect(await make()).toMatchObject({ message: expect.stringContaining('its lock') });
    expect(await line('shadow')).toMatch(/^alice:\*\$y\$/);
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it.each([
    ['root', 'the administrator'],
    ['nobody', 'of the system or of a service'],
    ['daemon', 'of the system or of a service'],
    ['service', 'of the system or of a service'],
    ['toobig', 'of the system or of a service'],
  ])('refuses %s and changes nothing (W16)', async (username, message) => {
    await machine.sh('useradd -r service; useradd -u 70000 toobig');
    const before = await everything();
    for (const request of [KEY_ONLY, { ...KEY_ONLY, hasPassword: true }]) {
      await expect(planAccount(machine.context, { ...request, username })).rejects.toMatchObject({
        code: 'ACCOUNT_REFUSED',
        message: expect.stringContaining(message),
      });
    }
    expect(await everything()).toBe(before);
  });

  it.each([
    ['of the system', 'usermod -d /nonexistent alice', /\/nonexistent, is a folder of the system/],
    ['that is everything', 'usermod -d / alice', /the home of alice, \/, is a folder of the system/],
    [
      'that leads to one of the system',
      'rm -r /home/alice; ln -s /etc /home/alice',
      /is a folder of the system/,
    ],
    ["that is another user's", 'useradd -m bob; usermod -d /home/bob alice', /belongs to another user/],
    ['that is no folder', 'rm -r /home/alice; echo x >/home/alice', /is no folder/],
  ])('refuses a key for a home %s, and only warns for a password', async (_what, commands, message) => {
    await machine.sh(commands);
    const before = await everything();
    await expect(make()).rejects.toMatchObject({
      code: 'HOME_UNUSABLE',
      message: expect.stringMatching(message),
    });
    expect(await make({ hasKey: false, hasPassword: true })).toMatchObject({
      changed: false,
      warning: expect.stringMatching(message),
    });
    machine.write('/etc/ssh/sshd_config.d/1.conf', 'AuthorizedKeysFile /etc/ssh/keys/%u\n');
    expect(await make()).toMatchObject({ changed: false });
    expect(await everything()).toBe(before);
  });
});

describe.skipIf(reason !== undefined)('planAccount for a new account', () => {
  beforeEach(async () => {
    machine = await startSshdMachine();
  });
  afterEach(() => machine.remove());

  it('finds the home of a former account again, with the id that it had', async () => {
    await machine.sh(
      'useradd -u 1234 -m alice; echo mine >/home/alice/file; chown alice /home/alice/file; userdel alice',
    );
    const before = await everything();
    expect((await make()).message).toContain('uid 1234, home /home/alice, which was there');
    expect(await machine.sh('cat /home/alice/file; stat -c %U /home/alice/file')).toBe('mine\nalice\n');
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it('gives a folder of root that waits for it to the account, and takes it back', async () => {
    await machine.sh('mkdir -p /home/alice/lost+found');
    const before = await everything();
    await make();
    expect(await machine.sh('stat -c %U /home/alice /home/alice/lost+found')).toBe('alice\nroot\n');
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it.each([
    ['a link', 'ln -s /etc /home/alice', 'is a link'],
    ['a file', 'touch /home/alice', 'is no folder'],
    ["another user's", 'useradd bob; mkdir /home/alice; chown bob /home/alice', 'belongs to bob'],
    ["the system's", 'mkdir /home/alice; chown 33 /home/alice', 'belongs to www-data'],
  ])('refuses a home that is %s', async (_what, commands, message) => {
    await machine.sh(commands);
    const before = await everything();
    await expect(make()).rejects.toMatchObject({
      code: 'HOME_UNUSABLE',
      message: expect.stringContaining(message),
    });
    expect(await everything()).toBe(before);
  });

  it('refuses a name whose group has rights, and takes a group that nobody uses', async () => {
    await expect(make({ username: 'sudo' })).rejects.toMatchObject({ code: 'USER_NAME_TAKEN' });
    await machine.sh('groupadd -g 1500 alice');
    const before = await everything();
    expect((await make()).message).toContain('in the group of that name, which was there');
    expect(await machine.sh('id -g alice')).toBe('1500\n');
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it('asks for the folder of homes, and gives /bin/sh where there is no bash', async () => {
    await machine.sh('useradd -D -b /srv/homes; rm /bin/bash');
    const before = await everything();
    expect((await make()).message).toContain('home /srv/homes/alice, shell /bin/sh');
    expect(await machine.sh('stat -c "%U %a" /srv/homes /srv/homes/alice')).toBe('root 755\nalice 755\n');
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it('says it where the VM has no programs for accounts', async () => {
    await machine.sh('rm /usr/sbin/useradd');
    await expect(make()).rejects.toMatchObject({
      code: 'PROGRAM_MISSING',
      message: expect.stringContaining('useradd'),
    });
  });
});
