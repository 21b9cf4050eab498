import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DebianRelease, SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import { planPassword } from './password.ts';
import { modernMethod, withoutLock } from './password-field.ts';
import type { StepReport } from './step.ts';
import type { UndoList } from './undo.ts';
import { createUndoList } from './undo.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

let machine: SshdMachine;
let undo: UndoList;
beforeEach(() => {
  undo = createUndoList({ debug() {}, info() {}, warn() {}, error() {}, event() {} });
});

async function set(password: string, username = 'alice'): Promise<StepReport> {
  const step = await planPassword(machine.context, { username, password });
  return step.act(undo);
}

async function shadow(): Promise<string> {
  return (await machine.sh('grep ^alice: /etc/shadow')).trim();
}

/** Asks PAM's own program; its standard input is the password with a zero byte. */
async function isPassword(password: string): Promise<boolean> {
  const { stdin, argv } = { stdin: `${password}\0`, argv: ['unix_chkpwd', 'alice', 'nonull'] };
  const result = await machine.context.run(argv, { stdin, accept: [0, 7] });
  return result.exitCode === 0;
}

const RELEASES: readonly DebianRelease[] = ['bullseye', 'bookworm', 'trixie'];

describe.each(RELEASES)('planPassword on Debian %s', (release) => {
  const reason = whyNoMachine(release);
  beforeAll(async () => {
    if (reason === undefined) machine = await startSshdMachine(release);
  });
  beforeEach(async () => {
    if (reason !== undefined) return;
    await machine.sh('userdel -r alice 2>/dev/null; useradd -m alice; echo alice:old-Passw0rd | chpasswd');
    await machine.sh('chage -d 2020-01-01 alice');
  });
  afterAll(() => machine?.remove());

  it.skipIf(reason !== undefined).each([
    ['of plain letters', 'correct-Horse-7'],
    ['with colons, spaces and quotes', ` a:b: "c' \\ $(id) %s #`],
    ['of many languages', 'pässwörd-密码-🔑'],
    ['of 511 bytes', 'x'.repeat(511)],
  ])('sets a password %s, which is then the right one (W11, W19)', async (_what, password) => {
    const report = await set(password);
    expect(report).toEqual({ changed: true, message: 'set the password of alice (yescrypt)' });
    expect([await isPassword(password), await isPassword('old-Passw0rd')]).toEqual([true, false]);
    const today = Math.floor(Date.now() / 86_400_000);
    expect(await shadow()).toMatch(new RegExp(`^alice:\\$y\\$[^:]+:${today}:0:99999:7:::$`));
  });

  it.skipIf(reason !== undefined).each([
    ['a hash', 'true'],
    ['a locked hash', 'usermod -L alice'],
    ['no hash', "usermod -p '*' alice"],
    ['a double lock', "usermod -p '!!' alice"],
    ['nothing, which lets everybody in', 'passwd -d alice'],
    ['a day of change that is empty', 'chage -d -1 alice'],
    ['a change that is due', 'chage -d 0 alice'],
  ])('puts %s back exactly when a later step fails', async (_what, commands) => {
    await machine.sh(commands);
    const before = await shadow();
    await set('correct-Horse-7');
    expect(await shadow()).not.toBe(before);
    expect(await undo.rollBack()).toEqual([]);
    expect(await shadow()).toBe(before);
  });
});

describe.skipIf(whyNoMachine('bookworm') !== undefined)('planPassword', () => {
  beforeEach(async () => {
    machine = await startSshdMachine();
    await machine.sh('useradd -m alice; echo alice:old-Passw0rd | chpasswd');
  });
  afterEach(() => machine.remove());

  it.each([
    ['login.defs', 'sed -i "s/^ENCRYPT_METHOD.*/ENCRYPT_METHOD DES/" /etc/login.defs'],
    ['PAM', 'sed -i "s/yescrypt/md5/" /etc/pam.d/common-password'],
    ['PAM, with too short a hash', 'sed -i "s/yescrypt/sha256/" /etc/pam.d/common-password'],
  ])('never leaves a hash that is weaker than SHA-512 where %s says so (W19)', async (_who, commands) => {
    await machine.sh(commands);
    expect((await set('correct-Horse-7')).message).toContain('(SHA-512)');
    expect(await shadow()).toMatch(/^alice:\$6\$/);
    expect(await isPassword('correct-Horse-7')).toBe(true);
  });

  it('unlocks an account, and says so (W18)', async () => {
    await machine.sh('usermod -L alice');
    expect((await set('correct-Horse-7')).message).toContain('the account was locked, and is not any more');
    expect(await isPassword('correct-Horse-7')).toBe(true);
  });

  it.each([
    ['does nothing', '#!/bin/sh\ncat >/dev/null\n', 'PASSWORD_NOT_VERIFIED', /is the former one/],
    [
      'writes a hash that nobody has',
      '#!/bin/sh\ncat >/dev/null; usermod -p "!!" alice\n',
      'PASSWORD_NOT_VERIFIED',
      /weaker than SHA-512, or locked/,
    ],
    [
      'is refused by the rules for passwords',
      '#!/bin/sh\ncat >/dev/null; echo "BAD PASSWORD: The password is a palindrome" >&2; exit 1\n',
      'PASSWORD_REFUSED',
      /policy of this VM .* palindrome; choose another/,
    ],
    ['fails', '#!/bin/sh\ncat >/dev/null; echo "no space" >&2; exit 1\n', 'COMMAND_FAILED', /no space/],
  ])('is an error when chpasswd %s (W11)', async (_what, script, code, message) => {
    const before = await shadow();
    await machine.sh('mv /usr/sbin/chpasswd /opt/');
    machine.write('/usr/sbin/chpasswd', script, 0o755);
    await expect(set('correct-Horse-7')).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    await machine.sh('mv /opt/chpasswd /usr/sbin/');
    expect(await undo.rollBack()).toEqual([]);
    expect(await shadow()).toBe(before);
  });

  it('tells the words of a PAM module that refuses, and nothing is changed', async () => {
    await machine.sh(`
      sed -i '1i password requisite pam_exec.so /bin/deny' /etc/pam.d/chpasswd
      printf '#!/bin/sh\nexit 1\n' >/bin/deny; chmod 755 /bin/deny
    `);
    const before = await shadow();
    await expect(set('correct-Horse-7')).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      message: expect.stringContaining('/bin/deny failed: exit code 1'),
    });
    expect(await shadow()).toBe(before);
  });

  it('refuses a name that would be another line', async () => {
    await expect(set('x', 'alice\nroot')).rejects.toMatchObject({ code: 'USER_NAME_INVALID' });
    await expect(set('x', 'bob')).rejects.toMatchObject({ code: 'ACCOUNT_MISSING' });
  });
});

describe('the field of the password', () => {
  it.each([
    ['$y$j9T$a$b', 'yescrypt'],
    ['$6$a$b', 'SHA-512'],
    ['$2b$12$a', 'bcrypt'],
    ['$5$a$b', undefined],
    ['$1$a$b', undefined],
    ['abJnggxhB/yWI', undefined],
    ['!$6$a$b', undefined],
    ['*', undefined],
    ['*0', undefined],
    ['', undefined],
  ])('%s is made by %s', (hash, method) => {
    expect(modernMethod(hash)).toBe(method);
  });

  it.each([
    ['!', '*'],
    ['!!', '*'],
    ['!$6$a$b', '*$6$a$b'],
    ['!*', '*'],
  ])('%s without its lock is %s', (hash, expected) => {
    expect(withoutLock(hash)).toBe(expected);
  });
});
