import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { RUNTIME_VARIABLES } from '@handlerkit/sdk';
import {
  formatHeartbeat,
  formatStatus,
  formatStatusFile,
  HEARTBEAT_FILE,
  parseHeartbeat,
  parseStatus,
} from '@handlerkit/sdk/contract';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatLauncher, LAUNCHER_FILE, programFile, SCRIPT_FILE } from './launcher.ts';
import { hostArchitecture } from './runtime.ts';
import { formatStopOrder, STOP_ORDER_FILE, type StopOrder } from './stop-order.ts';

const works = (...argv: string[]): boolean => spawnSync(argv[0] ?? '', argv.slice(1)).status === 0;
const shells = [['dash'], ['bash', '--posix'], ['bash'], ['busybox', 'sh']].filter((shell) =>
  works(...shell, '-c', 'true'),
);
/** A mount namespace of our own, as root or as an ordinary user. */
const namespace = [
  ['unshare', '--mount'],
  ['unshare', '--map-root-user', '--mount'],
].find((argv) => works(...argv, 'true'));
const architecture = hostArchitecture();

let parent: string;
let base: string;

/** As on a kernel before 6.1, where uname tells the machine. */
const withoutKernelFile = (launcher: string): string =>
  launcher.replaceAll('/proc/sys/kernel/arch', join(parent, 'arch'));

/** The "program" is a copy of dash: `program enable` runs the script `enable` in the current folder. */
async function install(detached: boolean, edit = withoutKernelFile, reportHeartbeat = false): Promise<void> {
  const launcher = formatLauncher({
    handlerName: 'Contoso.Greeter',
    version: '1.0.0',
    architectures: ['x64', 'arm64'],
    detached,
    reportHeartbeat,
  });
  writeFileSync(join(base, LAUNCHER_FILE), edit(launcher), { mode: 0o755 });
  copyFileSync(realpathSync('/bin/dash'), join(base, programFile(architecture)));
  chmodSync(join(base, programFile(architecture)), 0o755);
}

function fakeProgram(name: string, script: string): void {
  writeFileSync(join(parent, 'fakes', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function start(shell: readonly string[], args: readonly string[], env: Record<string, string> = {}) {
  const [program = '', ...rest] = shell;
  return spawnSync(program, [...rest, join(base, LAUNCHER_FILE), ...args], {
    cwd: base,
    encoding: 'utf8',
    env: { PATH: `${join(parent, 'fakes')}:${process.env.PATH}`, ...env },
  });
}

const statusPath = (sequence: number, name?: string): string =>
  join(base, 'status', formatStatusFile(sequence, name));
const readStatus = (sequence: number, name?: string) => {
  const file = statusPath(sequence, name);
  return parseStatus(readFileSync(file, 'utf8'), file);
};

const readHeartbeat = (file: string) => parseHeartbeat(readFileSync(file, 'utf8'), file);

async function awaitFile(file: string): Promise<string> {
  for (let tries = 0; tries < 500; tries++) {
    if (existsSync(file)) return readFile(file, 'utf8');
    await delay(10);
  }
  throw new Error(`${file} did not appear`);
}

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'launcher-'));
  base = join(parent, 'with space');
  await mkdir(join(base, 'bin'), { recursive: true });
  await mkdir(join(base, 'status'));
  await mkdir(join(base, 'config'));
  await mkdir(join(parent, 'fakes'));
});
afterEach(async () => rm(parent, { recursive: true, force: true }));

it('is clean for shellcheck', async (context) => {
  if (!works('shellcheck', '--version')) context.skip('shellcheck is not installed');
  for (const detached of [false, true]) {
    await install(detached, undefined, detached);
    execFileSync('shellcheck', [join(base, LAUNCHER_FILE)], { encoding: 'utf8' });
  }
});

