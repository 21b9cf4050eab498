/**
 * The packed Custom Script on the least that it needs: the C library of Debian 11 (glibc 2.31), busybox, and nothing
 * else: no bash, openssl, python or coreutils. On x64, and with qemu on arm64, which must say the same.
 */
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONFIG_FOLDER, formatSequenceFile, isFinal, type Status } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import { runHandlerkit } from '../handlerkit-command.ts';
import {
  type GivenSettings,
  type LaidOutHandler,
  layOutHandler,
  type UnpackedPackage,
  unpackPackage,
} from '../unpacked-handler.ts';
import { GLIBC_LIBRARIES, newestGlibc, readLibraryNeeds } from './library-needs.ts';
import {
  createSystemRoot,
  LEAST_PROGRAMS,
  NO_ARM64_ROOT,
  NO_ROOT,
  type SystemRoot,
  type SystemRootOptions,
} from './system-root.ts';

const SCRIPT = '#!/bin/sh\necho "machine: $(uname -m)"\n';

const SYSTEMS: readonly (SystemRootOptions & {
  readonly title: string;
  readonly machine: string;
  readonly reason: string | undefined;
})[] = [
  {
    title: 'x64',
    machine: 'x86_64',
    reason: NO_ROOT,
    packages: ['libc6-amd64', 'busybox-amd64'],
    programs: LEAST_PROGRAMS,
  },
  {
    title: 'arm64',
    machine: 'aarch64',
    reason: NO_ARM64_ROOT,
    packages: ['libc6-arm64', 'busybox-arm64'],
    programs: LEAST_PROGRAMS,
  },
];

// Under qemu a program takes a second and a half of the processor to start.
describe.each(SYSTEMS)(
  'on $title with nothing but glibc 2.31 and busybox',
  { timeout: 240_000 },
  (system) => {
    const { title, machine, reason, programs } = system;
    const cannot = reason !== undefined;
    let unpacked: UnpackedPackage;
    let root: SystemRoot;
    let handler: LaidOutHandler;

    beforeAll(async () => {
      if (cannot) return;
      unpacked = title === 'x64' ? unpackPackage(inject('customScriptZip')) : await packForArm64();
      root = createSystemRoot(system);
    });
    afterAll(() => {
      unpacked?.remove();
      root?.remove();
    });
    beforeEach(() => {
      if (!cannot) handler = layOutHandler(unpacked);
    });
    afterEach(() => handler?.remove());

    const run = async (...[operation, options]: Parameters<LaidOutHandler['run']>) =>
      await handler.run(operation, { wrapper: root.enter(handler), ...options });

    /** Runs a detached enable to its end; gives the status without its times. */
    const enableAgain = async (sequence: number, version = '1.0.0'): Promise<Omit<Status, 'time'>> => {
      const { exitCode, stderr } = await run('enable', { sequence, version });
      expect([exitCode, stderr]).toEqual([0, '']);
      expect(handler.readStatus(sequence, { version })).toBeDefined();
      const { time: _, ...status } = await until('the end of enable', () => {
        const found = handler.readStatus(sequence, { version });
        return found !== undefined && isFinal(found.status) && found;
      });
      return status;
    };
    const enable = async (sequence: number, settings: GivenSettings): Promise<Omit<Status, 'time'>> => {
      handler.writeSettings(sequence, settings);
      return await enableAgain(sequence);
    };

    it.skipIf(cannot)(`runs through the whole life of an extension${because(reason)}`, async () => {
      const needs = readLibraryNeeds(join(unpacked.folder, `bin/handler-${title}`));
      expect(needs.libraries.filter((name) => !GLIBC_LIBRARIES.test(name))).toEqual([]);
      expect(newestGlibc(needs)).toBe(17);
      const inside = readdirSync(join(root.folder, 'bin'));
      expect(inside.sort()).toEqual(['busybox', ...programs].sort());
      expect(await run('install')).toMatchObject({ exitCode: 0, stderr: '' });

      const success = { operation: 'Enable', status: 'success', code: 0 };
      expect(await enable(0, { public: { commandToExecute: 'uname -m; echo trouble >&2' } })).toMatchObject({
        ...success,
        message: `Enable succeeded: \n[stdout]\n${machine}\n\n[stderr]\ntrouble\n`,
      });
      expect(await enable(1, { protected: { commandToExecute: 'uname -m' } })).toMatchObject({
        ...success,
        message: `Enable succeeded: \n[stdout]\n${machine}\n\n[stderr]\n`,
      });
      const script = Buffer.from(SCRIPT).toString('base64');
      const done = await enable(2, { protected: { script } });
      expect(done).toMatchObject({
        ...success,
        message: `Enable succeeded: \n[stdout]\nmachine: ${machine}\n\n[stderr]\n`,
      });

      expect(await run('disable', { sequence: 2 })).toMatchObject({ exitCode: 0, stderr: '' });
      const version = '1.0.1';
      handler.addVersion(version);
      // As the agent does before the update.
      for (const name of [CONFIG_FOLDER, formatSequenceFile()]) {
        cpSync(join(handler.folder(), name), join(handler.folder(version), name), { recursive: true });
      }
      const variables = { updatingFromVersion: '1.0.0', targetVersion: version, disableExitCode: '0' };
      const updated = await run('update', { sequence: 2, version, variables });
      expect(updated).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await run('uninstall', { sequence: 2 })).toMatchObject({ exitCode: 0, stderr: '' });
      expect(
        await run('install', { sequence: 2, version, variables: { uninstallExitCode: '0' } }),
      ).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await enableAgain(2, version)).toEqual(done);
      expect(await run('disable', { sequence: 2, version })).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await run('uninstall', { sequence: 2, version })).toMatchObject({ exitCode: 0, stderr: '' });
      expect(existsSync(join(handler.libFolder, 'custom-script'))).toBe(false);
    });

    it.skipIf(cannot)(
      `says why a command failed, and what is wrong with settings${because(reason)}`,
      async () => {
        expect(await enable(0, { public: { commandToExecute: 'echo half; exit 7' } })).toEqual({
          operation: 'Enable',
          status: 'error',
          code: 7,
          message:
            'Enable failed: failed to execute command: command terminated with exit status=7\n[stdout]\nhalf\n\n[stderr]\n',
          substatus: [{ name: 'ErrorClarification', status: 'error', code: 2, message: 'COMMAND_FAILED' }],
        });
        expect(await enable(1, { public: { commandToExecute: 'true', script: 'dHJ1ZQ==' } })).toMatchObject({
          status: 'error',
          message: expect.stringContaining('commandToExecute'),
        });
      },
    );
  },
);

function because(reason: string | undefined): string {
  return reason === undefined ? '' : ` (skipped: ${reason})`;
}

async function packForArm64(): Promise<UnpackedPackage> {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-arm64-'));
  try {
    const zip = join(folder, 'custom-script.zip');
    const words = ['pack', 'extensions/custom-script', '--architectures', 'arm64', '--out', zip, '--quiet'];
    const { exitCode, stderr } = await runHandlerkit(words);
    expect([exitCode, stderr]).toEqual([0, '']);
    return unpackPackage(zip);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
