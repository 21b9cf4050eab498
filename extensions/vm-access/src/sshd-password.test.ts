import { statSync } from 'node:fs';
import { createHost } from '@handlerkit/sdk';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readSshd } from './effective-sshd.ts';
import type { DebianRelease, SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import { DROP_IN_NAME, planSshdPassword } from './sshd-password.ts';
import { findSshdListeners } from './sshd-process.ts';
import type { StepReport } from './step.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const MAIN = '/etc/ssh/sshd_config';
const D = '/etc/ssh/sshd_config.d';
const OURS = `${D}/${DROP_IN_NAME}`;
const NO = 'PasswordAuthentication no\n';

const reason = whyNoMachine('bookworm');
let machine: SshdMachine;

async function start(release: DebianRelease = 'bookworm'): Promise<void> {
  machine = await startSshdMachine(release);
  await machine.sh('useradd -m alice');
  await machine.startSshd();
}

async function allow(username = 'alice'): Promise<StepReport> {
  const step = await planSshdPassword(machine.context, { username });
  return step.act(machine.undo);
}

async function answer(user = 'alice'): Promise<string | undefined> {
  return (await readSshd(machine.context, user))?.values('PasswordAuthentication')[0];
}

/** Every file of sshd with its text, mode and owner. */
function files(): Promise<string> {
  return machine.sh('cd /etc/ssh && find . -type f -printf "%p %m %U %G\\n" -exec sha256sum {} + | sort');
}

describe.skipIf(reason !== undefined)('planSshdPassword, with a real sshd', () => {
  beforeEach(() => start());
  afterEach(() => machine.remove());

  it('touches nothing where sshd lets the user in by password already (W29)', async () => {
    const before = await files();
    const sockets = findSshdListeners(machine.host);
    expect(await allow()).toEqual({ changed: false, message: 'sshd lets alice log in by password already' });
    expect(await files()).toBe(before);
    expect(findSshdListeners(machine.host)).toEqual(sockets);
  });

  it.each([
    ["Ubuntu's image", `${D}/60-cloudimg-settings.conf`],
    ['cloud-init', `${D}/50-cloud-init.conf`],
    ['somebody with a low number', `${D}/00-a.conf`],
  ])('wins over a drop-in of %s (W31)', async (_who, path) => {
    machine.write(path, NO, 0o600);
    const report = await allow();
    expect(report.message).toContain('ssh was reloaded and listens on port 22');
    expect(await answer()).toBe('yes');
    expect(await answer('root')).toBe('yes');
    expect(machine.read(path)).toBe(NO);
    expect(await allow()).toMatchObject({ changed: false });
  });

  it.each([
    ['before the Include', `${NO}Include ${D}/*.conf\n`],
    ['in lower case, indented, with a comment', `  passwordauthentication no # never say yes\n`],
    ['with an equals sign', 'PasswordAuthentication=no\nPasswordAuthentication yes\n'],
  ])('mends the main file where no drop-in can win: %s (W31)', async (_what, text) => {
    machine.write(MAIN, text);
    await machine.sh(`chgrp mail ${MAIN}; chmod 640 ${MAIN}`);
    expect(await allow()).toMatchObject({ message: expect.stringContaining(`(${MAIN})`) });
    expect(await answer()).toBe('yes');
    const { mode, gid } = statSync(machine.host.path(MAIN));
    expect({ mode: mode & 0o7777, gid }).toEqual({ mode: 0o640, gid: 8 });
    expect(await machine.sh('ls -A /etc/ssh')).not.toContain('handlerkit');
  });

  it('goes round a Match for that user only, and keeps it for others (W31)', async () => {
    await machine.sh(`useradd -m bob; printf 'Match User alice,bob\\n  ${NO}' >> ${MAIN}`);
    await allow();
    expect([await answer('alice'), await answer('bob')]).toEqual(['yes', 'no']);
    await allow('bob');
    expect([await answer('alice'), await answer('bob')]).toEqual(['yes', 'yes']);
    expect(machine.read(OURS)).toContain('Match User alice\n    PasswordAuthentication yes\n');
  });

  it('goes round a Match for a group of the user while all others have no passwords', async () => {
    await machine.sh(`groupadd staff2; usermod -aG staff2 alice`);
    machine.write(MAIN, `Include ${D}/*.conf\n${NO}Match Group staff2\n${NO}`);
    await allow();
    expect([await answer('alice'), await answer('root')]).toEqual(['yes', 'yes']);
  });

  it.each([
    ['DenyUsers al*', /DenyUsers in line 1 of .*sshd_config, which names alice/],
    ['AllowUsers bob', /AllowUsers in line 1 of .*, which does not name alice/],
    ['AllowGroups wheel', /AllowGroups in line 1 of .*, which names no group of alice/],
    ['DenyGroups alice', /DenyGroups in line 1 of .*, which names a group of alice/],
    [
      'AuthenticationMethods publickey',
      /AuthenticationMethods in line 1 of .*, which never asks for a password/,
    ],
  ])('refuses before anything is changed where %s keeps the user out', async (line, message) => {
    machine.write(MAIN, `${line}\n${NO}`);
    const before = await files();
    await expect(planSshdPassword(machine.context, { username: 'alice' })).rejects.toMatchObject({
      code: 'SSHD_PASSWORD_BLOCKED',
      message: expect.stringMatching(message),
    });
    expect(await files()).toBe(before);
    const later = await planSshdPassword(machine.context, { username: 'alice', afterReset: true });
    await expect(later.act(machine.undo)).rejects.toMatchObject({ code: 'SSHD_PASSWORD_BLOCKED' });
  });

  it.each([
    ['AllowUsers alice@10.0.0.0/8', 'lets alice in from 10.0.0.0/8 only'],
    ['DenyUsers alice@10.0.0.0/8', 'names alice'],
    ['AuthenticationMethods publickey,password', 'asks for more than a password'],
  ])('warns of %s, and goes on', async (line, warning) => {
    machine.write(MAIN, `${line}\n`);
    expect(await allow()).toMatchObject({ warning: expect.stringContaining(warning) });
  });

  it('never says anything about keyboard-interactive logins (W29)', async () => {
    machine.write(`${D}/10-mfa.conf`, `KbdInteractiveAuthentication yes\n${NO}`);
    await allow();
    const { values } = (await readSshd(machine.context, 'alice')) ?? expect.fail('no sshd');
    expect([values('kbdinteractiveauthentication'), values('usepam')]).toEqual([['yes'], ['yes']]);
    expect(machine.read(OURS)).not.toMatch(/interactive|ChallengeResponse/i);
  });

  it('takes the mode of its neighbours for its own file, and 0600 beside the main file alone (W35)', async () => {
    machine.write(`${D}/60-x.conf`, NO, 0o600);
    await allow();
    expect(statSync(machine.host.path(OURS)).mode & 0o7777).toBe(0o600);
  });

  it('keeps the extended attributes of a file that it edits (W35)', async () => {
    machine.write(MAIN, NO);
    const path = machine.host.path(MAIN);
    // The root file system has no program for them; this machine's Python reaches the file by another path.
    const python = async (code: string): Promise<string> => {
      const { stdout, stderr } = await createHost().exec(['python3', '-c', `import os,sys\n${code}`, path]);
      expect(stderr).toBe('');
      return stdout.trim();
    };
    await python(`os.setxattr(sys.argv[1], 'trusted.handlerkit', b'kept')`);
    await allow();
    expect(await python(`print(os.getxattr(sys.argv[1], 'trusted.handlerkit').decode())`)).toBe('kept');
  });

  it('refuses a configuration that sshd refuses, with its words, and leaves the running sshd alone (W30)', async () => {
    machine.write(MAIN, `Prot 22\n${NO}`);
    const sockets = findSshdListeners(machine.host);
    await expect(planSshdPassword(machine.context, { username: 'alice' })).rejects.toMatchObject({
      code: 'SSHD_CONFIG_INVALID',
      message: expect.stringMatching(/sshd_config(: | )line 1: Bad configuration option: Prot.*reset_ssh/),
    });
    expect(findSshdListeners(machine.host)).toEqual(sockets);
  });

  it('takes everything back when a later step fails, and sshd has read it (W30)', async () => {
    machine.write(`${D}/60-x.conf`, NO);
    const before = await files();
    await allow();
    const sockets = findSshdListeners(machine.host);
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await files()).toBe(before);
    expect(await answer()).toBe('no');
    expect(findSshdListeners(machine.host)[0]?.sockets).not.toEqual(sockets[0]?.sockets);
  });

  it('has sshd read a configuration that it has not read yet, as a killed run or an editor leaves it (W30)', async () => {
    machine.write(`${D}/60-x.conf`, NO);
    await allow();
    // The run was killed before sshd was told, and nobody remembers it.
    await machine.sh(`rm ${machine.context.dataFolder}/sshd-read.json`);
    const before = findSshdListeners(machine.host);
    expect(await allow()).toMatchObject({
      changed: true,
      message: expect.stringContaining('as it is now; ssh was'),
    });
    expect(findSshdListeners(machine.host)).not.toEqual(before);
    expect(await allow()).toMatchObject({ changed: false });
    await machine.sh(`rm ${D}/60-x.conf`);
    expect(await allow()).toMatchObject({ changed: true });
    expect(await allow()).toMatchObject({ changed: false });
  });

  it('warns that passwords are not taken from some places', async () => {
    machine.write(MAIN, `Match Address 10.0.0.0/8\n${NO}`);
    await machine.startSshd();
    expect(await allow()).toMatchObject({
      warning: `passwords are not taken from everywhere: passwordauthentication no in line 2 of ${MAIN} (below Match Address 10.0.0.0/8)`,
    });
  });

  it('says that there is no SSH server', async () => {
    await machine.sh('rm /usr/sbin/sshd');
    expect(await allow()).toMatchObject({
      changed: false,
      warning: expect.stringContaining('no SSH server'),
    });
  });

  it('says which file cannot be written, and leaves all as it was', async () => {
    machine.write(`${D}/60-x.conf`, NO);
    // No chattr here: a folder in the place of the file that is to be made first.
    await machine.sh(`mkdir -p ${D}/.${DROP_IN_NAME}.handlerkit-new`);
    await expect(allow()).rejects.toMatchObject({
      code: 'SSHD_FILE_NOT_WRITTEN',
      message: expect.stringContaining(`cannot write ${OURS}`),
    });
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await answer()).toBe('no');
  });

  it('says that sshd does not run, and does not start it', async () => {
    await machine.sh('service ssh stop');
    machine.write(`${D}/60-x.conf`, NO);
    const report = await allow();
    expect(report).toMatchObject({ changed: true, warning: expect.stringContaining('sshd does not run') });
    expect(findSshdListeners(machine.host)).toEqual([]);
    expect(await answer()).toBe('yes');
  });
});

describe.skipIf(whyNoMachine('bullseye') ?? whyNoMachine('trixie'))('on other releases', () => {
  afterEach(() => machine.remove());

  it.each<[DebianRelease]>([['bullseye'], ['trixie']])('works on %s (W31)', async (release) => {
    await start(release);
    machine.write(`${D}/60-cloudimg-settings.conf`, NO);
    expect(await allow()).toMatchObject({
      message: expect.stringContaining('ssh was reloaded and listens on port 22'),
    });
    expect(await answer()).toBe('yes');
  });
});
