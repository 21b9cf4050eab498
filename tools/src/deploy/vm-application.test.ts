/**
 * The VM Application of a small handler, run as the application manager runs it: bash, in the folder of the package file, in a
 * mount namespace whose /var/lib and /var/log are folders of the test.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  formatHandlerManifest,
  formatStatus,
  parseHandlerEnvironment,
  parseHandlerManifest,
  parseSettings,
} from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import { type ScriptExtension, writeScriptExtension } from '../fixtures/script-extension.ts';
import { useTestFolder } from '../fixtures/test-folder.ts';
import { APPLICATION_SCRIPT, writeApplicationArchive } from './application-archive.ts';
import { CONFIG_FILE, formatApplicationScript } from './application-script.ts';
import { sampleDeployment } from './fixtures/sample-deployment.ts';
import { applicationCommands, archiveName, formatVmApplication, galleryVersion } from './vm-application.ts';

const works = (...argv: string[]): boolean => spawnSync(argv[0] ?? '', argv.slice(1)).status === 0;
/** With processes of its own, so that a handler in the background ends with its operation's test. */
const namespace = [
  ['unshare', '--mount', '--pid', '--fork', '--kill-child'],
  ['unshare', '--map-root-user', '--mount', '--pid', '--fork', '--kill-child'],
].find((argv) => works(...argv, 'true'));
const shells = [['dash'], ['bash', '--posix'], ['busybox', 'sh']].filter((shell) =>
  works(...shell, '-c', 'true'),
);

let parent: string;
let lib: string;
let log: string;
useTestFolder((made) => {
  parent = made;
  lib = join(parent, 'lib');
  log = join(parent, 'log');
  for (const folder of [lib, log]) mkdirSync(folder);
});

interface Published {
  readonly folder: string;
  readonly commands: ReturnType<typeof applicationCommands>;
}

/** Puts package and configuration file where the application manager downloads them to. */
async function publish(
  extension: ScriptExtension,
  settings: Record<string, unknown> = {},
  timeoutMinutes = 1,
): Promise<Published> {
  const zip = await writeScriptExtension(parent, extension);
  const deployment = sampleDeployment({
    identity: { publisher: 'Contoso', type: 'Greeter', version: extension.version },
    settings,
    timeoutMinutes,
  });
  const folder = mkdtempSync(join(parent, 'download-'));
  const work = mkdtempSync(join(parent, 'work-'));
  await writeApplicationArchive(zip, deployment, { work, archive: join(folder, archiveName(deployment)) });
  const config = formatVmApplication(deployment).find(({ name }) => name === CONFIG_FILE);
  writeFileSync(join(folder, CONFIG_FILE), config?.text ?? '');
  return { folder, commands: applicationCommands(deployment) };
}

function argvOf(command: string, folder: string): [string, string[]] {
  const [program = '', ...rest] = namespace ?? [];
  const mounts = 'mount --bind "$1" /var/lib && mount --bind "$2" /var/log && cd "$3" && exec bash -c "$4"';
  return [program, [...rest, 'sh', '-c', mounts, 'sh', lib, log, folder, command]];
}

/** As from inside another extension: the agent's variables of that one are there. */
const env = { PATH: process.env.PATH, ConfigSequenceNumber: '41', ConfigExtensionName: 'other' };

/** Bash takes a socket for a remote login's and reads its start files. */
const STDIO = ['ignore' as const, 'pipe' as const, 'pipe' as const];

function run({ folder, commands }: Published, operation: keyof Published['commands']) {
  const [program, argv] = argvOf(commands[operation], folder);
  const { status, stdout, stderr } = spawnSync(program, argv, {
    encoding: 'utf8',
    env,
    timeout: 60_000,
    stdio: STDIO,
  });
  return { status, stdout, stderr };
}

const home = (): string => join(lib, 'handlerkit-applications');
const operations = (stdout: string): string[] =>
  [...stdout.matchAll(/(\S+): (\w+) exited with/g)].map(
    ([, version, operation]) => `${operation} ${version}`,
  );

