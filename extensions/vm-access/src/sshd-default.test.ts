import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readSshd } from './effective-sshd.ts';
import type { SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import { findDefaultSshd, isPackaged } from './sshd-default.ts';
import { planSshdReset } from './sshd-reset.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const MAIN = '/etc/ssh/sshd_config';
const D = `${MAIN}.d`;
const SHIPPED = `Include ${D}/*.conf\nAuthorizedKeysFile .ssh/authorized_keys\n`;

const reason = whyNoMachine('bookworm');
let machine: SshdMachine;

/** An rpm that knows the configuration file and one drop-in of its package. */
async function addRpm(digest: string): Promise<void> {
  machine.write(
    '/usr/bin/rpm',
    `#!/bin/sh\ncase "$*" in
    *FILEDIGESTS*) echo "${MAIN} ${digest}" ;;
    *50-redhat.conf) echo openssh-server ;;
    *) echo "file $2 is not owned by any package"; exit 1 ;;\nesac\n`,
  );
  await machine.sh('chmod +x /usr/bin/rpm; rm /usr/bin/dpkg-query /usr/bin/dpkg');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

describe.skipIf(reason !== undefined)('findDefaultSshd', () => {
  beforeEach(async () => {
    machine = await startSshdMachine();
  });
  afterEach(() => machine.remove());

  it("takes the copy of Debian's and Ubuntu's package (W33)", async () => {
    const { main, source } = await findDefaultSshd(machine.context, []);
    expect(main).toBe(machine.read('/usr/share/openssh/sshd_config'));
    expect(source).toBe('/usr/share/openssh/sshd_config of the distribution');
  });

  it("leaves SUSE's own below /usr alone, and has no file in /etc (W33)", async () => {
    await machine.sh(`mkdir -p /usr/etc/ssh; echo Port 22 > /usr/etc/ssh/sshd_config`);
    expect(await findDefaultSshd(machine.context, [])).toMatchObject({ main: undefined });
  });

  it("takes Flatcar's copy (W33)", async () => {
    await machine.sh(`rm /usr/share/openssh/sshd_config; mkdir -p /usr/share/flatcar${D}
      echo UsePAM yes > /usr/share/flatcar${MAIN}; touch /usr/share/flatcar${D}/10-flatcar.conf`);
    expect(await findDefaultSshd(machine.context, [])).toMatchObject({ main: 'UsePAM yes\n' });
    expect(await isPackaged(machine.context, `${D}/10-flatcar.conf`)).toBe(true);
  });

  it.each([
    ['the file that is there', MAIN],
    ['the one that an update left beside it', `${MAIN}.rpmnew`],
    ['a backup', '/var/lib/saved'],
  ])("takes %s when rpm's checksum proves it to be the package's (W33)", async (_what, path) => {
    await machine.sh('rm /usr/share/openssh/sshd_config');
    await addRpm(sha256(SHIPPED));
    machine.write(MAIN, 'Port 2222\n');
    machine.write(path, SHIPPED);
    const { main, source } = await findDefaultSshd(machine.context, ['/var/lib/saved']);
    expect(main).toBe(SHIPPED);
    expect(source).toContain(path);
  });

  it('composes one that sshd accepts where there is no copy, with drop-ins, PAM and sftp as they are here (W33)', async () => {
    await machine.sh('rm /usr/share/openssh/sshd_config');
    await addRpm(sha256(SHIPPED));
    machine.write(MAIN, 'Port 2222\nProtocol 2\n');
    machine.write(`${D}/50-redhat.conf`, 'X11Forwarding yes\n', 0o600);
    machine.write(`${D}/99-mine.conf`, 'MaxSessions 1\n');
    const report = await (await planSshdReset(machine.context)).act(machine.undo);
    expect(report.message).toContain('a default of VM Access');
    expect(report.message).toContain(`moved away: ${D}/99-mine.conf;`);
    expect(machine.read(MAIN)?.split('\n').slice(1)).toEqual([
      `Include ${D}/*.conf`,
      'UsePAM yes',
      'AcceptEnv LANG LC_*',
      'Subsystem sftp /usr/lib/openssh/sftp-server',
      '',
    ]);
    const sshd = await readSshd(machine.context);
    expect(
      ['usepam', 'x11forwarding', 'maxsessions', 'passwordauthentication', 'port'].map(
        (word) => sshd?.values(word)[0],
      ),
    ).toEqual(['yes', 'yes', '10', 'yes', '22']);
    expect((await machine.context.run(['sshd', '-t'])).stderr).toBe('');
  });

  it('leaves Include out for an sshd that does not know it', async () => {
    await machine.sh(`rm /usr/share/openssh/sshd_config; mv /usr/sbin/sshd /usr/sbin/sshd.real`);
    machine.write(
      '/usr/sbin/sshd',
      `#!/bin/sh
      for last; do :; done
      if grep -q '^Include' "$last"; then
        echo "$last line 2: Bad configuration option: Include" >&2; exit 255
      fi
      exec /usr/sbin/sshd.real "$@"\n`,
    );
    await machine.sh('chmod +x /usr/sbin/sshd');
    expect((await findDefaultSshd(machine.context, [])).main).not.toContain('Include');
  });
});
