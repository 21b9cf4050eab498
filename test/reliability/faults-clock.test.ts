/**
 * A clock that is wrong, and one that jumps by ten years while a packed handler works: what is counted is counted by a clock that never
 * jumps, what is stamped is stamped in UTC, and no time of a file decides what runs.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lutimesSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { EndedOperation, LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
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

/** The library of libfaketime, which its command puts before a program's own. */
const library = (): string =>
  execFileSync('faketime', ['now', '/usr/bin/env'], { encoding: 'utf8' }).match(/^LD_PRELOAD=(.+)$/m)?.[1] ??
  '';

/** Jumps of the real clock, as its libraries read them: the clock that never jumps stays. */
const jumpingClock = () => {
  const file = join(handler.libFolder, '..', 'clock');
  const jump = (to: string): void => {
    writeFileSync(`${file}.new`, `${to}\n`);
    renameSync(`${file}.new`, file);
  };
  jump('+0');
  const env = {
    LD_PRELOAD: library(),
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
  return { env, jump };
};
const isNear = (time: string | undefined, wanted: number): boolean =>
  Math.abs(Date.parse(time ?? '') - wanted) < 60_000;
const YEARS = 10 * 365 * 24 * 3600 * 1000;

it('A12: a clock that was ten years fast, ten slow, before 1970 ended or beyond 2038 changes the stamps only', async () => {
  const now = Date.now();
  const clocks: [string, number][] = [
    ['+3650d', now + YEARS],
    ['-3650d', now - YEARS],
    ['@2038-01-19 03:14:06', Date.UTC(2038, 0, 19, 3, 14, 6)],
    ['@1970-01-02 00:00:00', Date.UTC(1970, 0, 2)],
    ['+0', now],
  ];
  for (const [sequence, [clock, wanted]] of clocks.entries()) {
    handler.writeSettings(sequence, { public: { steps: [{ do: 'exec', argv: ['/bin/true'] }] } });
    const options = { sequence, wrapper: ['faketime', '-f', clock], env: { TZ: 'UTC' } };
    expect((await handler.run('enable', options)).exitCode).toBe(0);
    const status = handler.readStatus(sequence);
    expect(status).toMatchObject({ status: 'success', time: expect.stringMatching(/Z$/) });
    expect([clock, isNear(status?.time, wanted)]).toEqual([clock, true]);
    // Asked again at another time: it is done.
    await handler.run('enable', { sequence });
  }
  expect(handler.trace().map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3, 4]);
});

it('A12: a time zone, also in the hour that is twice, leaves the stamps in UTC', async () => {
  // New York, 1 November 2026: 01:30 comes at 05:30Z and again at 06:30Z.
  for (const [sequence, zone] of ['America/New_York', 'Asia/Kathmandu', 'Pacific/Kiritimati'].entries()) {
    handler.writeSettings(sequence, { public: {} });
    const wanted = Date.UTC(2026, 10, 1, 6, 31);
    const offset = Math.round((wanted - Date.now()) / 1000);
    const wrapper = ['faketime', '-f', `${offset < 0 ? '' : '+'}${offset}`];
    await handler.run('enable', { sequence, wrapper, env: { TZ: zone } });
    expect([zone, isNear(handler.readStatus(sequence)?.time, wanted)]).toEqual([zone, true]);
  }
  const log = readFileSync(join(handler.logFolder, 'handler.log'), 'utf8').split('\n').slice(0, -1);
  expect(log.filter((line) => !/"time":"2026-11-01T06:3\d:\d\d\.\d{3}Z"/.test(line))).toEqual([]);
});

