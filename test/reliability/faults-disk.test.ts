/**
 * A disk that is full at each write, out of inodes, broken or read-only, under a packed handler: no status is ever half there or lost, what
 * cannot be written is said where the agent sees it, no script runs twice, and with a sound disk the next enable ends well.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CONFIG_FOLDER, isFinal, parseStatus, STATUS_FOLDER } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { EndedOperation, GivenSettings, LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import type { SmallDisk } from './small-disk.ts';
import { putOnSmallDisk, unfinishedFiles } from './small-disk.ts';

let probe: UnpackedPackage;
let customScript: UnpackedPackage;
let handler: LaidOutHandler;
beforeAll(() => {
  probe = unpackPackage(inject('probeZip'));
  customScript = unpackPackage(inject('customScriptZip'));
});
afterAll(() => {
  probe.remove();
  customScript.remove();
});
afterEach(() => handler.remove());

/** More than is written before the result, and than the result takes. */
const ENOUGH = 6;
const marks = (): string => join(handler.libFolder, '..', 'marks');
const countMarks = (sequence: number): number =>
  (existsSync(marks()) ? readFileSync(marks(), 'utf8') : '')
    .split('\n')
    .filter((line) => line === `${sequence}`).length;
const marking = (sequence: number): string => `echo ${sequence} >>${marks()}; echo hello`;
const probeSettings = (sequence: number): GivenSettings => ({
  public: {
    steps: [
      { do: 'report', message: 'halfway' },
      { do: 'exec', argv: ['/bin/sh', '-c', marking(sequence)] },
      { do: 'end', message: 'done' },
    ],
  },
});
const scriptSettings = (sequence: number): GivenSettings => ({
  public: { commandToExecute: marking(sequence) },
});

describe('on a disk with less and less room', () => {
  let disk: SmallDisk;
  afterEach(() => disk.remove());

  const enable = async (sequence: number): Promise<EndedOperation> => {
    const ended = await handler.run('enable', { sequence, wrapper: disk.wrapper });
    await disk.quiet();
    return ended;
  };
  /** Throws for one that cannot be parsed. */
  const statusOf = (sequence: number) => {
    const file = disk.path(handler.statusFile(sequence));
    return existsSync(file) ? parseStatus(readFileSync(file, 'utf8'), file) : undefined;
  };
  /** True when the agent hears of it: by a final status, or by the exit code and a text that names file and cause. */
  const isTold = (sequence: number, { exitCode, stderr }: EndedOperation): boolean => {
    const status = statusOf(sequence);
    if (status !== undefined && isFinal(status.status)) return true;
    const names = stderr.includes(handler.libFolder) && /ENOSPC|No space left|I\/O error/.test(stderr);
    return exitCode !== 0 && names && stderr.includes('make room');
  };

  it.each([
    ['probe', 'pages', () => probe, probeSettings],
    ['probe', 'inodes', () => probe, probeSettings],
    ['Custom Script', 'pages', () => customScript, scriptSettings],
    ['Custom Script', 'inodes', () => customScript, scriptSettings],
  ] as const)(
    'A9: a %s with fewer and fewer %s for all that it writes ends told, whole, once, and well when there is room again',
    async (name, of, unpacked, settings) => {
      handler = layOutHandler(unpacked());
      for (let sequence = 0; sequence <= ENOUGH + 1; sequence++) {
        handler.writeSettings(sequence, settings(sequence));
      }
      // The probe writes into the folder of the logs itself.
      disk = await putOnSmallDisk(handler, { withLogs: name !== 'probe' });
      await enable(0);
      const former = readFileSync(disk.path(handler.statusFile(0)), 'utf8');
      for (let left = 0; left <= ENOUGH; left++) {
        const sequence = left + 1;
        if (of === 'pages') disk.leavePages(left);
        else disk.leaveInodes(left);
        const ended = await enable(sequence);
        const [runs, status] = [countMarks(sequence), statusOf(sequence)];
        expect(isTold(sequence, ended), `${left} ${of}: ${ended.exitCode} ${ended.stderr}`).toBe(true);
        expect(unfinishedFiles(disk.path(handler.libFolder))).toEqual([]);
        if (runs === 1) expect(status).toMatchObject({ status: 'success' });
        disk.free();
        await enable(sequence);
        const after = statusOf(sequence);
        if (after?.status === 'success') expect(countMarks(sequence)).toBe(1);
        // It had begun, and could not go on: that is not tried again by itself.
        else expect([after, countMarks(sequence)]).toEqual([status, 0]);
        expect(unfinishedFiles(disk.path(handler.libFolder))).toEqual([]);
        expect(readFileSync(disk.path(handler.statusFile(0)), 'utf8')).toBe(former);
      }
      expect(statusOf(ENOUGH + 1)).toMatchObject({ status: 'success' });
      expect(statusOf(1)).toMatchObject({ status: 'success' });
    },
  );
});

