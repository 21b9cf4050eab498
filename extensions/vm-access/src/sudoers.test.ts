import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DebianRelease, SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import type { SudoRequest } from './planners.ts';
import type { StepReport } from './step.ts';
import { planSudo } from './sudoers.ts';
import { readIncludedFolders } from './sudoers-files.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const RELEASES: readonly DebianRelease[] = ['bullseye', 'bookworm', 'trixie'];
const D = '/etc/sudoers.d';
const OWN = `${D}/zz-vm-access-alice`;
const NEW: SudoRequest = {
  username: 'alice',
  passwordless: undefined,
  isNew: () => true,
  hasPassword: true,
};
const OLD: SudoRequest = { ...NEW, isNew: () => false };

let machine: SshdMachine;

async function give(request: SudoRequest): Promise<StepReport> {
  const step = await planSudo(machine.context, request);
  return step.act(machine.undo);
}

function files(): Promise<string> {
  return machine.sh(
    `cd /etc && find sudoers sudoers.d -printf '%p %m %U %G\\n' -type f -exec sha256sum {} + | sort`,
  );
}

/** What alice can do without being asked anything. */
async function canBecomeRoot(name = 'alice'): Promise<boolean> {
  return (await machine.sh(`su ${name} -c 'sudo -n id -u' 2>&1 || true`)).includes('0\n');
}

describe.each(RELEASES)('planSudo on Debian %s', (release) => {
  const reason = whyNoMachine(release);
  beforeEach(async () => {
    if (reason !== undefined) return;
    machine = await startSshdMachine(release);
    await machine.sh('echo 127.0.0.1 localhost $(uname -n) >/etc/hosts; useradd -m alice; useradd -m eve');
  });
  afterEach(() => machine.remove());

  it.skipIf(reason !== undefined)(
    'gives a new account its rights in a file of its own, and to nobody else (W13, W15)',
    async () => {
      const before = await files();
      const report = await give({ ...NEW, hasPassword: false });
      expect(report).toEqual({
        changed: true,
        message: `gave alice every command with sudo, without a password (${OWN})`,
      });
      expect(await machine.sh(`stat -c '%a %U %G' ${OWN}; ls -A ${D}; visudo -c`)).toContain(
        '440 root root\nREADME\nzz-vm-access-alice\n',
      );
      expect([await canBecomeRoot(), await canBecomeRoot('eve')]).toEqual([true, false]);
      const given = await files();
      expect(await give({ ...NEW, hasPassword: false })).toMatchObject({ changed: false });
      expect(await files()).toBe(given);
      expect(await machine.undo.rollBack()).toEqual([]);
      expect(await files()).toBe(before);
      expect(await canBecomeRoot()).toBe(false);
    },
  );

  it.skipIf(reason !== undefined)('asks for the password of an account that has one', async () => {
    await machine.sh('echo alice:a-Passw0rd | chpasswd; echo root:other-Passw0rd | chpasswd');
    machine.write(`${D}/targetpw`, 'Defaults targetpw\nALL ALL=(ALL) ALL\n', 0o440);
    expect((await give(NEW)).message).toContain('every command with sudo, after the password');
    expect(await canBecomeRoot()).toBe(false);
    const asked = await machine.sh(`su alice -c 'echo a-Passw0rd | sudo -S id -u' 2>&1 || true`);
    expect(asked).toContain('0\n');
    expect(await give(NEW)).toMatchObject({ changed: false });
  });
});