it.each([
  ['forward', '+3650d'],
  ['back', '-3650d'],
])(
  'A12: a clock that jumps ten years %s while a command works neither ends it early nor keeps its limit from ending it',
  async (_, to) => {
    const { env, jump } = jumpingClock();
    const ready = join(handler.libFolder, '..', 'ready');
    const gate = join(handler.libFolder, '..', 'gate');
    // The command itself lives by the true clock.
    const outside = ['/usr/bin/env', '-u', 'LD_PRELOAD', '/bin/sh', '-c'];
    const patient = `echo >${ready}; while [ ! -e ${gate} ]; do sleep 0.02; done`;
    handler.writeSettings(0, {
      public: {
        steps: [
          { do: 'exec', argv: [...outside, patient], timeoutMs: 60_000 },
          { do: 'exec', argv: [...outside, 'while :; do sleep 0.1; done'], timeoutMs: 1_000, graceMs: 300 },
        ],
      },
    });
    const operation = handler.start('enable', { env });
    await until('the command', () => existsSync(ready));
    jump(to);
    // As long as a limit that looks at the clock would take to find out.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(handler.readStatus(0)?.status).toBe('transitioning');
    writeFileSync(gate, '');
    const { exitCode, durationMs } = await operation.ended;
    expect(exitCode).toBe(1);
    expect(durationMs).toBeLessThan(30_000);
    const status = handler.readStatus(0);
    expect(status).toMatchObject({ status: 'error', message: expect.stringContaining('ended with null') });
    const years = to === '+3650d' ? YEARS : -YEARS;
    expect(isNear(status?.time, Date.now() + years)).toBe(true);
  },
);

it.each([
  ['forward', '+3650d'],
  ['back', '-3650d'],
])(
  'A12: a clock that jumps ten years %s between two tries of a download neither hurries nor stops them',
  async (_, to) => {
    const { env, jump } = jumpingClock();
    const asked: number[] = [];
    const server = createServer((_request, response) => {
      asked.push(performance.now());
      if (asked.length === 1) jump(to);
      if (asked.length < 3) response.writeHead(503, { 'Retry-After': '1' }).end();
      else response.end('content');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const step = { do: 'download', url: `http://127.0.0.1:${port}/file`, file: 'file', attempts: 5 };
      handler.writeSettings(0, { public: { steps: [step] } });
      const { exitCode, stderr } = await handler.run('enable', { env });
      expect([exitCode, stderr]).toEqual([0, '']);
      const pauses = asked.slice(1).map((time, index) => time - (asked[index] ?? 0));
      expect(pauses.map((pause) => pause > 900 && pause < 20_000)).toEqual([true, true]);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  },
);

it('A12: files from the future, and a lock and a run of somebody who is gone, mislead nobody', async () => {
  const enable = async (sequence: number): Promise<EndedOperation> => {
    handler.writeSettings(sequence, { public: {} });
    return handler.run('enable', { sequence });
  };
  await enable(0);
  const future = 4_000_000_000;
  for (const name of ['journal.json', 'mrseq', 'HandlerEnvironment.json']) {
    utimesSync(join(handler.folder(), name), future, future);
  }
  for (const path of [handler.settingsFile(0), handler.statusFile(0), handler.dataFolder])
    utimesSync(path, future, future);
  const lock = join(handler.dataFolder, '.lock');
  symlinkSync('999999:1:00000000-0000-0000-0000-000000000000', lock);
  lutimesSync(lock, future, future);
  const { exitCode, durationMs } = await enable(1);
  expect(exitCode).toBe(0);
  expect(durationMs).toBeLessThan(20_000);
  expect(handler.readStatus(1)).toMatchObject({ status: 'success' });
  // The older number does not come back, though its file is the newest.
  await handler.run('enable', { sequence: 0 });
  expect(handler.trace().map(({ sequence }) => sequence)).toEqual([0, 1]);
});

it('A12: a daemon whose clock jumps back ten years goes on, and its heartbeat is written anew', async () => {
  const daemon = unpackPackage(inject('daemonProbeZip'));
  handler.remove();
  handler = layOutHandler(daemon);
  try {
    const { env, jump } = jumpingClock();
    const gate = join(handler.libFolder, '..', 'gate');
    const steps = [
      { do: 'ready', message: 'it works' },
      { do: 'wait-for-file', path: gate },
      { do: 'degraded', message: 'after the jump' },
      { do: 'wait-for-abort', finish: true },
    ];
    handler.writeSettings(0, { public: { steps } });
    expect((await handler.run('enable', { env })).exitCode).toBe(0);
    await until('the daemon', () => handler.readStatus(0)?.message.includes('it works'));
    jump('-3650d');
    writeFileSync(gate, '');
    await until('the news', () => handler.readStatus(0)?.message.includes('after the jump'));
    expect(isNear(handler.readStatus(0)?.time, Date.now() - YEARS)).toBe(true);
    expect(readFileSync(handler.heartbeatFile, 'utf8')).toContain('after the jump');
    expect(handler.trace()).toHaveLength(1);
    expect((await handler.run('disable')).exitCode).toBe(0);
    await until('its end', () => handler.processes().length === 0);
  } finally {
    daemon.remove();
  }
});
