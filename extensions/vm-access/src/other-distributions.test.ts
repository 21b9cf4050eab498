/** Accounts on systems with the files of other distributions; the programs are those of a real Debian. */
import { mkdirSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { readDistro } from './distro.ts';
import { DISTRIBUTIONS } from './fixtures/distributions.ts';
import type { SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import { planPassword } from './password.ts';
import type { PlannedStep, StepReport } from './step.ts';
import { planSudo } from './sudoers.ts';
import { findSudoers } from './sudoers-files.ts';
import { createUndoList } from './undo.ts';
import { planAccount } from './user-account.ts';
import { planRemoval } from './user-removal.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const REQUEST = { username: 'alice', expiration: undefined, hasKey: false, hasPassword: true };
const SUDO = { username: 'alice', passwordless: undefined, isNew: () => true, hasPassword: true };

let machine: SshdMachine;

async function act(step: Promise<PlannedStep>): Promise<StepReport> {
  return (await step).act(machine.undo);
}

describe.skipIf(whyNoMachine('bookworm') !== undefined).each(DISTRIBUTIONS)(
  'accounts on $title',
  (recorded) => {
    beforeAll(async () => {
      machine = await startSshdMachine();
      mkdirSync(machine.host.path('/usr/etc'), { recursive: true });
      mkdirSync(machine.host.path(machine.context.dataFolder), { recursive: true });
      await machine.sh('rm /etc/os-release; echo 127.0.0.1 localhost $(uname -n) >/etc/hosts');
      machine.write('/etc/os-release', recorded.osRelease);
      // The programs here have one place for it only.
      machine.write('/etc/login.defs', recorded.loginDefs);
      machine.write('/etc/default/useradd', recorded.useradd);
      machine.write('/etc/sudoers', recorded.sudoers, 0o440);
      await machine.sh(
        `sed -i s/yescrypt/${recorded.hash}/ /etc/pam.d/common-password; rm -f /etc/sudoers.d/*`,
      );
      await machine.sh('echo root:of-the-Root-1 | chpasswd');
    });
    afterAll(() => machine.remove());

    it('are made, can be used, and are removed with all that they have (W12, W17, W20)', async () => {
      const files = 'cd /etc; cat passwd group gshadow subuid subgid; ls -A sudoers.d /home /var/mail';
      const before = await machine.sh(files);
      expect(await act(planAccount(machine.context, REQUEST))).toMatchObject({
        changed: true,
        message: expect.stringContaining('home /home/alice, shell /bin/bash'),
      });
      const password = { username: 'alice', password: 'of-Alice-0' };
      const method = recorded.hash === 'sha512' ? 'SHA-512' : 'yescrypt';
      expect((await act(planPassword(machine.context, password))).message).toContain(`(${method})`);
      expect((await act(planSudo(machine.context, SUDO))).message).toMatch(
        /alice (has )?every command with sudo, after the password/,
      );
      expect(await machine.sh('id alice')).toMatch(
        /^uid=1000\(alice\) gid=\d+\(alice\) groups=\d+\(alice\)\n$/,
      );
      expect(await machine.sh(`su alice -c 'echo of-Alice-0 | sudo -S id -u' 2>&1`)).toMatch(/^0$|: 0$/m);
      const rights = { ...SUDO, isNew: () => false };
      expect(await act(planSudo(machine.context, rights))).toMatchObject({ changed: false });
      expect(await act(planAccount(machine.context, REQUEST))).toMatchObject({ changed: false });
      expect((await act(planRemoval(machine.context, 'alice'))).message).toContain(
        'removed the account alice',
      );
      await machine.undo.finish();
      expect(await machine.sh(files)).toBe(before);
    });

    it('of the system are refused (W16)', async () => {
      for (const username of ['root', 'nobody', 'daemon']) {
        await expect(planAccount(machine.context, { ...REQUEST, username })).rejects.toMatchObject({
          code: 'ACCOUNT_REFUSED',
        });
      }
    });
  },
);

describe.skipIf(whyNoMachine('bookworm') !== undefined)('what differs between distributions', () => {
  beforeEach(async () => {
    machine = await startSshdMachine();
  });
  afterEach(() => machine.remove());

  const dress = async (osRelease: string): Promise<void> => {
    await machine.sh('rm /etc/os-release');
    machine.write('/etc/os-release', osRelease);
  };

  it('core of Flatcar is an account of a person although its id is low', async () => {
    await machine.sh('useradd -m -u 500 core');
    await expect(planAccount(machine.context, { ...REQUEST, username: 'core' })).rejects.toMatchObject({
      code: 'ACCOUNT_REFUSED',
    });
    await dress('ID=flatcar\nID_LIKE=coreos\n');
    const context = { ...machine.context, distro: await readDistro(machine.host) };
    const step = await planAccount(context, { ...REQUEST, username: 'core' });
    expect(await step.act(machine.undo)).toMatchObject({ changed: false });
  });

  it('a useradd that does not take a name is the fault of the name, and nothing stays', async () => {
    await machine.sh('mv /usr/sbin/useradd /usr/sbin/useradd.real');
    machine.write(
      '/usr/sbin/useradd',
      '#!/bin/sh\n[ "$1" = -D ] && exec useradd.real -D\necho "useradd: invalid user name" >&2\nexit 3\n',
      0o755,
    );
    await expect(act(planAccount(machine.context, { ...REQUEST, username: 'Alice' }))).rejects.toMatchObject({
      code: 'USER_NAME_INVALID',
      message: expect.stringContaining('invalid user name'),
    });
    await dress('ID=mariner\n');
    const context = { ...machine.context, distro: await readDistro(machine.host) };
    await expect(planAccount(context, { ...REQUEST, username: 'Alice' })).rejects.toMatchObject({
      code: 'USER_NAME_INVALID',
      message: expect.stringContaining('this distribution does not take'),
    });
  });

  it('a user of a directory is refused, whatever id it has (W16)', async () => {
    await machine.sh('mv /usr/bin/getent /usr/bin/getent.real; useradd -m alice');
    machine.write(
      '/usr/bin/getent',
      '#!/bin/sh\ncase $2 in ldap) echo ldap:x:20001:20001::/home/ldap:/bin/bash ;;\nalice) echo alice:x:20002:20002::/home/alice:/bin/bash ;;\n*) exec getent.real "$@" ;; esac\n',
      0o755,
    );
    for (const [username, message] of [
      ['ldap', /but of a directory/],
      ['alice', /a directory has another account alice/],
    ] as const) {
      const { context } = machine;
      const plans = [
        () => planAccount(context, { ...REQUEST, username }),
        () => planRemoval(context, username),
        () => planSudo(context, { ...SUDO, username, isNew: () => false }),
      ];
      for (const plan of plans) {
        await expect(plan()).rejects.toMatchObject({
          code: 'ACCOUNT_REFUSED',
          message: expect.stringMatching(message),
        });
      }
    }
  });

  it.each([
    ['/etc/sudoers of all', 'Sudoers path: /etc/sudoers\n', '/etc/sudoers', '/etc/sudoers'],
    [
      'a file in /usr/etc, as of SUSE',
      'Sudoers path: /etc/sudoers:/usr/etc/sudoers\n',
      '/usr/etc/sudoers',
      '/etc/sudoers',
    ],
    ['a file of sudo-rs, as of Ubuntu', 'sudo-rs 0.2.8\n', '/etc/sudoers-rs', '/etc/sudoers-rs'],
  ])('finds the rules in %s', async (_what, version, main, mainTarget) => {
    await machine.sh(`mkdir -p /usr/etc; mv /etc/sudoers /tmp/sudoers; mv /tmp/sudoers ${main}`);
    machine.write('/usr/bin/sudo', `#!/bin/sh\nprintf '%s' '${version}'\n`, 0o755);
    expect(await findSudoers(machine.context)).toEqual({
      main,
      mainTarget,
      folder: '/etc/sudoers.d',
      isIncluded: true,
    });
  });

  it('rules of a vendor that read no folder are written to /etc, with the line', async () => {
    await machine.sh(
      'mkdir -p /usr/etc; grep -v includedir /etc/sudoers >/usr/etc/sudoers; useradd -m alice',
    );
    await machine.sh('mv /etc/sudoers /etc/sudoers.away; mv /usr/bin/sudo /usr/bin/sudo.real');
    machine.write(
      '/usr/bin/sudo',
      '#!/bin/sh\n[ "$1" = -V ] && { echo Sudoers path: /etc/sudoers:/usr/etc/sudoers; exit; }\n[ -e /etc/sudoers ] || { echo User alice is not allowed to run sudo on vm.; exit; }\nexec sudo.real "$@"\n',
      0o755,
    );
    await machine.sh('mv /usr/sbin/visudo /usr/sbin/visudo.real');
    machine.write(
      '/usr/sbin/visudo',
      '#!/bin/sh\n[ "$*" != -c ] || [ -e /etc/sudoers ] || exit 0\nexec visudo.real "$@"\n',
      0o755,
    );
    const undo = createUndoList(machine.context.log);
    const step = await planSudo(machine.context, { ...SUDO, hasPassword: false });
    expect(await step.act(undo)).toMatchObject({ changed: true });
    expect(machine.read('/etc/sudoers')).toMatch(/%sudo[\s\S]*\n#includedir \/etc\/sudoers\.d\n$/);
    expect(await undo.rollBack()).toEqual([]);
    expect(machine.read('/etc/sudoers')).toBeUndefined();
  });
});
