import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runAccountTool } from './account-tool.ts';
import type { SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

let machine: SshdMachine;

describe.skipIf(whyNoMachine('bookworm') !== undefined)('runAccountTool', () => {
  beforeEach(async () => {
    machine = await startSshdMachine();
    await machine.sh('useradd -m alice');
  });
  afterEach(() => machine.remove());

  it('waits for another program that changes users', async () => {
    machine.write('/etc/passwd.lock', '');
    const done = runAccountTool(machine.context, ['usermod', '-c', 'Alice', 'alice']);
    const locked = await machine.context.host.exec(['usermod', '-c', 'Bob', 'alice']);
    expect(locked.stderr).toContain('cannot lock /etc/passwd');
    await machine.sh('rm /etc/passwd.lock');
    expect((await done).exitCode).toBe(0);
    expect(await machine.sh('getent passwd alice')).toContain(':Alice:');
  });

  it('says which lock stays, whose it is, and what to do', async () => {
    machine.write('/etc/shadow.lock', '');
    machine.write('/etc/passwd.lock', '1');
    await expect(
      runAccountTool(machine.context, ['usermod', '-c', 'Alice', 'alice'], { lockWaitMs: 0 }),
    ).rejects.toMatchObject({
      code: 'ACCOUNT_FILES_LOCKED',
      message: expect.stringMatching(
        /^usermod cannot .*\/etc\/passwd\.lock \(of the process 1, sh\), \/etc\/shadow\.lock; .*remove it/,
      ),
    });
  }, 40_000);

  it.each([
    ['read-only', 'mount --bind /etc /etc; mount -o remount,ro,bind /etc', '/etc is read-only'],
    [
      'full',
      'cp -a /etc /copy; mount -t tmpfs -o size=8m full /etc; cp -a /copy/. /etc; cat /dev/zero >/etc/zero || true',
      'the disk with /etc is full',
    ],
  ])('takes a disk that is %s for no lock, and does not wait', async (_what, script, text) => {
    await machine.sh(script);
    const options = { lockWaitMs: 3_600_000 };
    await expect(runAccountTool(machine.context, ['useradd', 'carol'], options)).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      message: expect.stringMatching(new RegExp(`^useradd cannot .*${text}.*try again$`)),
    });
  });

  it('tells any other failure at once, in the words of the program', async () => {
    await expect(runAccountTool(machine.context, ['usermod', '-c', 'x', 'bob'])).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      message: expect.stringContaining("user 'bob' does not exist"),
    });
  });
});