it('A9: an update with less and less room fails told, and goes on where there is room: nothing runs again', async () => {
  for (const of of ['pages', 'inodes'] as const) {
    for (let left = 0; left < 5; left++) {
      handler = layOutHandler(probe);
      handler.addVersion('1.1.0');
      for (const version of ['1.0.0', '1.1.0']) handler.writeSettings(0, probeSettings(0), { version });
      const disk = await putOnSmallDisk(handler);
      try {
        const run = (operation: 'enable' | 'update', version: string) =>
          handler.run(operation, {
            version,
            wrapper: disk.wrapper,
            ...(operation === 'update' && { variables: { updatingFromVersion: '1.0.0' } }),
          });
        await run('enable', '1.0.0');
        if (of === 'pages') disk.leavePages(left);
        else disk.leaveInodes(left);
        const { exitCode, stderr } = await run('update', '1.1.0');
        if (exitCode !== 0)
          expect(stderr).toMatch(/^Update failed: STATE_UNUSABLE: .*ENOSPC.*\/lib\/.*make room/);
        expect(unfinishedFiles(disk.path(handler.libFolder))).toEqual([]);
        disk.free();
        if (exitCode !== 0) expect((await run('update', '1.1.0')).exitCode).toBe(0);
        expect((await run('enable', '1.1.0')).exitCode).toBe(0);
        expect([of, left, countMarks(0)]).toEqual([of, left, 1]);
      } finally {
        disk.remove();
        handler.remove();
      }
    }
  }
});

describe('with a disk on which a call fails', () => {
  beforeEach(() => {
    handler = layOutHandler(probe);
  });

  const failing = (call: string, error: string, when: string): string[] => {
    const output = join(handler.libFolder, '..', 'calls');
    const expression = `inject=${call}:error=${error}${when === '' ? '' : `:when=${when}`}`;
    return ['strace', '-f', '-qq', '-o', output, '-e', `trace=${call}`, '-e', expression];
  };
  const wasHit = (): boolean =>
    readFileSync(join(handler.libFolder, '..', 'calls'), 'utf8').includes('(INJECTED)');

  it.each([
    ['rename', 'ENOSPC'],
    ['fsync', 'EIO'],
    ['symlink', 'EROFS'],
  ])('A10: %s that fails once with %s, whichever it is, is told or made good', async (call, error) => {
    for (let sequence = 0; ; sequence++) {
      expect(sequence).toBeLessThan(20);
      handler.writeSettings(sequence, probeSettings(sequence));
      const wrapper = failing(call, error, `${sequence + 1}`);
      const { exitCode, stderr } = await handler.run('enable', { sequence, wrapper });
      const isLast = !wasHit();
      const status = handler.readStatus(sequence);
      if (exitCode === 0) expect(status).toMatchObject({ status: 'success' });
      else {
        expect(stderr).toContain(error);
        expect(stderr).toContain(handler.libFolder);
        expect(status).toMatchObject({ status: 'error', code: -12 });
      }
      expect(countMarks(sequence)).toBe(exitCode === 0 ? 1 : 0);
      expect(unfinishedFiles(handler.libFolder)).toEqual([]);
      await handler.run('enable', { sequence });
      const after = handler.readStatus(sequence);
      if (after?.status !== 'success') expect(after).toEqual(status);
      expect(countMarks(sequence)).toBeLessThan(2);
      if (isLast) {
        // The loop has come to the end of all calls of that kind.
        expect(sequence).toBeGreaterThan(1);
        break;
      }
    }
  });

  it('A10: every rename that fails with ENOSPC leaves the old status, and the exit code and stderr tell it', async () => {
    handler.writeSettings(0, probeSettings(0));
    await handler.run('enable');
    const former = readFileSync(handler.statusFile(0), 'utf8');
    handler.writeSettings(1, probeSettings(1));
    const wrapper = failing('rename', 'ENOSPC', '');
    const { exitCode, stderr } = await handler.run('enable', { sequence: 1, wrapper });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/STATE_UNUSABLE: .*ENOSPC.*journal\.json'; make room/);
    expect([handler.readStatus(1), countMarks(1)]).toEqual([undefined, 0]);
    expect(readFileSync(handler.statusFile(0), 'utf8')).toBe(former);
    expect(unfinishedFiles(handler.libFolder)).toEqual([]);
  });

  it('A10: a disk that can never say that it has written shows the error all the same', async () => {
    handler.writeSettings(0, probeSettings(0));
    const { exitCode, stderr } = await handler.run('enable', { wrapper: failing('fsync', 'EIO', '') });
    expect([exitCode, countMarks(0)]).toEqual([1, 0]);
    expect(stderr).toMatch(
      /^Enable failed: STATE_UNUSABLE: .*EIO: i\/o error, fsync '\/.+'; make room or repair/m,
    );
    expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: -12 });
    expect(unfinishedFiles(handler.libFolder)).toEqual([]);
  });

  it('A10: settings that the disk cannot read are an error that names them', async () => {
    handler.writeSettings(0, probeSettings(0));
    const read = failing('read,pread64', 'EIO', '');
    const wrapper = [...read.slice(0, 1), '-P', handler.settingsFile(0), ...read.slice(1)];
    const { exitCode, stderr } = await handler.run('enable', { wrapper });
    expect(exitCode).toBe(53);
    expect(stderr).toMatch(/SETTINGS_UNREADABLE: EIO: i\/o error, read '.*0\.settings'/);
    expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: -21 });
    // It was not the settings' fault.
    expect((await handler.run('enable')).exitCode).toBe(0);
    expect(handler.readStatus(0)).toMatchObject({ status: 'success' });
  });
});

