/**
 * Downloads of the packed Custom Script, black-box: every way in which a server sends, cuts and refuses a file, each
 * compared byte for byte. The packed program has a runtime of its own, whose HTTP is not that of the unit tests.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Status } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { HostileServer, SendingWay } from '../hostile-server.ts';
import { MIB, startHostileServer } from '../hostile-server.ts';
import { NO_OVERLAY } from '../local-vm.ts';
import type { LaidOutHandler, StartOptions, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

const NAMESPACE = NO_OVERLAY === undefined ? '' : ` (skipped: ${NO_OVERLAY})`;
/** With the message, which says why when it is none. */
const SUCCESS = { status: 'success', message: expect.stringMatching(/^Enable succeeded/) };
const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

let unpacked: UnpackedPackage;
let server: HostileServer;
let handler: LaidOutHandler;
beforeAll(async () => {
  unpacked = unpackPackage(inject('customScriptZip'));
  server = await startHostileServer();
});
afterAll(async () => {
  await server.close();
  unpacked.remove();
});
beforeEach(() => {
  handler = layOutHandler(unpacked);
});
afterEach(() => handler.remove());

type FileUri = string | { readonly uri: string; readonly sha256: string };
/** Applies the files and waits for the end of the run, which goes on when the agent has its answer. */
const download = async (fileUris: readonly FileUri[], options: StartOptions = {}): Promise<Status> => {
  handler.writeSettings(0, { public: { fileUris, skipDos2Unix: true, commandToExecute: 'true' } });
  const { exitCode, stderr } = await handler.run('enable', options);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  return until('the end of the run', () => {
    const status = handler.readStatus(0);
    return status?.status === 'transitioning' ? undefined : status;
  });
};
const runFolder = (): string => join(handler.libFolder, 'custom-script', 'download', '0');
/** The names of the run's files but its output. */
const files = (): string[] => readdirSync(runFolder()).filter((name) => !/^std(?:out|err)$/.test(name));
const expectWhole = (names: readonly string[]): void => {
  expect(files().sort()).toEqual([...names].sort());
  for (const name of names) {
    const path = join(runFolder(), name);
    expect(sha256(readFileSync(path)), name).toBe(sha256(server.content(name)));
    expect(statSync(path).mode & 0o777).toBe(0o500);
  }
};