describe.skipIf(whyNoMachine('bookworm') !== undefined)('planSudo', () => {
  beforeEach(async () => {
    machine = await startSshdMachine();
    await machine.sh('echo 127.0.0.1 localhost $(uname -n) >/etc/hosts; useradd -m alice; useradd -m eve');
  });
  afterEach(() => machine.remove());

  it.each<[string, string, SudoRequest['passwordless'], RegExp]>([
    ['no rights', 'true', undefined, /no rights of sudo/],
    ['a rule of the agent', `echo 'alice ALL = (ALL) ALL' >${D}/waagent`, undefined, /after the password/],
    ['a group', 'usermod -aG sudo alice', undefined, /after the password/],
    ['a group', 'usermod -aG sudo alice', false, /after the password/],
    [
      'one command',
      `echo 'alice ALL=(ALL) /bin/ls' >${D}/ls`,
      undefined,
      /some rights of sudo: \(ALL\) \/bin\/ls/,
    ],
    [
      "cloud-init's rule",
      `echo 'alice ALL=(ALL) NOPASSWD:ALL' >${D}/90-cloud-init-users`,
      false,
      /without a password/,
    ],
  ])(
    'leaves an account that is there and has %s exactly as it is (W17)',
    async (_what, commands, asked, says) => {
      await machine.sh(commands);
      const before = await files();
      expect(await give({ ...OLD, passwordless: asked })).toEqual({
        changed: false,
        message: expect.stringMatching(says),
      });
      expect(await files()).toBe(before);
    },
  );

  it('gives access without a password where it is asked for, whatever the other files say', async () => {
    await machine.sh(
      `usermod -aG sudo alice; printf 'eve ALL = (ALL) ALL\\nalice ALL = (ALL) ALL\\n' >${D}/waagent`,
    );
    await machine.sh(`chmod 440 ${D}/waagent`);
    const waagent = machine.read(`${D}/waagent`);
    expect(await give({ ...OLD, passwordless: true })).toMatchObject({ changed: true });
    expect(await canBecomeRoot()).toBe(true);
    expect(machine.read(`${D}/waagent`)).toBe(waagent);
    expect(await give({ ...OLD, passwordless: true })).toMatchObject({ changed: false });
  });

  it('writes nothing where another file gives the rights already', async () => {
    await machine.sh(`echo 'alice ALL=(ALL) NOPASSWD:ALL' >${D}/90-cloud-init-users`);
    const before = await files();
    expect(await give({ ...OLD, passwordless: true })).toMatchObject({ changed: false });
    expect(await files()).toBe(before);
  });

  it('does not let a new account have what a former one of its name was given', async () => {
    await give({ ...OLD, passwordless: true });
    expect(await canBecomeRoot()).toBe(true);
    expect(await give(NEW)).toMatchObject({ changed: true });
    expect(await canBecomeRoot()).toBe(false);
  });

  it('warns of rights that nobody can use, and gives none that were not asked for', async () => {
    expect(await give({ ...NEW, hasPassword: false, passwordless: false })).toMatchObject({
      message: expect.stringContaining('after the password'),
      warning: expect.stringContaining('has no password'),
    });
  });

  it('fails and takes its file away when a later file says otherwise', async () => {
    machine.write(`${D}/zzz`, 'alice ALL=(ALL) ALL\n', 0o440);
    const before = await files();
    await expect(give({ ...OLD, passwordless: true })).rejects.toMatchObject({
      code: 'SUDO_NOT_VERIFIED',
      message: expect.stringContaining('another file of rules comes after'),
    });
    await machine.undo.rollBack();
    expect(await files()).toBe(before);
  });

  it.each([
    ['without the line', 'sed -i /includedir/d /etc/sudoers'],
    ['without the folder', `sed -i /includedir/d /etc/sudoers; rm -r ${D}`],
    ['without a newline at its end', "sed -i /includedir/d /etc/sudoers; printf '# end' >>/etc/sudoers"],
  ])('lets a main file %s read the folder, and takes it back (W15)', async (_what, commands) => {
    await machine.sh(commands);
    const before = await machine.sh(
      'cat /etc/sudoers; stat -c "%a %U %G" /etc/sudoers; ls -A /etc | grep sudo',
    );
    expect(await give({ ...NEW, hasPassword: false })).toMatchObject({ changed: true });
    expect(await canBecomeRoot()).toBe(true);
    expect(machine.read('/etc/sudoers')).toMatch(/\n#includedir \/etc\/sudoers\.d\n$/);
    expect(await machine.sh('visudo -c; stat -c "%a %U %G" /etc/sudoers')).toContain('440 root root');
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(
      await machine.sh('cat /etc/sudoers; stat -c "%a %U %G" /etc/sudoers; ls -A /etc | grep sudo'),
    ).toBe(before);
  });

  it('uses another folder that the main file reads', async () => {
    await machine.sh("sed -i 's,includedir .*,includedir /etc/rules/,' /etc/sudoers; mkdir /etc/rules");
    expect((await give({ ...NEW, hasPassword: false })).message).toContain('(/etc/rules/zz-vm-access-alice)');
    expect(await canBecomeRoot()).toBe(true);
  });

  it('tells a fault that was there before, and does its work where sudo does its own (W15)', async () => {
    machine.write(`${D}/broken`, 'this is no rule\n', 0o440);
    expect(await give({ ...NEW, hasPassword: false })).toMatchObject({
      changed: true,
      warning: expect.stringMatching(/fault that was there before: .*broken/),
    });
    expect(await canBecomeRoot()).toBe(true);
  });

  it('says it before anything is changed where sudo does not work, or is not there', async () => {
    await machine.sh('chmod 666 /etc/sudoers');
    await expect(planSudo(machine.context, NEW)).rejects.toMatchObject({
      code: 'SUDO_UNUSABLE',
      message: expect.stringMatching(/sudoers.*mend that/),
    });
    expect(await give(OLD)).toMatchObject({
      changed: false,
      warning: expect.stringContaining('does not tell'),
    });
    await machine.sh('rm /usr/bin/sudo');
    await expect(planSudo(machine.context, NEW)).rejects.toMatchObject({ code: 'PROGRAM_MISSING' });
    expect(await give(OLD)).toEqual({
      changed: false,
      message: 'its rights stay as they are: sudo is not installed',
    });
  });

  it('says it where the disk is read-only, and has nothing to take back then', async () => {
    await machine.sh('mount --bind /etc /etc; mount -o remount,ro,bind /etc');
    await expect(give({ ...OLD, passwordless: true })).rejects.toMatchObject({
      code: 'SUDO_UNUSABLE',
      message: expect.stringMatching(/^\/etc\/sudoers\.d\/.*cannot be written \(EROFS\); .*try again$/),
    });
    expect(await machine.undo.rollBack()).toEqual([]);
  });

  it('writes over what a run that was ended has left', async () => {
    machine.write(`${D}/.zz-vm-access-alice.handlerkit-new`, 'half a ru', 0o400);
    expect(await give({ ...NEW, hasPassword: false })).toMatchObject({ changed: true });
    expect(await machine.sh(`ls -A ${D}`)).toBe('README\nzz-vm-access-alice\n');
  });
});

describe('readIncludedFolders', () => {
  it.each([
    ['@includedir /etc/sudoers.d\n', ['/etc/sudoers.d']],
    ['#includedir /etc/sudoers.d/\n', ['/etc/sudoers.d']],
    ['  @includedir "/etc/a"\n', ['/etc/a']],
    ['@includedir /etc/a\\ b\n', ['/etc/a b']],
    ['# @includedir /etc/a\n## includedir /etc/b\n', []],
    ['@include /etc/a\n', []],
  ])('reads %j as %j', (text, folders) => {
    expect(readIncludedFolders(text)).toEqual(folders);
  });
});