describe.runIf(namespace !== undefined)('a VM Application', () => {
  it('installs and enables the handler with its settings, and ends with its status', async () => {
    const settings = { name: 'a "b" \\ $HOME \u00e9' };
    const published = await publish({ version: '1.0.0' }, settings);
    const { status, stdout } = run(published, 'install');
    expect(stdout).toContain('success: sequence 0, protected bytes: none');
    expect(operations(stdout)).toEqual(['install 1.0.0', 'enable 1.0.0']);
    expect(status).toBe(0);
    const folder = join(home(), 'Contoso.Greeter-1.0.0');
    const file = join(folder, 'config/0.settings');
    expect(parseSettings(readFileSync(file, 'utf8'), file)).toEqual({
      publicSettings: settings,
      protectedSettings: undefined,
      thumbprint: undefined,
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const environment = parseHandlerEnvironment(
      readFileSync(join(folder, 'HandlerEnvironment.json'), 'utf8'),
      'x',
    );
    expect(environment).toMatchObject({
      logFolder: '/var/log/azure/Contoso.Greeter',
      statusFolder: '/var/lib/handlerkit-applications/Contoso.Greeter-1.0.0/status',
      eventsFolder: undefined,
    });
    expect(existsSync(join(log, 'azure/Contoso.Greeter'))).toBe(true);
  });

  it('runs again with the next sequence number, without another install', async () => {
    run(await publish({ version: '1.0.0' }), 'install');
    const { status, stdout } = run(await publish({ version: '1.0.0' }), 'install');
    expect(operations(stdout)).toEqual(['enable 1.0.0']);
    expect(stdout).toContain('sequence 1');
    expect(status).toBe(0);
  });

  it('waits for a handler that finishes in the background', async () => {
    const until = join(parent, 'go');
    const { folder, commands } = await publish({ version: '1.0.0' }, { mode: 'slow', until });
    const [program, argv] = argvOf(commands.install, folder);
    const child = spawn(program, argv, { env, stdio: STDIO });
    let stdout = '';
    child.stdout?.on('data', (chunk) => {
      stdout += chunk;
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    const statusFile = join(home(), 'Contoso.Greeter-1.0.0/status/0.status');
    while (!existsSync(statusFile)) await delay(10);
    expect(child.exitCode).toBe(null);
    writeFileSync(until, '');
    expect(await ended).toBe(0);
    expect(stdout).toContain('success: late');
  });

  it.each<[string, Record<string, unknown>, number, string]>([
    ['an error status', { mode: 'fail' }, 1, 'error: did not work'],
    ['an exit code of enable', { mode: 'crash' }, 3, 'enable failed'],
    ['no end in time', { mode: 'slow', until: '/nowhere' }, 1, 'has not finished within 2 seconds: working'],
  ])('fails for %s', async (_title, settings, code, message) => {
    const { status, stderr } = run(await publish({ version: '1.0.0' }, settings, 1 / 30), 'install');
    expect(stderr).toContain(message);
    expect(status).toBe(code);
    // The background of a handler that never ends is this test's to end.
    if (settings.mode === 'slow') rmSync(home(), { recursive: true, force: true });
  });

  it('updates in the order of the agent and leaves the old version behind', async () => {
    run(await publish({ version: '1.9.0' }), 'install');
    const { status, stdout } = run(await publish({ version: '1.10.0' }), 'update');
    expect(operations(stdout)).toEqual([
      'disable 1.9.0',
      'update 1.10.0',
      'uninstall 1.9.0',
      'install 1.10.0',
      'enable 1.10.0',
    ]);
    expect(stdout).toContain('success: sequence 1');
    expect(status).toBe(0);
    expect(readdirSync(home()).sort()).toEqual([
      'Contoso.Greeter-1.10.0',
      'Contoso.Greeter.sequence',
      'Contoso.Greeter.state',
    ]);
    expect(readdirSync(join(home(), 'Contoso.Greeter-1.10.0/status')).sort()).toEqual([
      '0.status',
      '1.status',
    ]);
  });

  it('asks the newer version to update on the way back to an older one', async () => {
    run(await publish({ version: '1.10.0' }), 'install');
    const { status, stdout } = run(await publish({ version: '1.9.0' }), 'update');
    expect(operations(stdout).slice(0, 3)).toEqual(['disable 1.10.0', 'update 1.10.0', 'uninstall 1.10.0']);
    expect(status).toBe(0);
  });

  it('stops where the agent stops, and an update after that goes on', async () => {
    run(await publish({ version: '1.0.0' }), 'install');
    const failed = run(await publish({ version: '1.1.0', fails: 'update' }), 'update');
    expect(failed).toMatchObject({ status: 4, stderr: expect.stringContaining('update failed') });
    const next = run(await publish({ version: '1.2.0' }), 'update');
    expect(operations(next.stdout)).toEqual([
      'update 1.2.0',
      'uninstall 1.0.0',
      'install 1.2.0',
      'enable 1.2.0',
    ]);
    expect(next.status).toBe(0);
  });

  it('removes the handler, once or twice, also one whose install failed', async () => {
    const good = await publish({ version: '1.0.0' });
    run(good, 'install');
    const removed = run(good, 'remove');
    expect(operations(removed.stdout)).toEqual(['disable 1.0.0', 'uninstall 1.0.0']);
    expect(removed.status).toBe(0);
    expect(readdirSync(home())).toEqual([]);
    expect(run(good, 'remove')).toMatchObject({ status: 0, stderr: '' });
    const bad = await publish({ version: '1.0.0', fails: 'install' });
    expect(run(bad, 'install')).toMatchObject({ status: 4 });
    rmSync(join(bad.folder, APPLICATION_SCRIPT));
    expect(operations(run(bad, 'remove').stdout)).toEqual([]);
    expect(readdirSync(home())).toEqual([]);
  });

  it('has its files gone and says so when a handler does not let itself be disabled', async () => {
    const published = await publish({ version: '1.0.0', fails: 'disable' });
    run(published, 'install');
    const { status, stderr, stdout } = run(published, 'remove');
    expect(operations(stdout)).toEqual(['disable 1.0.0', 'uninstall 1.0.0']);
    expect(stderr).toContain('remove failed');
    expect(status).toBe(4);
    expect(readdirSync(home())).toEqual([]);
  });
});

describe('the script of a VM Application', () => {
  const manifest = parseHandlerManifest(
    formatHandlerManifest({
      name: 'x',
      version: '1.0.0',
      commands: { install: 'i', enable: 'e', disable: 'd', update: 'u', uninstall: 'n' },
      updateMode: 'UpdateWithInstall',
      reportHeartbeat: false,
      continueOnUpdateFailure: true,
      supportsMultipleExtensions: false,
      supportsPolicy: false,
      rebootAfterInstall: false,
    }),
    'x',
  );
  const text = formatApplicationScript({
    handlerName: 'A.B',
    version: '1.0.0',
    manifest,
    logFolder: '/var/log/x',
    timeoutMinutes: 90,
  });
  const functions = text.slice(0, text.indexOf('case $0 in'));

  it.runIf(works('shellcheck', '--version')).each([true, false])(
    'is clean for shellcheck, with continueOnUpdateFailure %s',
    (continueOnUpdateFailure) => {
      const options = { handlerName: 'A.B', version: '1.0.0', logFolder: '/x', timeoutMinutes: 1 };
      const input = formatApplicationScript({
        ...options,
        manifest: { ...manifest, continueOnUpdateFailure, installOnUpdate: !continueOnUpdateFailure },
      });
      const { stdout } = spawnSync('shellcheck', ['-s', 'sh', '-'], { input, encoding: 'utf8' });
      expect(stdout).toBe('');
    },
  );

  const nasty = 'a "quoted\\" \\\\" } ], status: {x';
  const full = formatStatus({
    operation: 'Enable',
    status: 'warning',
    code: 0,
    message: nasty,
    substatus: [{ name: 'part', status: 'error', code: 1, message: 'other' }],
    time: '2026-01-01T00:00:00Z',
  });
  const reordered = `[ {"status" :
    { "substatus": [ { "status": "error", "formattedMessage": { "message": "inner" } } ],
      "formattedMessage": { "lang": "en", "message" : "m" }, "status" :\t"success" },
    "version": "1.0" }, { "status": { "status": "error" } } ]`;

  const rows = shells.flatMap((shell) =>
    [
      [full, 'warning', JSON.stringify(nasty).slice(1, -1)],
      [reordered, 'success', 'm'],
      ['[{"status":{"status":"transitioning"', 'transitioning', ''],
      ['', '', ''],
      ['[]', '', ''],
      ['[{"status":{"status":null,"code":1}}]', '', ''],
      ['{"status":{"status":"success"}}', '', ''],
    ].map(([status = '', word = '', message = '']) => ({ shell, status, word, message })),
  );

  it.each(rows)('reads with $shell that a status says "$word"', ({ shell, status, word, message }) => {
    const file = join(parent, 'a.status');
    writeFileSync(file, status);
    const [program = '', ...rest] = shell;
    const script = `${functions}\nread_status "$1"\nprintf '%s\\n%s' "$word" "$message"`;
    const { stdout, stderr } = spawnSync(program, [...rest, '-c', script, 'sh', file], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(stdout).toBe(`${word}\n${message}`);
  });

  it.each([
    ['1.9.0', '1.10.0', true],
    ['1.10.0', '1.9.0', false],
    ['1.0', '1.0.0', false],
    ['1.0', '1.0.1', true],
    ['2', '1.99', false],
  ])('knows whether %s is older than %s', (left, right, isOlder) => {
    for (const [program = '', ...rest] of shells) {
      const script = `${functions}\nis_older "$1" "$2"`;
      expect(spawnSync(program, [...rest, '-c', script, 'sh', left, right]).status === 0).toBe(isOlder);
    }
  });
});

describe('the package file', () => {
  it('has the same bytes whenever and wherever it is made', async () => {
    const zip = await writeScriptExtension(parent, { version: '1.0.0' });
    const deployment = sampleDeployment({});
    const archives = [];
    for (const name of ['first', 'second']) {
      const work = mkdtempSync(join(parent, name));
      const archive = join(parent, `${name}.tar.gz`);
      await writeApplicationArchive(zip, deployment, { work, archive });
      archives.push(readFileSync(archive));
      // Formats of archives count whole seconds.
      if (name === 'first') await delay(1100);
    }
    expect(archives[0]?.equals(archives[1] ?? Buffer.alloc(0))).toBe(true);
  });

  it('is refused for a zip that holds no handler', async () => {
    const { ZipFile } = await import('yazl');
    const zip = new ZipFile();
    zip.addBuffer(Buffer.from('x'), 'x.txt');
    zip.end();
    const chunks: Buffer[] = [];
    for await (const chunk of zip.outputStream) chunks.push(Buffer.from(chunk));
    const file = join(parent, 'x.zip');
    writeFileSync(file, Buffer.concat(chunks));
    const paths = { work: mkdtempSync(join(parent, 'work-')), archive: join(parent, 'x.tar.gz') };
    await expect(writeApplicationArchive(file, sampleDeployment({}), paths)).rejects.toMatchObject({
      code: 'NOT_A_PACKAGE',
    });
  });

  it('is published with commands that a gallery takes', () => {
    const commands = applicationCommands(sampleDeployment({}));
    for (const command of Object.values(commands)) expect(command.length).toBeLessThan(4096);
  });

  it.each([
    ['1.2.3', '1.2.3'],
    ['1.2', '1.2.0'],
    ['7', '7.0.0'],
    ['01.2.3', '1.2.3'],
  ])('has for version %s the gallery version %s', (version, expected) => {
    expect(galleryVersion(version)).toBe(expected);
  });

  it.each(['1.2.3.4', '1.0.0rc1', '1.0.2147483648'])('is refused for version %s', (version) => {
    expect(() => galleryVersion(version)).toThrow('three numbers');
  });
});
