import { existsSync, readdirSync, statSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readSshd } from './effective-sshd.ts';
import type { DebianRelease, SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import { DROP_IN_NAME, planSshdPassword } from './sshd-password.ts';
import { findSshdListeners } from './sshd-process.ts';
import { planSshdReset, planSshdRestore } from './sshd-reset.ts';
import { readSshdPorts } from './sshd-service.ts';
import type { StepReport } from './step.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const MAIN = '/etc/ssh/sshd_config';
const D = '/etc/ssh/sshd_config.d';
const DEFAULT = '/usr/share/openssh/sshd_config';
const NO = 'PasswordAuthentication no\n';
const OWN = `Port 2222\nPermitRootLogin no\nAllowUsers nobody\nInclude ${D}/*.conf\n`;

const reason = whyNoMachine('bookworm');
let machine: SshdMachine;

async function start(release: DebianRelease = 'bookworm'): Promise<void> {
  machine = await startSshdMachine(release);
  await machine.sh('useradd -m alice');
  await machine.startSshd();
}

async function reset(): Promise<StepReport> {
  return (await planSshdReset(machine.context)).act(machine.undo);
}

async function restore(): Promise<StepReport> {
  return (await planSshdRestore(machine.context)).act(machine.undo);
}

async function finish(): Promise<void> {
  expect(await machine.undo.finish()).toEqual([]);
}

/** Every file of sshd with its text, mode and owner. */
function files(): Promise<string> {
  return machine.sh('cd /etc/ssh && find . -type f -printf "%p %m %U %G\\n" -exec sha256sum {} + | sort');
}

function backups(): readonly string[] {
  const folder = machine.host.path(`${machine.context.dataFolder}/backup`);
  return existsSync(folder) ? readdirSync(folder).toSorted() : [];
}

async function values(keyword: string): Promise<readonly string[]> {
  return (await readSshd(machine.context))?.values(keyword) ?? [];
}

/** Another program takes a port, which `sshd -t` cannot see. */
function occupy(port: number): Promise<string> {
  return machine.sh(`(perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Listen => 1, LocalPort => ${port})
    or die; sleep 1000' > /dev/null 2>&1 &)
    until grep -qi ':${port.toString(16).padStart(4, '0')} .* 0A ' /proc/net/tcp; do sleep 0.02; done`);
}

describe.skipIf(reason !== undefined)('planSshdReset, with a real sshd', () => {
  beforeEach(() => start());
  afterEach(() => machine.remove());

  it("writes the package's own default, keeps what was there, and says both (W32) (W33)", async () => {
    machine.write(MAIN, OWN);
    machine.write(`${D}/10-hard.conf`, 'AllowTcpForwarding no\n', 0o640);
    await machine.startSshd();
    const before = await files();
    const report = await reset();
    expect(machine.read(MAIN)).toBe(machine.read(DEFAULT));
    expect(existsSync(machine.host.path(`${D}/10-hard.conf`))).toBe(false);
    expect(await values('allowtcpforwarding')).toEqual(['yes']);
    expect(await readSshdPorts(machine.context)).toEqual([22]);
    expect(report.message).toMatch(/now .usr.share.openssh.*10-hard.*listens on port 22.*backup/);
    await finish();
    const [backup] = backups();
    expect(backup).toMatch(/^0001-\d{8}T\d{6}Z-reset$/);
    expect(statSync(machine.host.path(`${machine.context.dataFolder}/backup`)).mode & 0o7777).toBe(0o700);
    await restore();
    expect(await files()).toBe(before);
    expect(await readSshdPorts(machine.context)).toEqual([2222]);
  });

  it('makes a backup also where only a drop-in goes (W32)', async () => {
    machine.write(`${D}/10-hard.conf`, 'MaxSessions 1\n');
    const before = await files();
    await reset();
    expect(backups()).toHaveLength(1);
    expect(await machine.undo.rollBack()).toEqual([]);
    expect([await files(), backups()]).toEqual([before, []]);
  });

  it("leaves the platform's word about passwords, our own file, and files of packages", async () => {
    machine.write(`${D}/50-cloud-init.conf`, NO, 0o600);
    await machine.sh(`dpkg-divert --quiet --add --no-rename --package sudo ${D}/90-sudo.conf; true`);
    await (await planSshdPassword(machine.context, { username: 'alice' })).act(machine.undo);
    machine.write(`${D}/60-cloudimg-settings.conf`, `${NO}PermitRootLogin yes\n`);
    await reset();
    expect(readdirSync(machine.host.path(D)).toSorted()).toEqual([DROP_IN_NAME, '50-cloud-init.conf']);
    expect(await values('passwordauthentication')).toEqual(['yes']);
  });

  it('says which file cannot be written where the disk is read-only', async () => {
    await machine.sh(
      'mkdir /etc/ssh/.handlerkit-check; mount --bind /etc /etc; mount -o remount,ro,bind /etc',
    );
    await expect(planSshdReset(machine.context)).rejects.toMatchObject({
      code: 'SSHD_FILE_NOT_WRITTEN',
      message: expect.stringContaining('EROFS'),
    });
  });

  it('makes sshd read its file again when that is the default already', async () => {
    const [before] = findSshdListeners(machine.host);
    expect((await reset()).message).toMatch(
      /was .*sshd_config of the distribution already; ssh was reloaded/,
    );
    const [after] = findSshdListeners(machine.host);
    expect(after?.pid).toBe(before?.pid);
    expect(after?.sockets).not.toEqual(before?.sockets);
    expect(backups()).toEqual([]);
  });

  it('gets a VM back whose configuration sshd refuses and whose sshd does not run (W30)', async () => {
    machine.write(MAIN, 'Prot 22\n');
    machine.write(`${D}/10-x.conf`, 'Nonsense\n');
    await machine.sh('service ssh stop');
    const report = await reset();
    expect(report.message).toContain('ssh was started and listens on port 22');
    await (await planSshdPassword(machine.context, { username: 'alice' })).act(machine.undo);
  });

  it.each([
    ['missing', 'rm /etc/ssh/ssh_host_*', 'new host keys were made'],
    ['empty', 'for f in /etc/ssh/ssh_host_*; do : > $f; done', 'new host keys were made'],
    ['open to everybody', 'chmod 666 /etc/ssh/ssh_host_*', 'host keys that others could read are closed'],
    [
      'broken',
      'for f in /etc/ssh/ssh_host_*_key; do echo x > $f; done',
      'moved aside; new host keys were made',
    ],
  ])('mends host keys that are %s, and takes that back too', async (_what, command, said) => {
    machine.write(MAIN, OWN);
    await machine.sh(`service ssh stop; ${command}`);
    const before = await files();
    expect((await reset()).message).toContain(said);
    expect(findSshdListeners(machine.host)).toHaveLength(1);
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await files()).toBe(before);
  });

  it('brings sshd back with its former configuration when it cannot listen with the new one (W30)', async () => {
    machine.write(MAIN, 'Port 2222\n', 0o600);
    await machine.startSshd();
    const before = await files();
    await occupy(22);
    await expect(reset()).rejects.toMatchObject({
      code: 'SSHD_NOT_RUNNING',
      message: expect.stringContaining('ssh does not listen on port 22 with its new configuration'),
    });
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await files()).toBe(before);
    expect(await readSshdPorts(machine.context)).toEqual([2222]);
    expect(backups()).toEqual([]);
  });

  it('runs again over its own half-done work and keeps the first state in the backup', async () => {
    machine.write(MAIN, OWN);
    machine.write(`${D}/10-a.conf`, 'MaxSessions 1\n');
    machine.write(`${D}/20-b.conf`, 'MaxStartups 1\n');
    await machine.startSshd();
    const before = await files();
    await reset();
    // What a kill in the middle leaves: the backup is open, one file is not moved yet, and something half-written.
    machine.write(`${D}/20-b.conf`, 'MaxStartups 1\n');
    machine.write(`/etc/ssh/.sshd_config.handlerkit-new`, 'half');
    await machine.sh(`mkdir -p /etc/ssh/.handlerkit-check; touch /etc/ssh/.handlerkit-check/1.conf`);
    await reset();
    await finish();
    expect(backups()).toHaveLength(1);
    await restore();
    expect(await files()).toBe(before);
  });

  it.each<[DebianRelease]>([['bullseye'], ['trixie']])('works on %s (W33)', async (release) => {
    expect(whyNoMachine(release)).toBeUndefined();
    machine.remove();
    await start(release);
    machine.write(MAIN, OWN);
    await machine.startSshd();
    await reset();
    expect(await readSshdPorts(machine.context)).toEqual([22]);
    expect(machine.read(MAIN)).toBe(machine.read(DEFAULT));
    await finish();
    await restore();
    expect(machine.read(MAIN)).toBe(OWN);
  });
});