describe('in folders that are not what they should be', () => {
  const readOnly = (folder: string): string[] => {
    const mount = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"';
    return ['unshare', '--mount', '/bin/sh', '-ec', mount, 'sh', folder];
  };

  it.each([
    ['probe', () => probe, probeSettings],
    ['Custom Script', () => customScript, scriptSettings],
  ] as const)(
    'A11: a %s on a read-only disk runs nothing, and says which file and why',
    async (_, unpacked, settings) => {
      handler = layOutHandler(unpacked());
      handler.writeSettings(0, settings(0));
      const { exitCode, stderr } = await handler.run('enable', { wrapper: readOnly(handler.libFolder) });
      expect(exitCode).toBe(1);
      expect(stderr).toContain(handler.libFolder);
      expect(stderr).toMatch(/EROFS|Read-only file system/);
      expect(countMarks(0)).toBe(0);
      await handler.run('enable');
      await until('the result', () => handler.readStatus(0)?.status === 'success');
      expect(countMarks(0)).toBe(1);
    },
  );

  it.each<[string, (handler: LaidOutHandler) => string, 'success' | 'error']>([
    ['settings', (machine) => join(machine.folder(), CONFIG_FOLDER), 'success'],
    ['program', (machine) => join(machine.folder(), 'bin'), 'success'],
    ['logs', ({ logFolder }) => logFolder, 'success'],
    ['data', ({ libFolder }) => join(libFolder, 'custom-script'), 'error'],
  ])(
    'A10: of which only the folder of the %s is read-only ends told, and runs what it can',
    async (_, folder, wanted) => {
      handler = layOutHandler(customScript);
      const result = (sequence: number) =>
        until('the result', () => {
          const status = handler.readStatus(sequence);
          return status?.status === 'transitioning' ? undefined : status;
        });
      for (const sequence of [0, 1]) handler.writeSettings(sequence, scriptSettings(sequence));
      await handler.run('enable');
      await result(0);
      await handler.run('enable', { sequence: 1, wrapper: readOnly(folder(handler)) });
      const status = await result(1);
      expect(status).toMatchObject({ status: wanted });
      if (wanted === 'error')
        expect(status.message).toMatch(/EROFS: .* '.*\/custom-script\/.*make room or repair/);
      expect(countMarks(1)).toBe(wanted === 'success' ? 1 : 0);
    },
  );

  it('A11: a status folder that is read-only, or a file, begins no detached run', async () => {
    handler = layOutHandler(customScript);
    handler.writeSettings(0, scriptSettings(0));
    const folder = join(handler.folder(), STATUS_FOLDER);
    const first = await handler.run('enable', { wrapper: readOnly(folder) });
    rmSync(folder, { recursive: true });
    writeFileSync(folder, '');
    const second = await handler.run('enable');
    for (const { exitCode, stderr } of [first, second]) {
      expect([exitCode, stderr]).toEqual([
        1,
        expect.stringContaining(`${handler.statusFile(0)} cannot be written`),
      ]);
    }
    rmSync(folder);
    await handler.run('enable');
    await until('the result', () => handler.readStatus(0)?.status === 'success');
    expect(countMarks(0)).toBe(1);
  });

  it.each<[string, (folder: string) => void]>([
    ['missing', () => undefined],
    ['a file', (folder) => writeFileSync(folder, '')],
    ['a link that leads nowhere', (folder) => symlinkSync(`${folder}.gone`, folder)],
    ['a link to itself', (folder) => symlinkSync(folder, folder)],
    [
      'full',
      (folder) => {
        mkdirSync(folder);
        symlinkSync('/dev/full', join(folder, 'handler.log'));
      },
    ],
  ])('A11: a log folder that is %s keeps no command from its work', async (_, make) => {
    handler = layOutHandler(customScript);
    rmSync(handler.logFolder, { recursive: true });
    make(handler.logFolder);
    handler.writeSettings(0, scriptSettings(0));
    expect(await handler.run('enable')).toMatchObject({ exitCode: 0, stderr: '' });
    await until('the result', () => handler.readStatus(0)?.status === 'success');
    expect(countMarks(0)).toBe(1);
    await until('the end', () => handler.processes().length === 0);
    expect(unfinishedFiles(handler.libFolder)).toEqual([]);
  });
});
