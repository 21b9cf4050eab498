/**
 * What Custom Script promises, stated once for every way to run it. The cases are those that Microsoft tests its own
 * Custom Script with, in our words, and the texts are the published ones.
 */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { FileServer } from '../file-server.ts';
import { startFileServer } from '../file-server.ts';
import { NO_OVERLAY } from '../local-vm.ts';
import type { Driver, DriverName } from './driver.ts';
import { openDriver } from './driver.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const GREET = '#!/bin/sh\necho "hello from a file, $1"\n';

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
          '/greet.sh': GREET,
          '/dos.sh': '\uFEFF#!/bin/sh\r\necho converted\r\n',
          '/data.bin': Buffer.from([0, 13, 10, 255]),
          '/with%20space.txt': 'spaced\n',
        });
        driver = await openDriver(name, inject('customScriptZip'), 'custom-script');
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

      it('downloads a file of the checksum that was asked for', async () => {
        const { status } = await driver.apply({
          public: {
            fileUris: [{ uri: `${server.url}/greet.sh`, sha256: sha256(GREET).toUpperCase() }],
            commandToExecute: './greet.sh checked',
          },
        });
        expect(status.message).toBe('Enable succeeded: \n[stdout]\nhello from a file, checked\n\n[stderr]\n');
      });

      it('runs nothing when a file has another checksum, and does not leave it', async () => {
        const { status, sequence } = await driver.apply({
          public: {
            fileUris: [{ uri: `${server.url}/greet.sh?sig=s3cr3t`, sha256: sha256('another') }],
            commandToExecute: 'echo ran',
          },
        });
        expect([status.status, status.code]).toEqual(['error', 57]);
        expect(status.message).not.toContain('s3cr3t');
        expect(driver.readData(`download/${sequence}/greet.sh`)).toBeUndefined();
        expect(driver.readData(`download/${sequence}/stdout`)).toBeUndefined();
      });

      it('gives the command the variables of both halves, and hides the protected ones in the status', async () => {
        const { status, sequence } = await driver.apply({
          public: { commandToExecute: 'echo "$ROLE $TOKEN"', environment: { ROLE: 'web' } },
          protected: { environment: { TOKEN: 'canary-2b8d' } },
        });
        expect(status.message).toBe('Enable succeeded: \n[stdout]\nweb [hidden]\n\n[stderr]\n');
        expect(driver.readData(`download/${sequence}/stdout`)).toBe('web canary-2b8d\n');
      });

      it('runs what the policy allows, and refuses everything else with the published text', async () => {
        const settings = { fileUris: [`${server.url}/greet.sh`], commandToExecute: './greet.sh allowed' };
        try {
          driver.setPolicy({ allowedScripts: [sha256(GREET), sha256(settings.commandToExecute)] });
          const allowed = await driver.apply({ public: settings });
          expect(allowed.status.message).toContain('[stdout]\nhello from a file, allowed\n');
          driver.setPolicy({ allowedScripts: [sha256(settings.commandToExecute)] });
          const refused = await driver.apply({ public: { ...settings, timestamp: 3 } });
          expect([refused.status.status, refused.status.code]).toEqual(['error', 0]);
          expect(refused.status.message).toBe(
            "Enable failed: Validation of script 'greet.sh' against policy-allowlist failed: item is not in the allowlist.",
          );
          expect(driver.readData(`download/${refused.sequence}/greet.sh`)).toBeUndefined();
          driver.setPolicy({ requireSigning: true, fileRootCertCA: '/ca.pem' });
          const unsigned = await driver.apply({ public: { ...settings, timestamp: 4 } });
          expect([unsigned.status.status, unsigned.status.code]).toEqual(['error', 80]);
        } finally {
          driver.setPolicy(undefined);
        }
      });

      // In process the clock stands still.
      if (name !== 'in process') {
        it("ends a command at 'timeoutInSeconds'", async () => {
          const { status } = await driver.apply({
            public: { commandToExecute: 'echo begun; sleep 60', timeoutInSeconds: 1 },
          });
          expect(status.status).toBe('error');
          expect(status.message).toBe(
            "Enable failed: failed to execute command: it did not end within 1 second ('timeoutInSeconds') and was ended\n[stdout]\nbegun\n\n[stderr]\n",
          );
        });
      }

      // Only there can a user be made.
      if (name === 'packed, overlay VM') {
        it('runs a command as a user of the VM', async () => {
          const made = await driver.apply({
            public: {
              commandToExecute:
                'echo deploy:x:4242:4242::/home/deploy:/bin/sh >>/etc/passwd; echo deploy:x:4242: >>/etc/group',
            },
          });
          expect(made.status.status).toBe('success');
          const { status, sequence } = await driver.apply({
            public: {
              runAsUser: 'deploy',
              fileUris: [`${server.url}/greet.sh`],
              commandToExecute:
                'id -un; id -u; id -G; echo $HOME; pwd; ./greet.sh user; ls /var/lib/waagent 2>&1 || echo closed >&2',
            },
          });
          expect(status.status).toBe('success');
          expect(status.message).toContain(
            `[stdout]\ndeploy\n4242\n4242\n/home/deploy\n/var/lib/handlerkit-custom-script/${sequence}\nhello from a file, user\n`,
          );
          expect(status.message).toMatch(/\[stderr\]\nclosed\n$/);
        });
      }

      it('refuses a user who does not exist, before anything is downloaded or run', async () => {
        const { status } = await driver.apply({
          public: {
            runAsUser: 'no-such-user-7',
            fileUris: [`${server.url}/never.sh`],
            commandToExecute: 'echo ran',
          },
        });
        expect([status.status, status.code]).toEqual(['error', 11]);
        expect(server.requests).not.toContain('/never.sh');
      });

      it('leaves nothing of its own when it is deleted', async () => {
        expect(driver.modeOf('')).toBe(0o700);
        await driver.delete();
        expect(driver.modeOf('')).toBeUndefined();
      });
    },
  );
}
