import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, it } from 'vitest';
import { isOtherMachine, readMachineIdentity } from './machine-identity.ts';
import { createTestMachine } from './testing/machine.ts';

const UUID = '00112233-4455-6677-8899-aabbccddeeff';
const ID = '0123456789abcdef0123456789abcdef';

it.each<[string, string | undefined, string | undefined, string | undefined]>([
  ['the firmware’s UUID, in lower case', `${UUID.toUpperCase()}\n`, ID, `dmi:${UUID}`],
  ['the system’s id where the firmware has none', undefined, `${ID}\n`, `os:${ID}`],
  [
    'the system’s id where the firmware says that it has none',
    '00000000-0000-0000-0000-000000000000',
    ID,
    `os:${ID}`,
  ],
  [
    'the system’s id where the firmware was never set',
    'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
    ID,
    `os:${ID}`,
  ],
  ['the system’s id where the firmware says something else', 'Not Settable', ID, `os:${ID}`],
  ['nothing of a system that was never started', undefined, 'uninitialized\n', undefined],
  ['nothing where there is neither', undefined, undefined, undefined],
])('is %s', (_, uuid, id, identity) => {
  const machine = createTestMachine();
  const write = (path: string, text: string | undefined): void => {
    if (text === undefined) return;
    mkdirSync(dirname(machine.path(path)), { recursive: true });
    writeFileSync(machine.path(path), text);
  };
  try {
    write('/sys/class/dmi/id/product_uuid', uuid);
    write('/etc/machine-id', id);
    expect(readMachineIdentity(machine.host)).toBe(identity);
  } finally {
    machine.remove();
  }
});

it.each<[string | undefined, string | undefined, boolean]>([
  [`dmi:${UUID}`, `dmi:${UUID}`, false],
  [`dmi:${UUID}`, 'dmi:33221100-5544-7766-8899-aabbccddeeff', false],
  [`dmi:${UUID}`, 'dmi:33221100-5544-7766-9988-aabbccddeeff', true],
  [`dmi:${UUID}`, 'dmi:10112233-4455-6677-8899-aabbccddeeff', true],
  [`os:${ID}`, `os:${ID}`, false],
  [`os:${ID}`, `os:${'0'.repeat(32)}`, true],
  [`os:${ID}`, `dmi:${UUID}`, false],
  [undefined, `dmi:${UUID}`, false],
  [`dmi:${UUID}`, undefined, false],
])('%s beside %s is another machine: %s', (a, b, isOther) => {
  expect([isOtherMachine(a, b), isOtherMachine(b, a)]).toEqual([isOther, isOther]);
});