describe.each(shells.map((shell) => ({ shell, title: shell.join(' ') })))('in $title', ({ shell }) => {
  it('becomes the program for this machine and passes arguments, output and exit code on', async () => {
    await install(false);
    writeFileSync(join(base, 'install'), 'echo "$# $1"; echo trouble >&2; exit 7');
    const result = start(shell, ['install', 'a b']);
    expect([result.status, result.stdout, result.stderr]).toEqual([7, '1 a b\n', 'trouble\n']);
    expect(await readdir(join(base, 'status'))).toEqual([]);
  });

  it('keeps the program from writing a core dump, and lets what it starts ask for one', async () => {
    await install(false);
    writeFileSync(join(base, 'install'), 'ulimit -S -c; ulimit -H -c; ulimit -S -c 8; ulimit -S -c');
    const [program = '', ...options] = shell;
    const command = [program, ...options, join(base, LAUNCHER_FILE), 'install'];
    const result = spawnSync(
      '/bin/bash',
      ['-c', 'ulimit -H -c 16; ulimit -S -c 16; exec "$@"', 'bash', ...command],
      {
        cwd: base,
        encoding: 'utf8',
      },
    );
    // In blocks of 512 bytes; bash counts 1024.
    expect(result).toMatchObject({ status: 0, stdout: '0\n32\n8\n', stderr: '' });
  });

  it('says 51 with an error status on a machine that the package has no program for', async () => {
    await install(false);
    fakeProgram('uname', 'echo riscv64');
    const result = start(shell, ['enable'], { ConfigSequenceNumber: '7' });
    expect(result.status).toBe(51);
    expect(result.stderr).toBe(
      'Contoso.Greeter 1.0.0: this machine is riscv64; the package has programs for x64 and arm64 only\n',
    );
    expect(readStatus(7)).toMatchObject({
      operation: 'Enable',
      status: 'error',
      code: 51,
      message: 'Enable failed: this machine is riscv64; the package has programs for x64 and arm64 only',
    });
    expect(Math.abs(Date.parse(readStatus(7).time) - Date.now())).toBeLessThan(60_000);
    expect((await stat(statusPath(7))).mode & 0o777).toBe(0o600);
    expect(await readdir(join(base, 'status'))).toEqual(['7.status']);
  });

  it('finds out once which program runs here, and again when that one is gone', async () => {
    await install(false);
    writeFileSync(join(base, 'install'), 'exit 7');
    expect(start(shell, ['install']).status).toBe(7);
    fakeProgram('uname', 'echo riscv64');
    expect(start(shell, ['install']).status).toBe(7);
    await rm(join(base, programFile(architecture)));
    expect(start(shell, ['install'])).toMatchObject({
      status: 51,
      stderr: expect.stringContaining('riscv64'),
    });
  });

  it.each([
    ['x86_64', 7],
    ['aarch64', 7],
    ['riscv64', 51],
    ['', 51],
  ])('takes %j from the kernel where its loader is there, and asks uname else: %d', async (machine, code) => {
    // Both loaders are the one of this machine, and so are both programs.
    await install(false, (text) => {
      const loader = /loader=(\/\S+)/.exec(text.slice(text.indexOf(`architecture=${architecture}`)))?.[1];
      return withoutKernelFile(text).replace(/loader=\/\S+/g, `loader=${loader}`);
    });
    for (const other of ['x64', 'arm64'] as const) {
      if (other !== architecture) {
        copyFileSync(join(base, programFile(architecture)), join(base, programFile(other)));
      }
    }
    writeFileSync(join(base, 'install'), 'exit 7');
    writeFileSync(join(parent, 'arch'), `${machine}\n`);
    fakeProgram('uname', 'echo s390x');
    expect(start(shell, ['install']).status).toBe(code);
  });

  it('writes into the folder that the agent names, and nothing but its line when it cannot write', async () => {
    await install(false);
    fakeProgram('uname', 'echo riscv64');
    const other = join(parent, 'other');
    const env = { ConfigSequenceNumber: '7', AZURE_GUEST_AGENT_EXTENSION_PATH: other };
    expect(start(shell, ['enable'], env).status).toBe(51);
    expect(await readdir(join(other, 'status'))).toEqual(['7.status']);
    expect(await readdir(join(base, 'status'))).toEqual([]);
    writeFileSync(join(parent, 'file'), '');
    const result = start(shell, ['enable'], {
      ...env,
      AZURE_GUEST_AGENT_EXTENSION_PATH: join(parent, 'file'),
    });
    expect(result.status).toBe(51);
    expect(result.stderr.trim().split('\n')).toHaveLength(1);
  });

  it('writes no status for other operations than enable', async () => {
    await install(false);
    fakeProgram('uname', 'echo riscv64');
    expect(start(shell, ['disable'], { ConfigSequenceNumber: '7' }).status).toBe(51);
    expect(await readdir(join(base, 'status'))).toEqual([]);
  });

  it.each<[string, boolean]>([
    ['success', false],
    ['error', false],
    ['warning', false],
    ['transitioning', true],
  ])('finds a status of %s and replaces it: %s', async (value, replaced) => {
    await install(false);
    fakeProgram('uname', 'echo riscv64');
    const status = value as 'success' | 'error' | 'warning' | 'transitioning';
    const before = formatStatus({
      operation: 'Enable',
      status,
      code: 0,
      message: 'said "status": "error" and \\n "status"',
      substatus: [{ name: 'part', status: 'transitioning', code: 0, message: '' }],
      time: '2026-01-02T03:04:05Z',
    });
    writeFileSync(statusPath(0), before);
    expect(start(shell, ['enable'], { ConfigSequenceNumber: '0' }).status).toBe(51);
    expect(readStatus(0).code).toBe(replaced ? 51 : 0);
  });

  it('takes the newest settings file when the agent gives no number, and the name of the configuration', async () => {
    await install(false);
    fakeProgram('uname', 'echo riscv64');
    for (const [file, time] of [
      ['2.settings', 500],
      ['10.settings', 400],
      ['web.3.settings', 900],
      ['x.settings', 950],
    ] as const) {
      writeFileSync(join(base, 'config', file), '{}');
      utimesSync(join(base, 'config', file), time, time);
    }
    start(shell, ['enable']);
    start(shell, ['enable'], { ConfigExtensionName: 'web' });
    expect((await readdir(join(base, 'status'))).sort()).toEqual(['2.status', 'web.3.status']);
  });

  it('says 51 when the C library is too old for the program', async () => {
    await install(false);
    const file = join(base, programFile(architecture));
    const bytes = readFileSync(file, 'latin1');
    expect(bytes).toMatch(/GLIBC_2\.\d\d/);
    writeFileSync(file, bytes.replace(/GLIBC_2\.\d\d/g, 'GLIBC_9.99'), 'latin1');
    const result = start(shell, ['enable'], { ConfigSequenceNumber: '1' });
    expect(result.status).toBe(51);
    expect(result.stderr).toContain('GLIBC_9.99');
    expect(result.stderr.trim().split('\n')).toHaveLength(1);
    expect(readStatus(1).message).toContain('glibc) 2.17 or later');
  });

  it('says 51 where there is no loader of glibc, and where the program is missing', async () => {
    await install(true, (text) => text.replace(/loader=\/\S+/g, 'loader=/nonexistent/loader'));
    expect(start(shell, ['enable'], { ConfigSequenceNumber: '1' }).stderr).toContain(
      'no /nonexistent/loader',
    );
    expect(readStatus(1)).toMatchObject({ status: 'error', code: 51 });
    await install(true);
    await rm(join(base, programFile(architecture)));
    expect(start(shell, ['enable'], { ConfigSequenceNumber: '2' }).status).toBe(51);
    expect(readStatus(2)).toMatchObject({ status: 'error', code: 51 });
  });

  it('answers a detached enable with a placeholder and starts the program in its own session', async () => {
    await install(true);
    writeFileSync(
      join(base, 'enable'),
      'read -r line </proc/$$/stat; set -- "$@" ${line##*)}; echo "$$ $4 $(umask)" >ran.tmp; mv ran.tmp ran',
    );
    const result = start(shell, ['enable'], { ConfigSequenceNumber: '4' });
    expect([result.status, result.stdout, result.stderr]).toEqual([0, '', '']);
    expect(readStatus(4)).toMatchObject({ status: 'transitioning', code: 0, message: 'Enable in progress' });
    expect((await stat(statusPath(4))).mode & 0o777).toBe(0o600);
    const [pid, session, mask] = (await awaitFile(join(base, 'ran'))).trim().split(' ');
    // Before it starts the program, it removes what it wrote the placeholder into.
    expect(await readdir(join(base, 'status'))).toEqual(['4.status']);
    expect(session).toBe(pid);
    expect(Number.parseInt(mask ?? '', 8)).toBe(process.umask());
  });

  it('leaves a first heartbeat for a handler that promises one, and leaves one that is there alone', async () => {
    await install(true, undefined, true);
    writeFileSync(join(base, 'enable'), 'exit 0');
    const file = join(base, HEARTBEAT_FILE);
    expect(start(shell, ['install']).status).not.toBe(51);
    expect(existsSync(file)).toBe(false);
    expect(start(shell, ['enable'], { ConfigSequenceNumber: '7' }).status).toBe(0);
    expect(readHeartbeat(file)).toEqual({ status: 'NotReady', message: 'The extension is starting' });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    writeFileSync(file, formatHeartbeat({ status: 'Ready', code: 0, message: 'working' }));
    expect(start(shell, ['enable'], { ConfigSequenceNumber: '7' }).status).toBe(0);
    expect(readHeartbeat(file)).toEqual({ status: 'Ready', message: 'working' });
    expect(await readdir(base)).not.toContainEqual(expect.stringMatching(/^\.heartbeat/));
  });

  it('says in the heartbeat, too, that the program cannot start', async () => {
    await install(true, undefined, true);
    fakeProgram('uname', 'echo riscv64');
    expect(start(shell, ['enable'], { ConfigSequenceNumber: '7' }).status).toBe(51);
    expect(readHeartbeat(join(base, HEARTBEAT_FILE))).toEqual({
      status: 'NotReady',
      message: 'this machine is riscv64; the package has programs for x64 and arm64 only',
    });
  });

  it('names the status of a configuration whose name is no identifier', async () => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'exit 0');
    const env = { ConfigSequenceNumber: '3', ConfigExtensionName: 'web-1 [a]' };
    expect(start(shell, ['enable'], env).status).toBe(0);
    expect(readStatus(3, 'web-1 [a]').status).toBe('transitioning');
  });

  it.each<[string, Record<string, string>, string[]]>([
    ['007', { ConfigSequenceNumber: '007' }, ['7.status']],
    ['000', { ConfigSequenceNumber: '000' }, ['0.status']],
    ['15 digits', { ConfigSequenceNumber: '123456789012345' }, ['123456789012345.status']],
    ['16 digits', { ConfigSequenceNumber: '1234567890123456' }, []],
    ['20 digits', { ConfigSequenceNumber: '99999999999999999999' }, []],
    ['no number', { ConfigSequenceNumber: '1e3' }, []],
    ['a name with a slash', { ConfigSequenceNumber: '3', ConfigExtensionName: '../a' }, []],
  ])('names the placeholder as the program does, or leaves none: %s', async (_, env, names) => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'echo done >ran');
    expect(start(shell, ['enable'], env).status).toBe(0);
    await awaitFile(join(base, 'ran'));
    expect(await readdir(join(base, 'status'))).toEqual(names);
  });

  it('lets the program answer a wrong usage of enable, and leaves no placeholder', async () => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'echo "$#"; exit 2');
    const result = start(shell, ['enable', 'extra'], { ConfigSequenceNumber: '4' });
    expect([result.status, result.stdout]).toEqual([2, '1\n']);
    expect(await readdir(join(base, 'status'))).toEqual([]);
  });

  it.each([
    ['an empty PATH', { PATH: '' }],
    ['no PATH', {}],
  ])('finds the system’s programs with %s, and so does its program', async (_, env) => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'id -u >ran.tmp; echo "$PATH" >>ran.tmp; mv ran.tmp ran');
    const [program = '', ...rest] = shell;
    const real = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
    const result = spawnSync(real, [...rest, join(base, LAUNCHER_FILE), 'enable'], {
      cwd: base,
      env: { ConfigSequenceNumber: '0', ...env },
      encoding: 'utf8',
    });
    expect([result.status, result.stderr]).toEqual([0, '']);
    expect(readStatus(0).status).toBe('transitioning');
    const [id, path] = (await awaitFile(join(base, 'ran'))).split('\n');
    expect([id, path !== '']).toEqual([String(process.getuid?.()), true]);
  });

  it('keeps from the program what would make another one of it, and nothing else', async () => {
    await install(false);
    writeFileSync(join(base, 'install'), 'env | grep -E "^(BUN|NODE)" | sort');
    const misleading = [
      'BE_BUN',
      'OPTIONS',
      'INSPECT',
      'INSPECT_PRELOAD',
      'INSPECT_CONNECT_TO',
      'INSPECT_NOTIFY',
    ];
    const env = Object.fromEntries(misleading.map((name) => [`BUN_${name}`, '1']));
    const result = start(shell, ['install'], {
      ...env,
      BUN_CONFIG_VERBOSE_FETCH: 'curl',
      NODE_OPTIONS: '-v',
    });
    const own = Object.entries(RUNTIME_VARIABLES).filter(([name]) => name.startsWith('BUN'));
    const lines = [...own, ['NODE_OPTIONS', '-v']].map((entry) => entry.join('='));
    expect([result.status, result.stdout.trimEnd().split('\n')]).toEqual([0, lines.toSorted()]);
  });

  it('never replaces a status by the placeholder', async () => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'echo done >ran');
    writeFileSync(statusPath(4), 'mine');
    expect(start(shell, ['enable'], { ConfigSequenceNumber: '4' }).status).toBe(0);
    await awaitFile(join(base, 'ran'));
    expect(readFileSync(statusPath(4), 'utf8')).toBe('mine');
  });

  it('lets the program detach itself where there is no setsid', async () => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'echo "$@" >ran');
    const minimal = join(parent, 'minimal');
    await mkdir(minimal);
    for (const name of ['uname', 'date', 'mv', 'rm']) {
      const real = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
      writeFileSync(join(minimal, name), `#!/bin/sh\nexec ${real} "$@"\n`, { mode: 0o755 });
    }
    const [program = '', ...rest] = shell;
    const real = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
    const result = spawnSync(real, [...rest, join(base, LAUNCHER_FILE), 'enable'], {
      cwd: base,
      env: { PATH: minimal, ConfigSequenceNumber: '0' },
      encoding: 'utf8',
    });
    // busybox finds its own setsid inside itself; then the program is detached the usual way.
    expect(result.status).toBe(0);
    const said = await awaitFile(join(base, 'ran'));
    expect(said).toBe(program === 'busybox' && said === '\n' ? '\n' : '--detach\n');
    expect(readStatus(0).status).toBe('transitioning');
  });
});

