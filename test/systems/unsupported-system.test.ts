/**
 * The packed Custom Script where it cannot run: a C library that is too old or another one, a file system with noexec, a
 * machine of another architecture. The launcher answers 51, one line, and for enable a final status.
 */
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { EXIT_CODES } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import {
  type LaidOutHandler,
  layOutHandler,
  type UnpackedPackage,
  unpackPackage,
} from '../unpacked-handler.ts';
import { createSystemRoot, LEAST_PROGRAMS, NO_ROOT, type SystemRoot } from './system-root.ts';

const LOADER = 'lib64/ld-linux-x86-64.so.2';
const NEEDS = 'the GNU C library (glibc) 2.17 or later';
const BUSYBOX = 'busybox-static-amd64';

describe.skipIf(NO_ROOT !== undefined)(
  `where it cannot run${NO_ROOT === undefined ? '' : ` (${NO_ROOT})`}`,
  () => {
    let unpacked: UnpackedPackage;
    let handler: LaidOutHandler;
    let root: SystemRoot | undefined;
    beforeAll(() => {
      unpacked = unpackPackage(inject('customScriptZip'));
    });
    afterAll(() => unpacked?.remove());
    beforeEach(() => {
      handler = layOutHandler(unpacked);
      root = undefined;
    });
    afterEach(() => {
      handler.remove();
      root?.remove();
    });

    /** Enables with a sequence number of its own, and installs; both must give the reason, as `detail` says it in stderr. */
    const expectRefusal = async (wrapper: readonly string[], reason: string, detail = ''): Promise<void> => {
      handler.writeSettings(7, { public: { commandToExecute: 'true' } });
      const line = `Handlerkit.Extensions.CustomScript 1.0.0: ${reason}${detail && ` (${detail})`}\n`;
      const refusal = { exitCode: EXIT_CODES.unsupportedSystem, stdout: '', stderr: line };
      expect(await handler.run('enable', { sequence: 7, wrapper })).toMatchObject(refusal);
      expect(handler.readStatus(7)).toMatchObject({
        operation: 'Enable',
        status: 'error',
        code: EXIT_CODES.unsupportedSystem,
        message: `Enable failed: ${reason}`,
        substatus: [],
      });
      expect(await handler.run('install', { sequence: 8, wrapper })).toMatchObject(refusal);
      expect(handler.readStatus(8)).toBeUndefined();
    };
    const makeRoot = (...packages: Parameters<typeof createSystemRoot>[0]['packages']): SystemRoot => {
      root = createSystemRoot({ packages, programs: LEAST_PROGRAMS });
      return root;
    };

    it('names the version that a C library lacks', async () => {
      const { folder, enter } = makeRoot('libc6-amd64', BUSYBOX);
      const library = join(folder, 'lib/x86_64-linux-gnu/libc.so.6');
      // Another name for 2.17 is no 2.17: what the library of an older system would say.
      const bytes = readFileSync(library, 'latin1');
      expect(bytes).toContain('GLIBC_2.17\0');
      writeFileSync(library, bytes.replaceAll('GLIBC_2.17\0', 'GLIBC_9.99\0'), 'latin1');
      const program = join(handler.folder(), 'bin/handler-x64');
      await expectRefusal(
        enter(handler),
        `the program cannot be loaded; it needs ${NEEDS} and a file system without noexec`,
        `${program}: /lib/x86_64-linux-gnu/libc.so.6: version \`GLIBC_2.17' not found`,
      );
    });

    it('says that musl is not glibc', async () => {
      const { enter } = makeRoot('musl-amd64', BUSYBOX);
      await expectRefusal(enter(handler), `the program needs ${NEEDS}; this system has no /${LOADER}`);
    });

    it('is not misled by musl under the name of glibc’s loader', async () => {
      const { folder, enter } = makeRoot('musl-amd64', BUSYBOX);
      symlinkSync('/lib/ld-musl-x86_64.so.1', join(folder, LOADER));
      handler.writeSettings(7, {});
      const wrapper = enter(handler);
      const { exitCode, stderr } = await handler.run('enable', { sequence: 7, wrapper });
      expect(exitCode).toBe(EXIT_CODES.unsupportedSystem);
      expect(stderr.trim().split('\n')).toEqual([expect.stringContaining(NEEDS)]);
      expect(handler.readStatus(7)).toMatchObject({ status: 'error', code: EXIT_CODES.unsupportedSystem });
    });

    it('names the machine that the package has no program for', async () => {
      // What uname says in a 32-bit container of a 64-bit machine, whose kernel does not tell it otherwise.
      const hide = 'mount --bind /dev/null /proc/sys/kernel/arch; exec setarch i686 "$@"';
      await expectRefusal(
        ['unshare', '--mount', 'sh', '-c', hide, 'sh'],
        'this machine is i686; the package has programs for x64 only',
      );
    });

    const noexec = (): string[] => [
      'unshare',
      '--mount',
      'sh',
      '-ec',
      'mount --bind "$0" "$0"; mount -o remount,bind,noexec "$0"; cd "$PWD"; exec "$@"',
      dirname(handler.libFolder),
    ];

    it('says, started by a shell, that the file system is mounted with noexec', async () => {
      await expectRefusal(
        [...noexec(), 'sh', '-c', 'exec sh $3', 'sh'],
        'the program is missing or cannot be executed; is the file system mounted with noexec?',
        join(handler.folder(), 'bin/handler-x64'),
      );
    });

    it('is stopped by noexec as everything that the agent starts is: 126 with the shell’s line', async () => {
      const { exitCode, stderr } = await handler.run('enable', { wrapper: noexec() });
      expect(exitCode).toBe(126);
      expect(stderr).toMatch(/bin\/handler: Permission denied\n$/);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    });
  },
);
