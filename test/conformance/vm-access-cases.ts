/**
 * What VM Access promises of its settings and its status, stated once for every way to run it. What it does to accounts,
 * sshd, firewalls and disks is in `test/vm-access`, on systems of its own.
 */
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { NO_OVERLAY } from '../local-vm.ts';
import type { AppliedSettings, Driver, DriverName } from './driver.ts';
import { openDriver } from './driver.ts';

const PASSWORD = 'canary-password-4e6b';
const KEY = 'ssh-ed25519 AAAAcanary-key-77a0';
const LAST_LINE = 'Nothing was changed. Correct the settings and apply them again.';

const REFUSED: readonly (readonly [string, AppliedSettings, readonly string[]])[] = [
  [
    'a password where everybody can read it, and a misspelt key',
    { public: { username: 'alice', password: PASSWORD }, protected: { ssh_kye: KEY } },
    [
      'publicSettings.username: belongs into protectedSettings',
      'publicSettings.password: belongs into protectedSettings; others can read it here, so choose another one',
      'protectedSettings: unknown key `ssh_kye`; did you mean `ssh_key`?',
    ],
  ],
  ['settings that ask for nothing', {}, ['nothing is asked for']],
  [
    'a switch that is neither true nor false',
    { protected: { reset_ssh: 'yes' }, public: { check_disk: 1 } },
    [
      'publicSettings.check_disk: must be true or false, and is a number',
      'protectedSettings.reset_ssh: must be true or false, and is another text',
    ],
  ],
  [
    'values of another type (W21)',
    { protected: { username: 'alice', ssh_key: [KEY] } },
    ['protectedSettings.ssh_key: must be a text, and is an array'],
  ],
  [
    'a password without its user',
    { protected: { password: PASSWORD } },
    ['protectedSettings.password: needs `username`, the account that it is for'],
  ],
  [
    'an empty password',
    { protected: { username: 'alice', password: '' } },
    ['protectedSettings.password: is empty; give a password, or leave the key out'],
  ],
  [
    'a removal together with a reset',
    { protected: { remove_user: 'bob', reset_ssh: true } },
    ['protectedSettings.remove_user: cannot be combined with `reset_ssh`; apply one after the other'],
  ],
  [
    'a check together with a repair',
    { public: { check_disk: true, repair_disk: true, disk_name: 'data' } },
    ['publicSettings.repair_disk: cannot be combined with `check_disk`; apply one after the other'],
  ],
];

/** Describes the cases for one driver. Successive settings on one machine, as in the life of a VM. */
export function describeVmAccess(name: DriverName): void {
  const reason = name === 'packed, overlay VM' ? NO_OVERLAY : undefined;
  const title = `VM Access, ${name}${reason === undefined ? '' : ` (${reason})`}`;
  describe.skipIf(reason !== undefined)(title, () => {
    let driver: Driver;
    beforeAll(async () => {
      driver = await openDriver(name, inject('vmAccessZip'), 'vm-access');
    });
    afterAll(() => driver.close());

    // Packed, each takes a second or more, and the settings are read by the same code.
    it.each(name === 'in process' ? REFUSED : REFUSED.slice(0, 1))(
      'refuses %s, names every problem and shows no value',
      async (_, settings, problems) => {
        const { status } = await driver.apply(settings);
        expect([status.status, status.code]).toEqual(['error', 10]);
        const lines = status.message.replace('Enable failed: ', '').split('\n');
        expect(lines.at(-1)).toBe(LAST_LINE);
        expect(lines.slice(0, -1).map((line, at) => line.slice(0, problems[at]?.length))).toEqual(problems);
        expect(JSON.stringify(status)).not.toContain('canary');
        expect(status.substatus).toMatchObject([{ name: 'ErrorClarification', status: 'error', code: 10 }]);
      },
    );

    it('keeps the status of a sequence that comes again (W3)', async () => {
      const first = await driver.apply({ protected: { username: 'alice' } });
      expect(first.status.message).toContain('No password or ssh_key is specified');
      expect(await driver.reapply()).toEqual(first);
    });

    it('tells which step cannot be taken, and that nothing was changed', async () => {
      const { status } = await driver.apply({
        protected: { username: 'ALL', ssh_key: KEY },
        public: { check_disk: 'false' },
      });
      expect(status.status).toBe('error');
      expect(status.message).toMatch(/\nNothing was changed\.$/);
      expect(status.substatus.map((part) => part.name)).toEqual([
        'ErrorClarification',
        'account',
        'sudo',
        'ssh key',
      ]);
      expect(status.substatus.find((part) => part.name === 'ssh key')?.status).toBe('error');
      expect(JSON.stringify(status)).not.toContain('canary');
    });

    it('leaves nothing of its own when it is deleted', async () => {
      expect(driver.modeOf('')).toBe(0o700);
      await driver.delete();
      expect(driver.modeOf('')).toBeUndefined();
    });
  });
}
