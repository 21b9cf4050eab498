import { mkdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DebianRelease, SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import type { StepReport } from './step.ts';
import { planRemoval } from './user-removal.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const RELEASES: readonly DebianRelease[] = ['bullseye', 'bookworm', 'trixie'];
/** A user with everything. */
const MAKE_ALICE = `
  useradd -m -s /bin/bash -c 'Alice, Room 1' -G users,games alice
  echo alice:a-Passw0rd | chpasswd; chage -d 2020-02-02 -M 9999 -I 3 -E 2031-01-01 alice
  useradd -m -G games bob
  echo data >/home/alice/data; chown alice: /home/alice/data
  echo mail >/var/mail/alice; chown alice:mail /var/mail/alice
  mkdir -p /var/spool/cron/crontabs /var/spool/cron/atjobs
  printf '* * * * * true caf\\351\\n' >/var/spool/cron/crontabs/alice; chmod 600 /var/spool/cron/crontabs/alice
  chown alice /var/spool/cron/crontabs/alice
  echo job >/var/spool/cron/atjobs/a0001; chown alice /var/spool/cron/atjobs/a0001
  echo job >/var/spool/cron/atjobs/a0002; chown bob /var/spool/cron/atjobs/a0002
  cd /etc/sudoers.d
  printf 'alice ALL = (ALL) ALL\\nbob ALL = (ALL) ALL\\n' >waagent
  printf '# User rules for alice\\nalice ALL=(ALL) NOPASSWD:ALL\\n' >90-cloud-init-users
  echo 'alice ALL=(ALL:ALL) ALL' >zz-vm-access-alice
  chmod 440 *
`;

let machine: SshdMachine;

async function remove(username = 'alice'): Promise<StepReport> {
  const step = await planRemoval(machine.context, username);
  return step.act(machine.undo);
}

/** Files of users line by line, in any order: who comes back is put at the end. */
function everything(): Promise<string> {
  return machine.sh(`
    cd /etc && for file in passwd shadow group gshadow subuid subgid; do sort $file; done
    find /home /var/mail /var/spool/cron /etc/sudoers.d ! -path '*/.cache*' -printf '%p %y %m %U %G\\n' | sort
    find /home /var/mail /var/spool/cron /etc/sudoers.d -type f -exec sha256sum {} + | sort
  `);
}

describe.each(RELEASES)('planRemoval on Debian %s', (release) => {
  const reason = whyNoMachine(release);
  beforeEach(async () => {
    if (reason !== undefined) return;
    machine = await startSshdMachine(release);
    mkdirSync(machine.host.path(machine.context.dataFolder), { recursive: true });
    await machine.sh(MAKE_ALICE);
  });
  afterEach(() => machine.remove());

  it.skipIf(reason !== undefined)('removes all of a user, and nothing of others (W20)', async () => {
    await machine.sh(`
      printf '#!/bin/bash\\ntrap "" TERM\\nwhile :; do sleep 0.05; done\\n' >/home/alice/stubborn
      chmod 755 /home/alice/stubborn
      setsid su alice -c 'exec /home/alice/stubborn' >/dev/null 2>&1 &
      setsid su alice -c 'exec sleep 1000' >/dev/null 2>&1 &
      setsid su bob -c 'exec sleep 1000' >/dev/null 2>&1 &
      until pgrep -u alice sleep && pgrep -u alice stubborn && pgrep -u bob sleep; do sleep 0.05; done >/dev/null
    `);
    const report = await remove();
    expect(report).toEqual({
      changed: true,
      message: expect.stringMatching(
        /^removed the account alice \(uid 1000\), with \d+ processes, its home \/home\/alice, its mail, its scheduled jobs, its sudo rights in .*zz-vm-access-alice, .*waagent, .*90-cloud-init-users$/,
      ),
    });
    expect(await machine.undo.finish()).toEqual([]);
    const left = await machine.sh(`
      grep -rw alice /etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/subuid /etc/subgid || true
      find / -xdev \\( -uid 1000 -o -name '*alice*' -o -name '*.handlerkit-*' \\) ! -path '/proc/*' ! -path '/.handlerkit*' || true
      ls -A /var/lib/waagent/*.data
      pgrep -r R,S,D -u 1000 || true
    `);
    expect(left.trim()).toBe('');
    expect(await machine.sh('pgrep -c -u bob sleep; cat /home/bob/.profile | wc -l; id -Gn bob')).toMatch(
      /^1\n[1-9]\d*\nbob games\n$/,
    );
    expect(machine.read('/etc/sudoers.d/waagent')).toBe('bob ALL = (ALL) ALL\n');
    expect(machine.read('/etc/sudoers.d/90-cloud-init-users')).toBe('# User rules for alice\n');
    expect(await machine.sh('ls /var/spool/cron/atjobs; visudo -c >/dev/null')).toBe('a0002\n');
  });

  it.skipIf(reason !== undefined)('puts every line and file back when a later step fails', async () => {
    const before = await everything();
    await remove();
    expect(await everything()).not.toBe(before);
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
    await machine.sh('id -Gn alice');
  });
});

describe.skipIf(whyNoMachine('bookworm') !== undefined)('planRemoval', () => {
  beforeEach(async () => {
    machine = await startSshdMachine();
    mkdirSync(machine.host.path(machine.context.dataFolder), { recursive: true });
    await machine.sh('useradd -m alice; useradd -m bob');
  });
  afterEach(() => machine.remove());

  it.each([
    ['nosuchuser', 'USER_UNKNOWN'],
    ['root', 'ACCOUNT_REFUSED'],
    ['nobody', 'ACCOUNT_REFUSED'],
    ['daemon', 'ACCOUNT_REFUSED'],
    ['ALL', 'USER_NAME_INVALID'],
    ['-r', 'USER_NAME_INVALID'],
    ['../bob', 'USER_NAME_INVALID'],
  ])('refuses %s and changes nothing (W16, W20)', async (name, code) => {
    const before = await everything();
    await expect(remove(name)).rejects.toMatchObject({ code });
    expect(await everything()).toBe(before);
  });

  it('refuses a user whose uid somebody else has too', async () => {
    await machine.sh('useradd -o -u 1000 twin');
    await expect(remove()).rejects.toMatchObject({
      code: 'ACCOUNT_REFUSED',
      message: expect.stringContaining('twin'),
    });
  });

  it.each([
    ["is another user's too", 'usermod -d /home/alice bob', /is or holds the home of bob/],
    ["holds another user's", 'usermod -d /home/alice/bob bob', /is or holds the home of bob/],
    [
      "is another user's by another name",
      'ln -s alice /home/b; usermod -d /home/b bob',
      /holds the home of bob/,
    ],
    ["is a folder of another user's", 'usermod -d /home/bob alice', /belongs to the uid 1001/],
    ['is a link', 'mv /home/alice /home/a; ln -s a /home/alice; chown -h alice /home/alice', /is a link/],
    ['is the system', 'usermod -d / alice', /^\/ stays: it is a folder of the system/],
    [
      "is the system's",
      'mkdir /var/lib/x; chown alice /var/lib/x; usermod -d /var/lib/x alice',
      /of the system/,
    ],
    ['is a disk', 'mount -t tmpfs none /home/alice; chown alice /home/alice', /is a disk of its own/],
    [
      'lies with bob',
      'mkdir /home/bob/a; chown alice /home/bob/a; usermod -d /home/bob/a alice',
      /lies in a folder of others/,
    ],
  ])('keeps a home that %s, and says why (W20)', async (_what, commands, reason) => {
    await machine.sh(commands);
    const before = await machine.sh('find /home /var/lib/x 2>/dev/null | sort; true');
    expect(await remove()).toMatchObject({ changed: true, warning: expect.stringMatching(reason) });
    await machine.undo.finish();
    expect(await machine.sh('find /home /var/lib/x 2>/dev/null | sort; true')).toBe(before);
    expect(await machine.sh('id alice 2>&1 || true')).toContain('no such user');
  });

  it('keeps a group that others are in', async () => {
    await machine.sh('usermod -aG alice bob');
    await remove();
    expect(await machine.sh('getent group alice')).toBe('alice:x:1000:bob\n');
  });

  it('warns of rules of sudo that name the user and others, and leaves them alone', async () => {
    machine.write('/etc/sudoers.d/team', 'alice, bob ALL=(ALL) ALL\n', 0o440);
    expect(await remove()).toMatchObject({
      warning: expect.stringContaining('alice is still named in /etc/sudoers.d/team'),
    });
    expect(machine.read('/etc/sudoers.d/team')).toBe('alice, bob ALL=(ALL) ALL\n');
  });

  it('leaves a file of rules alone that has a fault, and says so (W15)', async () => {
    const text = 'this is no rule\nalice ALL=(ALL) ALL\n';
    machine.write('/etc/sudoers.d/waagent', text, 0o440);
    expect(await remove()).toMatchObject({ warning: expect.stringContaining('visudo does not take') });
    expect(machine.read('/etc/sudoers.d/waagent')).toBe(text);
    expect(await machine.sh('ls -A /etc/sudoers.d')).toBe('README\nwaagent\n');
  });

  it('ends processes that start others all the time', async () => {
    await machine.sh(`
      printf '#!/bin/sh\\ntrap "" TERM\\n(sleep 0.2; exec /home/alice/again) &\\nsleep 0.4\\n' >/home/alice/again
      chmod 755 /home/alice/again
      setsid su alice -c 'exec /home/alice/again' >/dev/null 2>&1 &
      until pgrep -u alice again; do sleep 0.05; done >/dev/null
    `);
    expect((await remove()).message).toMatch(/with \d+ processes/);
    // The first process of the test's machine does not ask for the ends of others.
    expect((await machine.sh('pgrep -r R,S,D -u 1000 || true')).trim()).toBe('');
  });

  it('is finished by the next run when the first one was ended before the account was deleted', async () => {
    await machine.sh('mv /usr/sbin/userdel /opt/');
    await machine.sh('printf "#!/bin/sh\\nexit 1\\n" >/usr/sbin/userdel; chmod 755 /usr/sbin/userdel');
    await expect(remove()).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
    expect(await machine.sh('ls -A /home')).toBe('.alice.handlerkit-removed\nbob\n');
    await machine.sh('mv /opt/userdel /usr/sbin/');
    expect((await remove()).message).toContain('its home /home/alice');
  });

  it('is finished by the next run when the first one was ended before it had deleted the home', async () => {
    await remove();
    expect(await machine.sh('ls -A /home')).toBe('.alice.handlerkit-removed\nbob\n');
    const step = await planRemoval(machine.context, 'alice');
    expect((await step.act(machine.undo)).message).toContain('finished the removal of the account alice');
    expect(await machine.undo.finish()).toEqual([]);
    expect(await machine.sh('ls -A /home')).toBe('bob\n');
    await expect(planRemoval(machine.context, 'alice')).rejects.toMatchObject({ code: 'USER_UNKNOWN' });
  });

  it('fails when userdel says that it went well and it did not (W11)', async () => {
    await machine.sh('printf "#!/bin/sh\\n" >/usr/sbin/userdel; chmod 755 /usr/sbin/userdel');
    const before = await everything();
    await expect(remove()).rejects.toMatchObject({ code: 'ACCOUNT_NOT_VERIFIED' });
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });
});
