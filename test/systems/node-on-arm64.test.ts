/**
 * Custom Script packed with Node for arm64, on the least that this needs: the C library of Debian 11, its library of C++,
 * and busybox. With qemu; the packed program of the other runtime has a longer test beside this one.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isFinal } from '@handlerkit/sdk/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../await-condition.ts';
import { runHandlerkit } from '../handlerkit-command.ts';
import {
  type LaidOutHandler,
  layOutHandler,
  type UnpackedPackage,
  unpackPackage,
} from '../unpacked-handler.ts';
import { GLIBC_LIBRARIES, newestGlibc, readLibraryNeeds } from './library-needs.ts';
import { createSystemRoot, LEAST_PROGRAMS, NO_ARM64_ROOT, type SystemRoot } from './system-root.ts';

const because = NO_ARM64_ROOT === undefined ? '' : ` (skipped: ${NO_ARM64_ROOT})`;

describe.skipIf(NO_ARM64_ROOT !== undefined)(`on arm64 with Node${because}`, () => {
  let unpacked: UnpackedPackage | undefined;
  let root: SystemRoot | undefined;
  let handler: LaidOutHandler | undefined;
  beforeAll(async () => {
    unpacked = await pack();
    root = createSystemRoot({
      packages: ['libc6-arm64', 'libgcc-s1-arm64', 'libstdc++6-arm64', 'busybox-arm64'],
      programs: LEAST_PROGRAMS,
    });
    handler = layOutHandler(unpacked);
  });
  afterAll(() => {
    handler?.remove();
    root?.remove();
    unpacked?.remove();
  });

  it('needs glibc 2.28 and the library of C++, and enables', async () => {
    if (unpacked === undefined || root === undefined || handler === undefined) throw new Error('not set up');
    const needs = readLibraryNeeds(join(unpacked.folder, 'bin/handler-arm64'));
    const versions = needs.versions.filter((version) => version.startsWith('GLIBC_'));
    expect(newestGlibc({ ...needs, versions })).toBe(28);
    expect(needs.libraries.filter((name) => !GLIBC_LIBRARIES.test(name)).sort()).toEqual([
      'libgcc_s.so.1',
      'libstdc++.so.6',
    ]);
    const made = handler;
    made.writeSettings(0, { protected: { commandToExecute: 'uname -m' } });
    const enabled = await made.run('enable', { sequence: 0, wrapper: root.enter(made) });
    expect(enabled).toMatchObject({ exitCode: 0, stderr: '' });
    const status = await until('the end of enable', () => {
      const found = made.readStatus(0);
      return found !== undefined && isFinal(found.status) && found;
    });
    expect(status).toMatchObject({
      operation: 'Enable',
      status: 'success',
      code: 0,
      message: 'Enable succeeded: \n[stdout]\naarch64\n\n[stderr]\n',
    });
  });
});

async function pack(): Promise<UnpackedPackage> {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-node-arm64-'));
  try {
    const zip = join(folder, 'custom-script.zip');
    const words = ['pack', 'extensions/custom-script', '--architectures', 'arm64', '--runtime', 'node'];
    const { exitCode, stderr } = await runHandlerkit([...words, '--out', zip, '--quiet']);
    expect([exitCode, stderr]).toEqual([0, '']);
    return unpackPackage(zip);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
