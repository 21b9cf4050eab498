import { mkdirSync, writeFileSync } from 'node:fs';
import type { TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readDistro } from './distro.ts';
import { DISTRIBUTIONS } from './fixtures/distributions.ts';
import { readLoginDefs } from './login-defs.ts';

let machine: TestMachine;
beforeEach(() => {
  machine = createTestMachine();
  for (const folder of ['/etc/login.defs.d', '/usr/etc'])
    mkdirSync(machine.path(folder), { recursive: true });
});
afterEach(() => machine.remove());

function write(path: string, text: string): void {
  writeFileSync(machine.path(path), text);
}

describe('readDistro', () => {
  it.each(DISTRIBUTIONS)(
    'finds a row for $title, of which no more is claimed than was done',
    async (recorded) => {
      write('/etc/os-release', recorded.osRelease);
      const distro = await readDistro(machine.host);
      expect(distro).toMatchObject({ proof: 'scripted', userNames: 'any' });
      expect(distro.loginUids).toEqual(recorded.title === 'Flatcar' ? [500] : []);
    },
  );

  it.each([
    ['ID=debian\nVERSION_ID="12"\n', { proof: 'tested', userNames: 'any', loginUids: [] }],
    ['ID=raspbian\nID_LIKE=debian\n', { proof: 'scripted', userNames: 'any' }],
    ['ID=mariner\nVERSION_ID="2.0"\n', { proof: 'scripted', userNames: 'lower-case' }],
    ['ID=mine\nID_LIKE="other mariner"\n', { userNames: 'lower-case' }],
    [
      'ID=constructor\nID_LIKE="toString __proto__"\n',
      { proof: 'scripted', userNames: 'any', loginUids: [] },
    ],
    ['', { proof: 'scripted', userNames: 'any', loginUids: [] }],
  ])('reads %j', async (osRelease, expected) => {
    write('/etc/os-release', osRelease);
    expect(await readDistro(machine.host)).toMatchObject(expected);
  });
});

describe('readLoginDefs', () => {
  it.each(DISTRIBUTIONS)('reads the file of $title where it lies', ({ title, loginDefs, loginDefsPath }) => {
    write(loginDefsPath, loginDefs);
    const homeMode = { 'Ubuntu 24.04': 0o750, 'Azure Linux 3': 0o750 }[title];
    expect(readLoginDefs(machine.host)).toMatchObject({
      uidMin: 1000,
      uidMax: 60_000,
      encryptMethod: /ENCRYPT_METHOD (\w+)/.exec(loginDefs)?.[1],
      homeMode: homeMode ?? (loginDefs.includes('HOME_MODE') ? 0o700 : 0o755),
    });
  });

  it('has the values of the shadow suite where nothing is said', () => {
    expect(readLoginDefs(machine.host)).toEqual({
      uidMin: 1000,
      uidMax: 60_000,
      homeMode: 0o700,
      encryptMethod: undefined,
    });
  });

  it('takes no comment for a value, and lets /etc and later files win', () => {
    write('/usr/etc/login.defs', 'UID_MIN 100\nUID_MAX 200\n');
    write('/etc/login.defs', '# UID_MIN 5\nUID_MIN 500 # as of old\n#ENCRYPT_METHOD DES\nUMASK 077\n');
    write('/etc/login.defs.d/10-own.defs', 'UID_MAX 30000\n');
    write('/etc/login.defs.d/ignored.txt', 'UID_MAX 7\n');
    expect(readLoginDefs(machine.host)).toEqual({
      uidMin: 500,
      uidMax: 30_000,
      homeMode: 0o700,
      encryptMethod: undefined,
    });
  });
});