describe.runIf(namespace !== undefined)('in a mount namespace of its own', () => {
  const inside = (script: string, env: Record<string, string>) => {
    const [program = '', ...rest] = namespace ?? [];
    return spawnSync(program, [...rest, 'sh', '-ec', script, 'sh', base], {
      cwd: base,
      encoding: 'utf8',
      env: { PATH: `${join(parent, 'fakes')}:${process.env.PATH}`, ...env },
    });
  };
  const withSystemd =
    'mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/system; exec sh "$1/bin/handler" enable';

  it('says 51 on a file system that is mounted with noexec', async () => {
    await install(true);
    await mkdir(join(base, 'mounted'));
    const result = inside(
      'mount -t tmpfs -o noexec tmpfs "$1/mounted"; cp -r "$1/bin" "$1/mounted/"; c=0; sh "$1/mounted/bin/handler" enable || c=$?; cat "$1/mounted/status/3.status"; exit $c',
      { ConfigSequenceNumber: '3' },
    );
    expect(result.status).toBe(51);
    expect(result.stderr).toContain('noexec');
    expect(parseStatus(result.stdout, 'status')).toMatchObject({ status: 'error', code: 51 });
  });

  it.each(shells)(
    'begins nothing in %s where no status can be written, and tells the agent why',
    async (...shell) => {
      await install(true);
      writeFileSync(join(base, 'enable'), 'echo done >ran');
      const fill = 'mount -t tmpfs -o size=4k tmpfs "$1/status"; echo full >"$1/status/ballast"';
      const result = inside(
        `${fill}; ${shell.join(' ')} "$1/bin/handler" enable || code=$?; ls "$1/status"; exit $code`,
        { ConfigSequenceNumber: '3' },
      );
      expect([result.status, result.stdout]).toEqual([1, 'ballast\n']);
      expect(result.stderr).toMatch(
        /^Contoso\.Greeter 1\.0\.0: Enable failed: .+\/3\.status cannot be written \(.+\); make room/,
      );
      expect(result.stderr.trim().split('\n')).toHaveLength(1);
      expect(existsSync(join(base, 'ran'))).toBe(false);
    },
  );

  it('starts the program once, through systemd-run, where systemd is the init', async () => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'echo started >>starts; mv starts ran');
    fakeProgram(
      'systemd-run',
      `echo "$@" >"${base}/scope"; while [ "$1" != -- ]; do shift; done; shift; "$@"`,
    );
    expect(inside(withSystemd, { ConfigSequenceNumber: '3' }).status).toBe(0);
    expect(await awaitFile(join(base, 'ran'))).toBe('started\n');
    expect(readFileSync(join(base, 'scope'), 'utf8')).toMatch(
      /^--scope --quiet --collect --no-ask-password -- /,
    );
    expect((await readdir(base)).sort()).toEqual(['bin', 'config', 'enable', 'ran', 'scope', 'status']);
  });

  it('names the claim, which a kill may leave, by the process that waits for systemd-run', async () => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'true');
    fakeProgram(
      'systemd-run',
      `echo "$PPID" >"${base}/waits"; ls -A "${base}" >"${base}/listed"; mv "${base}/listed" "${base}/ran"`,
    );
    expect(inside(withSystemd, { ConfigSequenceNumber: '3' }).status).toBe(0);
    const listed = await awaitFile(join(base, 'ran'));
    const pid = readFileSync(join(base, 'waits'), 'utf8').trim();
    expect(listed.split('\n').filter((name) => name.startsWith('.start'))).toEqual([`.start.${pid}.tmp`]);
  });

  it('starts the program without a scope when systemd-run fails before it came that far', async () => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'echo started >>starts; mv starts ran');
    fakeProgram('systemd-run', 'echo "Failed to connect to bus" >&2; exit 1');
    expect(inside(withSystemd, { ConfigSequenceNumber: '3' }).status).toBe(0);
    expect(await awaitFile(join(base, 'ran'))).toBe('started\n');
  });

  it('does not start the program again when it failed inside the scope', async () => {
    await install(true);
    writeFileSync(join(base, 'enable'), 'echo started >>starts; exit 1');
    fakeProgram(
      'systemd-run',
      `while [ "$1" != -- ]; do shift; done; shift; "$@"; echo "$?" >"${base}/ended.tmp"; mv "${base}/ended.tmp" "${base}/ended"; exit 1`,
    );
    fakeProgram('rm', `/bin/rm "$@"; code=$?; [ "$1" = -f ] || echo "$code" >>"${base}/claims"; exit $code`);
    expect(inside(withSystemd, { ConfigSequenceNumber: '3' }).status).toBe(0);
    expect(await awaitFile(join(base, 'ended'))).toBe('1\n');
    for (
      let tries = 0;
      readFileSync(join(base, 'claims'), 'utf8').split('\n').length < 3 && tries < 500;
      tries++
    ) {
      await delay(10);
    }
    expect(readFileSync(join(base, 'claims'), 'utf8')).toBe('0\n1\n');
    expect(readFileSync(join(base, 'starts'), 'utf8')).toBe('started\n');
  });
});