describe('the packed Custom Script downloads', () => {
  /** Each first byte once, as it makes the file's name. */
  const numbered = (
    ways: readonly (readonly [SendingWay, number])[],
  ): (readonly [SendingWay, number, number])[] =>
    ways.map(([way, length], index) => [way, index + 1, length]);
  const apply = async (rows: readonly (readonly [SendingWay, number, number])[]): Promise<void> => {
    const urls = rows.map((row) => server.url(...row));
    expect(await download(urls)).toMatchObject(SUCCESS);
    expectWhole(urls.map((url) => basename(url)));
  };

  it('files of every size, sent with a length, in chunks, to the end of the connection and packed', async () => {
    const sizes = [0, 1, 100_000, 300_000, 5 * MIB + 1];
    const ways = ['length', 'chunked', 'close', 'gzip', 'gzip-chunked'] as const;
    const all = ways.flatMap((way) => sizes.map((size): [SendingWay, number] => [way, size]));
    await apply(numbered([...all, ['length', 64 * MIB], ['chunked', 64 * MIB]]));
  });

  it('what was cut in the middle: the rest where the server gives it, all of it elsewhere', async () => {
    const rows = numbered(
      (['cut', 'cut-whole', 'cut-chunked', 'busy'] as const).flatMap((way): [SendingWay, number][] => [
        [way, 300_000],
        [way, 5 * MIB + 1],
      ]),
    );
    await apply(rows);
    for (const row of rows) {
      const [first, second, ...more] = server.ranges(...row);
      expect([first, more], row.join(' ')).toEqual([undefined, []]);
      // How much of a body that was cut has come, the network decides.
      if (row[0] === 'cut' && second !== undefined) expect(second).toMatch(/^bytes=[1-9]\d*-$/);
      if (row[0] === 'cut-chunked' || row[0] === 'busy') expect(second).toBeUndefined();
    }
    expect(server.ranges('cut', 2, 5 * MIB + 1)[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('files of the checksums that were asked for or that the server gives', async () => {
    const [asked, given] = [server.url('chunked', 1, 300_000), server.url('md5', 2, 5 * MIB + 1)];
    const right = { uri: asked, sha256: sha256(server.content(basename(asked))) };
    expect(await download([right, given])).toMatchObject(SUCCESS);
    expectWhole([basename(asked), basename(given)]);
  });

  it.each([
    ['another SHA-256', 'length', 57, 'does not have the SHA-256 that was asked for, its own is', 1],
    ['another MD5 than the server says', 'wrong-md5', 57, 'does not have the MD5 that the server gave', 2],
    ['no file', 'missing', 53, '404 Not Found', 1],
  ] as const)('and refuses %s, leaving no file and running nothing', async (_, way, code, text, requests) => {
    const uri = server.url(way, 3, 300_000);
    const before = server.ranges(way, 3, 300_000).length;
    const status = await download([way === 'length' ? { uri, sha256: '0'.repeat(64) } : uri]);
    expect(status).toMatchObject({ status: 'error', code });
    expect(status.message).toContain(text);
    expect(server.ranges(way, 3, 300_000).length - before).toBe(requests);
    expect(readdirSync(runFolder())).toEqual([]);
  });

  it.skipIf(NO_OVERLAY !== undefined).each([
    ['a file that does not fit on the disk, before it is begun', 'length', 'there is not enough free space'],
    ['a file of unknown length when the disk is full', 'chunked', 'ENOSPC'],
  ] as const)(`and gives up %s${NAMESPACE}`, async (_, way, text) => {
    const folder = join(handler.libFolder, 'custom-script');
    mkdirSync(folder, { mode: 0o700 });
    const left = join(handler.libFolder, 'left');
    // The small disk goes with its namespace, so what is left on it is looked at inside.
    const script = [
      `mount -t tmpfs -o size=8m none ${folder} && "$@"`,
      `until grep -q '"error"\\|"success"' ${handler.statusFile(0)}; do sleep 0.05; done`,
      `find ${folder}/download -type f >${left}.tmp; mv ${left}.tmp ${left}`,
    ].join('\n');
    const wrapper = ['unshare', '--mount', '/bin/sh', '-c', script, 'sh'];
    const status = await download([server.url(way, 1, 64 * MIB)], { wrapper });
    expect(status).toMatchObject({ status: 'error', code: -40 });
    expect(status.message).toContain(text);
    await until('the list of files', () => existsSync(left));
    expect(readFileSync(left, 'utf8')).toBe('');
  });
});

describe('a packed handler with a short limit for silence', () => {
  let probe: UnpackedPackage;
  let machine: LaidOutHandler;
  beforeAll(() => {
    probe = unpackPackage(inject('probeZip'));
    machine = layOutHandler(probe);
  });
  afterAll(() => {
    machine.remove();
    probe.remove();
  });
  const enable = (sequence: number, url: string) =>
    machine.enable(sequence, {
      public: { steps: [{ do: 'download', url, file: basename(url), idleMs: 300 }] },
    });

  it('downloads a body that stalled, and gives up one that always does, leaving no file', async () => {
    const [healing, silent] = [server.url('stall', 1, 5 * MIB), server.url('stall-always', 2, 5 * MIB)];
    const healed = await enable(0, healing);
    const content = server.content(basename(healing));
    expect(healed.status.message).toBe(`Enable succeeded: ${content.length} bytes, ${sha256(content)}`);
    const gone = await enable(1, silent);
    expect(gone.status.status).toBe('error');
    expect(gone.status.message).toContain('the server stopped sending before the file was complete');
    expect(server.ranges('stall-always', 2, 5 * MIB)).toHaveLength(2);
    const left = readdirSync(machine.dataFolder).filter((name) => /bin|part/.test(name));
    expect(left).toEqual([basename(healing)]);
    expect(sha256(readFileSync(join(machine.dataFolder, basename(healing))))).toBe(sha256(content));
  });
});

describe('a server whose certificate a company made itself', () => {
  let folder: string;
  let company: HostileServer;
  const authority = (): string => join(folder, 'authority.pem');
  /** Where this distribution keeps the authorities it trusts. */
  const SYSTEM_FILE = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt'].find(
    (file) => existsSync(file),
  );
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'handlerkit-authority-'));
    const make = (name: string, words: readonly string[]): void => {
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-days', '2'];
      const out = ['-keyout', `${name}.key`, '-out', `${name}.pem`, '-subj', `/CN=${name}`];
      execFileSync('openssl', ['req', '-x509', ...key, ...out, ...words], { cwd: folder, stdio: 'ignore' });
    };
    make('authority', []);
    const names = ['-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE'];
    make('server', ['-CA', 'authority.pem', '-CAkey', 'authority.key', ...names]);
    const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
    company = await startHostileServer({ key: read('server.key'), cert: read('server.pem') });
  });
  afterAll(async () => {
    await company.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const expectDownload = async (options: StartOptions): Promise<void> => {
    const urls = [company.url('length', 1, 300_000), company.url('chunked', 2, 5 * MIB + 1)];
    expect(await download(urls, options)).toMatchObject(SUCCESS);
    for (const name of urls.map((url) => basename(url))) {
      expect(sha256(readFileSync(join(runFolder(), name)))).toBe(sha256(company.content(name)));
    }
  };

  it('is refused at once by a machine that does not know the company', async () => {
    const started = performance.now();
    const status = await download([company.url('length', 3, 1000)]);
    expect(status).toMatchObject({ status: 'error', code: -40 });
    expect(status.message).toContain('certificate');
    expect(performance.now() - started).toBeLessThan(60_000);
    expect(company.ranges('length', 3, 1000)).toEqual([]);
    expect(readdirSync(runFolder())).toEqual([]);
  });

  it('is trusted when SSL_CERT_FILE names the company', () =>
    expectDownload({ env: { SSL_CERT_FILE: authority() } }));

  it.skipIf(NO_OVERLAY !== undefined || SYSTEM_FILE === undefined)(
    `is trusted when the machine trusts the company${NAMESPACE}`,
    () => {
      const script = `mount --bind ${authority()} ${SYSTEM_FILE} && exec "$@"`;
      return expectDownload({ wrapper: ['unshare', '--mount', '/bin/sh', '-c', script, 'sh'] });
    },
  );
});
