/** Settings files that are cut off, late, empty or numbered in strange ways, as they come to a packed handler. */
import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXIT_CODES, formatSequenceFile } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

let unpacked: UnpackedPackage;
let handler: LaidOutHandler;
beforeAll(() => {
  unpacked = unpackPackage(inject('probeZip'));
});
afterAll(() => unpacked.remove());
beforeEach(() => {
  handler = layOutHandler(unpacked);
});
afterEach(() => handler.remove());

it('A13: settings that are cut off are one error that names file and place, and run nothing', async () => {
  handler.writeSettings(0, { public: { greeting: 'zwölf' }, protected: { secret: 'a-secret-value' } });
  const text = readFileSync(handler.settingsFile(0), 'utf8').replace('\\u00f6', 'ö');
  const whole = Buffer.from(text);
  // Within and between words, in the middle of a character, in the envelope, and before the last brace.
  const character = whole.indexOf(0xc3);
  const lengths = [
    1,
    2,
    10,
    40,
    character,
    character + 1,
    200,
    whole.length / 2,
    whole.length - 3,
    whole.length - 1,
  ];
  const cut = lengths.map((length) => ({ length, machine: layOutHandler(unpacked) }));
  try {
    const results = await Promise.all(
      cut.map(async ({ length, machine }) => {
        writeFileSync(machine.settingsFile(0), whole.subarray(0, length));
        const { exitCode, stderr } = await machine.run('enable');
        const message = machine.readStatus(0)?.message ?? '';
        const isNamed = message.startsWith(`Enable failed: ${machine.settingsFile(0)}: is not valid JSON`);
        return [length, exitCode, isNamed, stderr.includes('SETTINGS_UNREADABLE'), machine.trace().length];
      }),
    );
    expect(results).toEqual(lengths.map((length) => [length, EXIT_CODES.configurationError, true, true, 0]));
  } finally {
    for (const { machine } of cut) machine.remove();
  }
});

it('A13: settings that come a moment after their enable are read', async () => {
  const operation = handler.start('enable');
  await until('enable to begin', () => handler.readStatus(0));
  handler.writeSettings(0, { public: { greeting: 'late' } });
  expect((await operation.ended).exitCode).toBe(0);
  expect(handler.trace()).toMatchObject([{ greeting: 'late' }]);
});

it('A13: settings that never come, and come after all, run then', async () => {
  const { exitCode, stderr } = await handler.run('enable');
  expect(exitCode).toBe(EXIT_CODES.configurationError);
  expect(stderr).toContain(`${handler.settingsFile(0)}: is missing`);
  expect((await handler.enable(0, { public: { greeting: 'at last' } })).status.status).toBe('success');
  expect(handler.trace()).toMatchObject([{ greeting: 'at last' }]);
});

it('A13: an empty file is no settings, and is run', async () => {
  writeFileSync(handler.settingsFile(0), '');
  expect((await handler.run('enable')).exitCode).toBe(0);
  expect(handler.readStatus(0)).toMatchObject({ status: 'success' });
  expect(handler.trace()).toHaveLength(1);
});

it('A13: a number beyond 32 bits is one like any other; one that no program can tell from its neighbour is refused', async () => {
  for (const sequence of [2 ** 31 - 1, 2 ** 31, 2 ** 32, 999_999_999_999_999]) {
    const { status, exitCode } = await handler.enable(sequence, { public: {} });
    expect([sequence, exitCode, status.status]).toEqual([sequence, 0, 'success']);
    expect(readFileSync(join(handler.folder(), formatSequenceFile()), 'utf8').trim()).toBe(`${sequence}`);
    await handler.run('enable', { sequence });
  }
  expect(handler.trace()).toHaveLength(4);
  for (const number of [
    '1000000000000000',
    '9007199254740993',
    `1${'0'.repeat(400)}`,
    '-1',
    '1e3',
    '0x10',
    ' ',
    'NaN',
  ]) {
    const { exitCode, stderr } = await handler.run('enable', { env: { ConfigSequenceNumber: number } });
    expect([number, exitCode]).toEqual([number, EXIT_CODES.configurationError]);
    expect(stderr).toContain('ConfigSequenceNumber');
  }
  expect(handler.trace()).toHaveLength(4);
});

it('A13: the number that the agent says counts, and not the file of the highest number or the newest', async () => {
  for (const sequence of [3, 7, 12]) handler.writeSettings(sequence, { public: { greeting: `${sequence}` } });
  utimesSync(handler.settingsFile(12), 4e9, 4e9);
  await handler.run('enable', { sequence: 7 });
  expect(handler.trace()).toMatchObject([{ greeting: '7' }]);
  expect([handler.readStatus(7)?.status, handler.readStatus(12)]).toEqual(['success', undefined]);
  // The newer file keeps its text: only older ones are emptied.
  expect(readFileSync(handler.settingsFile(12), 'utf8')).toContain('12');
  expect(readFileSync(handler.settingsFile(3), 'utf8')).toBe('');
});
