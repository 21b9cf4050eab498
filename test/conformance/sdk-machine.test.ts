/**
 * What an author needs of the machine and of Azure, through a packed handler in real processes: downloads, the
 * distribution, the package manager's lock, instance metadata and a token. Foreign files and addresses are put in place in
 * namespaces of the test's own.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT_CODES } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import { NO_OVERLAY } from '../local-vm.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

const METADATA_SERVICE = fileURLToPath(new URL('../instance-metadata.py', import.meta.url));
const CANNOT_UNSHARE = NO_OVERLAY !== undefined;

describe('a packed handler', () => {
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

  const enable = async (steps: unknown[], wrapper: readonly string[] = []) => {
    handler.writeSettings(0, { public: { steps } });
    const ended = await handler.run('enable', { wrapper });
    return { ...ended, status: handler.readStatus(0) };
  };
  /** Runs the handler with files of the test's over those of the machine. */
  const withFiles = (files: Readonly<Record<string, string>>): string[] => {
    const mounts = Object.entries(files).map(([target, source]) => `mount --bind ${source} ${target}`);
    return ['unshare', '--mount', '/bin/sh', '-c', `${mounts.join(' && ')} && exec "$@"`, 'sh'];
  };

  it('downloads through an answer 503, an end in the middle and bytes that are not the right ones', async () => {
    const content = Buffer.alloc(3_000_000, 'content ');
    const sha256 = createHash('sha256').update(content).digest('hex');
    let requests = 0;
    const server = createServer((_, response) => {
      requests++;
      if (requests === 1) response.writeHead(503).end();
      else if (requests === 2) {
        response.writeHead(200, { 'content-length': content.length });
        response.write(content.subarray(0, 1_000_000), () => response.destroy());
      } else response.writeHead(200, { 'content-length': content.length }).end(content);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/file.bin?sig=canary-signature`;
    try {
      const { exitCode, status } = await enable([{ do: 'download', url, file: 'file.bin', sha256 }]);
      expect({ exitCode, message: status?.message }).toEqual({
        exitCode: 0,
        message: `Enable succeeded: ${content.length} bytes, ${sha256}`,
      });
      expect(requests).toBe(3);
      expect(readFileSync(join(handler.dataFolder, 'file.bin')).equals(content)).toBe(true);
      const log = readFileSync(join(handler.logFolder, 'handler.log'), 'utf8');
      expect(log).toContain('503');
      expect(log).not.toContain('canary-signature');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('says of a download that fails what failed, without the query of the URL, and leaves no file', async () => {
    const server = createServer((_, response) => response.writeHead(404).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/file.bin?sig=canary-signature`;
    try {
      const { exitCode, status, stderr } = await enable([{ do: 'download', url, file: 'file.bin' }]);
      expect(exitCode).toBe(1);
      expect(status).toMatchObject({ status: 'error', code: 7 });
      expect(status?.message).toContain(`127.0.0.1:${port}`);
      expect(status?.message).toContain('404');
      expect(`${status?.message}${stderr}`).not.toContain('canary-signature');
      expect(existsSync(join(handler.dataFolder, 'file.bin'))).toBe(false);
    } finally {
      server.close();
    }
  });

  describe.skipIf(CANNOT_UNSHARE)('on another machine', () => {
    const osRelease = (text: string): Record<string, string> => {
      const file = join(handler.libFolder, 'os-release');
      writeFileSync(file, text);
      return { '/etc/os-release': file };
    };

    it('tells the distribution, and refuses one that it does not support with 51', async () => {
      const plan9 = withFiles(osRelease('ID=plan9\nNAME="Plan 9"\nVERSION_ID=4\n'));
      const known = await enable([{ do: 'distribution' }], plan9);
      expect(known.status?.message).toBe('Enable succeeded: plan9');
      handler.writeSettings(1, {
        public: { steps: [{ do: 'distribution', supported: ['ubuntu', 'rhel'] }] },
      });
      const { exitCode, stderr } = await handler.run('enable', { sequence: 1, wrapper: plan9 });
      expect(exitCode).toBe(EXIT_CODES.unsupportedSystem);
      expect(stderr).toContain('UNSUPPORTED_SYSTEM');
      expect(stderr).toContain('Plan 9');
      expect(stderr).toContain('ubuntu');
    });

    it.skipIf(!existsSync('/var/lib/dpkg'))(
      'waits for the lock of the package manager, and gives up with 56',
      async () => {
        const folder = join(handler.libFolder, 'dpkg');
        mkdirSync(folder);
        const lock = join(folder, 'lock-frontend');
        writeFileSync(lock, '');
        const ready = join(handler.libFolder, 'locked');
        const script =
          'import fcntl, sys; f = open(sys.argv[1], "r+"); fcntl.lockf(f, fcntl.LOCK_EX); open(sys.argv[2], "w"); sys.stdin.read()';
        const holder = spawn('python3', ['-c', script, lock, ready], {
          stdio: ['pipe', 'ignore', 'inherit'],
        });
        try {
          await until('the lock', () => existsSync(ready));
          const files = { ...osRelease('ID=debian\nVERSION_ID="12"\n'), '/var/lib/dpkg': folder };
          const step = { do: 'wait-for-package-manager', limitMs: 300 };
          const { exitCode, status, stderr } = await enable([step], withFiles(files));
          expect(exitCode).toBe(EXIT_CODES.packageManagerLocked);
          expect(status).toMatchObject({ status: 'error', code: 56 });
          expect(status?.message).toContain('/var/lib/dpkg/lock-frontend');
          expect(status?.message).toContain(String(holder.pid));
          expect(stderr).toContain('PACKAGE_MANAGER_LOCKED');
          // The lock is given back, and the next enable finds the way free.
          handler.writeSettings(1, { public: { steps: [{ ...step, limitMs: 30_000 }] } });
          const next = handler.start('enable', { sequence: 1, wrapper: withFiles(files) });
          await until('the second run', () => handler.trace().length === 2);
          holder.stdin.end();
          expect((await next.ended).exitCode).toBe(0);
          expect(handler.readStatus(1)?.message).toBe('Enable succeeded: free');
        } finally {
          holder.kill('SIGKILL');
        }
      },
    );

    it.skipIf(!hasProgram('ip'))(
      'reads the instance metadata and gets a token, which nobody sees; a service that is busy is asked again',
      async () => {
        const script = 'ip link set lo up && ip address add 169.254.169.254/32 dev lo && exec python3 "$@"';
        const wrapper = ['unshare', '--net', '/bin/sh', '-c', script, 'sh', METADATA_SERVICE];
        const { exitCode, status } = await enable(
          [{ do: 'instance-metadata' }, { do: 'token', resource: 'https://storage.azure.com/' }],
          wrapper,
        );
        expect({ exitCode, message: status?.message }).toEqual({
          exitCode: 0,
          message: 'Enable succeeded: probe-vm in westeuropetoken: [hidden]',
        });
        const log = readFileSync(join(handler.logFolder, 'handler.log'), 'utf8');
        expect(log).toContain('the token is [hidden]');
        expect(log).not.toContain('canary.token.value');
      },
    );
  });
});

function hasProgram(name: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
