/**
 * What Custom Script promises, stated once for every way to run it. The cases are those that Microsoft tests its own
 * Custom Script with, in our words, and the texts are the published ones.
 */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { FileServer } from '../file-server.ts';
import { startFileServer } from '../file-server.ts';
import { NO_OVERLAY } from '../local-vm.ts';
import type { Driver, DriverName } from './driver.ts';
import { openDriver } from './driver.ts';

/** Describes the cases for one driver. Successive settings on one machine, as in the life of a VM. */
export function describeCustomScript(name: DriverName): void {
  const reason = name === 'packed, overlay VM' ? NO_OVERLAY : undefined;
  describe.skipIf(reason !== undefined)(
    `Custom Script, ${name}${reason === undefined ? '' : ` (${reason})`}`,
    () => {
      let server: FileServer;
      let driver: Driver;
      beforeAll(async () => {
        server = await startFileServer({
          '/greet.sh': '#!/bin/sh\necho "hello from a file, $1"\n',
          '/dos.sh': '\uFEFF#!/bin/sh\r\necho converted\r\n',
          '/data.bin': Buffer.from([0, 13, 10, 255]),
          '/with%20space.txt': 'spaced\n',
        });
        driver = await openDriver(name, inject('customScriptZip'));
      });
      afterAll(async () => {
        await driver.close();
        await server.close();
      });

      it('shows stdout and stderr of a command in the status and leaves them in files', async () => {
        const { status, sequence } = await driver.apply({
          public: { commandToExecute: 'echo out; echo err >&2' },
        });
        expect(sequence).toBe(0);
        expect(status.status).toBe('success');
        expect(status.message).toBe('Enable succeeded: \n[stdout]\nout\n\n[stderr]\nerr\n');
        expect(driver.readData('download/0/stdout')).toBe('out\n');
        expect(driver.readData('download/0/stderr')).toBe('err\n');
        expect([driver.modeOf('download/0'), driver.modeOf('download/0/stdout')]).toEqual([0o700, 0o600]);
      });

      it('reports a failing command with the published text, its exit code and the clarification code 2', async () => {
        const { status } = await driver.apply({ public: { commandToExecute: 'ech hello' } });
        expect(status.status).toBe('error');
        expect(status.code).toBe(127);
        expect(status.message).toBe(
          'Enable failed: failed to execute command: command terminated with exit status=127\n[stdout]\n\n[stderr]\n/bin/sh: 1: ech: not found\n',
        );
        expect(status.substatus).toMatchObject([{ name: 'ErrorClarification', status: 'error', code: 2 }]);
      });

      it('runs a protected command whose words are in no argument of any process', async () => {
        const command =
          "printf '%s\\n' found-$(grep -c canary-7f3a /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -cv ':0$'); echo canary-7f3a >/dev/null";
        const { status } = await driver.apply({ protected: { commandToExecute: command } });
        // The one is grep itself, which has the word in its arguments.
        expect(status.message).toContain('[stdout]\nfound-1\n');
      });

      it('runs the same sequence once, and a new one for other settings', async () => {
        const first = await driver.apply({ public: { commandToExecute: 'date +%s%N' } });
        const output = driver.readData(`download/${first.sequence}/stdout`);
        const again = await driver.reapply();
        expect(again).toEqual(first);
        expect(driver.readData(`download/${first.sequence}/stdout`)).toBe(output);
        const changed = await driver.apply({ public: { commandToExecute: 'date +%s%N', timestamp: 2 } });
        expect(changed.sequence).toBe(first.sequence + 1);
        expect(driver.readData(`download/${changed.sequence}/stdout`)).not.toBe(output);
        expect(driver.readData(`download/${first.sequence}/stdout`)).toBeUndefined();
      });

      it.each([
        ['text', (text: string) => Buffer.from(text).toString('base64')],
        ['gzip', (text: string) => gzipSync(text).toString('base64')],
      ])('runs an inline script (%s)', async (_, encode) => {
        const { status } = await driver.apply({
          public: { script: encode('#!/bin/sh\necho "script $0"\n') },
        });
        expect(status.message).toMatch(
          /^Enable succeeded: \n\[stdout\]\nscript .*\/download\/\d+\/script\.sh\n\n\[stderr\]\n$/,
        );
      });

      it('downloads files and runs one', async () => {
        const { status, sequence } = await driver.apply({
          public: {
            fileUris: [
              `${server.url}/greet.sh?sig=s3cr3t`,
              `${server.url}/data.bin`,
              `${server.url}/with%20space.txt`,
            ],
          },
          protected: { commandToExecute: 'sh greet.sh reader && wc -c <data.bin && cat "with space.txt"' },
        });
        expect(status.message).toBe(
          'Enable succeeded: \n[stdout]\nhello from a file, reader\n4\nspaced\n\n[stderr]\n',
        );
        expect(driver.modeOf(`download/${sequence}/greet.sh`)).toBe(0o500);
        expect(driver.readData(`download/${sequence}/data.bin`)).toBe(
          Buffer.from([0, 13, 10, 255]).toString('utf8'),
        );
      });

      it('converts a script that was written on Windows, unless told not to', async () => {
        const settings = { fileUris: [`${server.url}/dos.sh`], commandToExecute: 'sh ./dos.sh' };
        const converted = await driver.apply({ public: settings });
        expect(converted.status.message).toContain('[stdout]\nconverted\n');
        expect(driver.readData(`download/${converted.sequence}/dos.sh`)).toBe('#!/bin/sh\necho converted\n');
        const raw = await driver.apply({ public: { ...settings, skipDos2Unix: true } });
        expect(driver.readData(`download/${raw.sequence}/dos.sh`)).toBe(
          '\uFEFF#!/bin/sh\r\necho converted\r\n',
        );
      });

      it('says which file is not there, without the query of its URL', async () => {
        const { status } = await driver.apply({
          public: { fileUris: [`${server.url}/none.sh?sig=s3cr3t`], commandToExecute: 'true' },
        });
        expect([status.status, status.code]).toEqual(['error', 53]);
        expect(status.message).toContain('does not exist');
        expect(status.message).not.toContain('s3cr3t');
      });

      it.each([
        [{}, "'commandToExecute' is not specified", 23],
        [
          { public: { commandToExecute: 'true' }, protected: { commandToExecute: 'true' } },
          "'commandToExecute' was specified both in public and protected settings; it must be specified only once",
          20,
        ],
        [
          { public: { commandToExecute: 'true', script: 'dHJ1ZQ==' } },
          "'commandToExecute' and 'script' were both specified, but only one is validate at a time",
          29,
        ],
        [{ public: { commandToExecute: 'true', alien: 1 } }, 'alien', -21],
        [{ public: { commandToExecute: 1 } }, 'commandToExecute', -21],
        [{ public: { script: '*' } }, 'base64', undefined],
      ] as const)('refuses %j: %s', async (settings, text, code) => {
        const { status } = await driver.apply(settings);
        expect(status.status).toBe('error');
        expect(status.message).toContain(text);
        if (code !== undefined) expect(status.code).toBe(code);
      });

      it('leaves nothing of its own when it is deleted', async () => {
        expect(driver.modeOf('')).toBe(0o700);
        await driver.delete();
        expect(driver.modeOf('')).toBeUndefined();
      });
    },
  );
}