describe('for Node', () => {
  const order = {
    handlerName: 'Contoso.Greeter',
    operation: 'enable',
    port: 9230,
    extensionName: 'web',
  } as const;
  const orderFile = (): string => join(base, '..', STOP_ORDER_FILE);

  /** The "program" is a copy of echo: it prints what it was given. */
  function installNode(inspectable: boolean): void {
    const [handlerName, version] = ['Contoso.Greeter', '1.0.0'];
    const options = { handlerName, version, detached: false, reportHeartbeat: false, inspectable };
    const launcher = formatLauncher({ ...options, architectures: [architecture], runtime: 'node' });
    writeFileSync(join(base, LAUNCHER_FILE), launcher, { mode: 0o755 });
    copyFileSync(realpathSync('/bin/echo'), join(base, programFile(architecture)));
    chmodSync(join(base, programFile(architecture)), 0o755);
  }

  it.each(shells.map((shell) => [shell.join(' '), shell] as const))(
    'hands over the script, and heeds an order once, in %s',
    async (_, shell) => {
      installNode(true);
      const plain = `${join(base, SCRIPT_FILE)} enable\n`;
      expect(start(shell, ['enable']).stdout).toBe(plain);
      writeFileSync(orderFile(), formatStopOrder(order));
      expect(start(shell, ['enable']).stdout).toBe(`--inspect-brk=127.0.0.1:9230 ${plain}`);
      expect([start(shell, ['enable']).stdout, existsSync(orderFile())]).toEqual([plain, false]);
    },
  );

  it.each<[string, Partial<StopOrder>, Record<string, string>]>([
    ['another operation', { operation: 'update' }, {}],
    ['another handler', { handlerName: 'Contoso.Other' }, {}],
    ['another configuration', {}, { ConfigExtensionName: 'other' }],
  ])('leaves an order for %s alone', async (_, change, env) => {
    installNode(true);
    writeFileSync(orderFile(), formatStopOrder({ ...order, ...change }));
    expect(start(['sh'], ['enable'], env).stdout).toBe(`${join(base, SCRIPT_FILE)} enable\n`);
    expect(existsSync(orderFile())).toBe(true);
  });

  it('knows of no order unless it is inspectable', async () => {
    installNode(false);
    writeFileSync(orderFile(), formatStopOrder(order));
    expect(start(['sh'], ['enable']).stdout).toBe(`--no-warnings ${join(base, SCRIPT_FILE)} enable\n`);
  });

  it('starts Node without what would lead it astray', () => {
    installNode(false);
    const printEnv = '#!/bin/sh\nenv\n';
    rmSync(join(base, programFile(architecture)));
    // A script cannot be listed by the loader, so the choice is made here.
    writeFileSync(join(base, programFile(architecture)), printEnv, { mode: 0o755 });
    writeFileSync(join(base, 'bin/.architecture'), `${architecture}\n`);
    const misleading = ['NODE_OPTIONS', 'NODE_PATH', 'NODE_COMPILE_CACHE', 'NODE_V8_COVERAGE', 'NODE_DEBUG'];
    const env = Object.fromEntries(misleading.map((name) => [name, 'x']));
    const said = start(['sh'], ['enable'], { ...env, NODE_EXTRA_CA_CERTS: '/etc/ca.pem' }).stdout;
    expect(said.split('\n').filter((line) => line.startsWith('NODE_'))).toEqual([
      'NODE_EXTRA_CA_CERTS=/etc/ca.pem',
    ]);
  });
});