describe.skipIf(reason !== undefined)('planSshdRestore, with a real sshd', () => {
  beforeEach(() => start());
  afterEach(() => machine.remove());

  it('is an error without a backup, and changes nothing (W32)', async () => {
    const before = await files();
    await expect(planSshdRestore(machine.context)).rejects.toMatchObject({
      code: 'SSHD_BACKUP_UNUSABLE',
      message: expect.stringContaining('no configuration of sshd was saved'),
    });
    expect(await files()).toBe(before);
  });

  it("takes Microsoft's one backup where there is none of ours (W32)", async () => {
    await machine.sh(`mkdir -p /var/cache/vmaccess; echo 'Port 2022' > /var/cache/vmaccess/backup`);
    expect((await restore()).message).toContain('the backup in /var/cache/vmaccess');
    expect(await readSshdPorts(machine.context)).toEqual([2022]);
  });

  it('can itself be taken back by another restore (W32)', async () => {
    machine.write(MAIN, OWN);
    await reset();
    await finish();
    await restore();
    await finish();
    expect(machine.read(MAIN)).toBe(OWN);
    await restore();
    await finish();
    expect(machine.read(MAIN)).toBe(machine.read(DEFAULT));
    expect(backups()).toHaveLength(3);
  });

  it.each([
    [
      'that sshd refuses',
      'echo "Prot 22" > /var/cache/vmaccess/backup',
      /cannot be used: .*sshd_config.* line 1: Bad conf/,
    ],
  ])('refuses a backup %s, and changes nothing (W30)', async (_what, command, message) => {
    await machine.sh(`mkdir -p /var/cache/vmaccess; ${command}`);
    const before = await files();
    await expect(planSshdRestore(machine.context)).rejects.toMatchObject({
      code: 'SSHD_BACKUP_UNUSABLE',
      message: expect.stringMatching(message),
    });
    expect(await files()).toBe(before);
  });

  it('refuses a backup of which a copy was damaged', async () => {
    machine.write(MAIN, OWN);
    await reset();
    await finish();
    await machine.sh(
      `for f in ${machine.context.dataFolder}/backup/0001*/01-sshd_config; do echo x >> "$f"; done`,
    );
    await expect(planSshdRestore(machine.context)).rejects.toMatchObject({
      code: 'SSHD_BACKUP_UNUSABLE',
      message: expect.stringContaining('its copy of /etc/ssh/sshd_config is missing or damaged'),
    });
  });

  it('brings a link back as a link, as Flatcar has one', async () => {
    machine.write('/usr/share/ssh-config', OWN);
    await machine.sh(`ln -sf ../../usr/share/ssh-config ${MAIN}`);
    await reset();
    await finish();
    expect(machine.read('/usr/share/ssh-config')).toBe(OWN);
    expect(await machine.sh(`stat -c %F ${MAIN}`)).toBe('regular file\n');
    await restore();
    expect(await machine.sh(`readlink ${MAIN}`)).toBe('../../usr/share/ssh-config\n');
    expect(machine.read(MAIN)).toBe(OWN);
  });

  it('runs again after a kill in its middle and restores the same', async () => {
    machine.write(MAIN, OWN);
    await reset();
    await finish();
    await restore();
    // The run was killed here: nobody has said that its backup is good.
    await restore();
    await finish();
    expect(machine.read(MAIN)).toBe(OWN);
  });
});
