import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecResult } from './exec.ts';
import type { Host } from './host.ts';
import { createHost } from './host.ts';
import { isSystemd, openSystemdUnit } from './systemd-unit.ts';

const OWNER = { extension: 'Contoso.Samples.Greeter', version: '1.2.0' };
const SERVICE = { description: 'Greets', execStart: ['/usr/bin/greet'] };
const UNIT_FILE = '/etc/systemd/system/greeter.service';

/** What systemd knows of the unit; a test makes it misbehave by `refuse` and `afterPause`. */
interface Systemd {
  loadedText: string | undefined;
  active: string;
  sub: string;
  pid: number;
  isEnabled: boolean;
  result: string;
  type: string;
  /** Verbs that fail and do nothing. */
  readonly refuse: Set<string>;
  /** What becomes of the service in the pause after its start. */
  afterPause: () => void;
  isBad: boolean;
}

let root: string;
let host: Host;
let commands: string[];
let systemd: Systemd;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-systemd-'));
  commands = [];
  systemd = {
    loadedText: undefined,
    active: 'inactive',
    sub: 'dead',
    pid: 0,
    isEnabled: false,
    result: 'success',
    type: 'simple',
    refuse: new Set(),
    afterPause: () => {},
    isBad: false,
  };
  mkdirSync(join(root, 'run/systemd/system'), { recursive: true });
  host = {
    ...createHost({ PATH: '/bin', http_proxy: 'http://proxy' }),
    root,
    path: (absolute) => join(root, absolute),
    sleep: async () => systemd.afterPause(),
    exec: async (argv, options = {}) => {
      expect(argv.slice(0, 3)).toEqual(['systemctl', '--no-pager', '--no-ask-password']);
      expect(options).toMatchObject({ env: { LC_ALL: 'C', SYSTEMD_COLORS: '0' }, timeoutMs: 120_000 });
      return answer(argv[3] ?? '', argv.slice(4));
    },
  };
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const readUnit = (): string | undefined =>
  existsSync(join(root, UNIT_FILE)) ? readFileSync(join(root, UNIT_FILE), 'utf8') : undefined;
const write = (file: string, text: string): void => {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
};
const open = (version = OWNER.version) => openSystemdUnit(host, { ...OWNER, version }, 'greeter');

function answer(verb: string, words: readonly string[]): ExecResult {
  if (verb !== 'show') commands.push(verb);
  if (verb !== 'daemon-reload') expect(words.at(-1)).toBe('greeter.service');
  const isRefused = systemd.refuse.has(verb);
  if (!isRefused) obey(verb);
  return {
    exitCode: isRefused || verb === 'status' ? 3 : 0,
    signal: null,
    timedOut: false,
    aborted: false,
    stdout: verb === 'show' ? show() : verb === 'status' ? 'greet[7]: cannot bind port 80\n' : '',
    stderr: isRefused ? `Failed to ${verb}: https://example.com/?sig=secret\n` : '',
    durationMs: 0,
  };
}

function obey(verb: string): void {
  if (verb === 'daemon-reload') systemd.loadedText = readUnit();
  if (verb === 'enable') systemd.isEnabled = true;
  if (verb === 'disable') systemd.isEnabled = false;
  if (verb === 'stop') Object.assign(systemd, { active: 'inactive', sub: 'dead', pid: 0 });
  if (verb === 'reset-failed' && systemd.active === 'failed') systemd.active = 'inactive';
  if (verb === 'restart' || (verb === 'start' && systemd.active !== 'active')) {
    Object.assign(systemd, { active: 'active', sub: 'running', pid: systemd.pid + 100 });
  }
}

function show(): string {
  const isLoaded = systemd.loadedText !== undefined;
  return [
    `Type=${systemd.type}`,
    `Result=${systemd.result}`,
    `MainPID=${systemd.pid}`,
    `LoadState=${systemd.isBad ? 'bad-setting' : isLoaded ? 'loaded' : 'not-found'}`,
    `ActiveState=${systemd.active}`,
    `SubState=${systemd.sub}`,
    `UnitFileState=${systemd.isEnabled ? 'enabled' : isLoaded ? 'disabled' : ''}`,
    `NeedDaemonReload=${isLoaded && systemd.loadedText !== readUnit() ? 'yes' : 'no'}`,
    '',
  ].join('\n');
}

describe('systemd', () => {
  it('is there when its folder of this boot is', () => {
    expect(isSystemd(host)).toBe(true);
    rmSync(join(root, 'run'), { recursive: true });
    expect(isSystemd(host)).toBe(false);
  });

  it('that is not there is error 51, and nothing is written', async () => {
    rmSync(join(root, 'run'), { recursive: true });
    for (const attempt of [() => open().write(SERVICE), () => open().status()]) {
      await expect(attempt()).rejects.toMatchObject({ code: 'UNSUPPORTED_SYSTEM', exitCode: 51 });
    }
    expect([readUnit(), commands]).toEqual([undefined, []]);
    expect(await open().remove()).toBe('absent');
  });

  it.each(['', '../greeter', 'a b', '-greeter', 'greeter@1', 'greeter\n', '%n', 'x'.repeat(300), '.service'])(
    'has no unit named %j',
    (name) => {
      expect(() => openSystemdUnit(host, OWNER, name)).toThrow('is no name of a systemd unit');
    },
  );

  it('has a unit of the same name with and without the suffix', () => {
    expect(openSystemdUnit(host, OWNER, 'greeter.service')).toMatchObject({
      name: 'greeter.service',
      path: UNIT_FILE,
    });
    expect(open().path).toBe(UNIT_FILE);
  });
});

describe('writing a unit', () => {
  it('writes the file and lets systemd read it, once', async () => {
    expect(await open().write(SERVICE)).toEqual({ changed: true });
    expect(readUnit()).toMatch(/^# Handlerkit-Unit: Contoso\.Samples\.Greeter 1\.2\.0\n/);
    expect(systemd.loadedText).toBe(readUnit());
    expect(commands).toEqual(['daemon-reload']);
    expect(await open().write(SERVICE)).toEqual({ changed: false });
    expect(commands).toEqual(['daemon-reload']);
  });

  it('lets systemd read a file that a run that was ended left behind', async () => {
    await open().write(SERVICE);
    systemd.loadedText = 'an older text';
    expect(await open().write(SERVICE)).toEqual({ changed: false });
    expect(systemd.loadedText).toBe(readUnit());
  });

  it.each(['1.1.0', '1.10.0'])('replaces the unit of version %s', async (version) => {
    await open(version).write(SERVICE);
    expect(await open().write(SERVICE)).toEqual({ changed: true });
    expect(readUnit()).toContain('Greeter 1.2.0\n');
  });

  it.each([
    ['[Service]\nExecStart=/usr/sbin/sshd\n', 'somebody'],
    ['# Handlerkit-Unit: Contoso.Samples.Other 1.0.0\n[Unit]\n', 'another extension'],
    ['', 'nobody'],
  ])('%#: leaves the unit of %2$s alone', async (text) => {
    write(UNIT_FILE, text);
    const unit = open();
    for (const attempt of [() => unit.write(SERVICE), unit.start, unit.stop, unit.disable]) {
      await expect(attempt()).rejects.toMatchObject({
        code: 'HANDLER_FAILED',
        message: expect.stringContaining('was not written by Contoso.Samples.Greeter'),
      });
    }
    expect(await unit.remove()).toBe('foreign');
    expect([readUnit(), commands]).toEqual([text, []]);
  });

  it('leaves a unit alone that an administrator has masked, or that is a dangling link', async () => {
    mkdirSync(join(root, dirname(UNIT_FILE)), { recursive: true });
    for (const target of ['/dev/null', '/nonexistent']) {
      symlinkSync(target, join(root, UNIT_FILE));
      await expect(open().write(SERVICE)).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
      expect(await open().remove()).toBe('foreign');
      rmSync(join(root, UNIT_FILE));
    }
    expect(commands).toEqual([]);
  });

  it.each(['/usr/lib/systemd/system', '/lib/systemd/system'])(
    'does not stand in the way of a unit of a package in %s',
    async (folder) => {
      write(`${folder}/greeter.service`, '[Service]\n');
      await expect(open().write(SERVICE)).rejects.toMatchObject({
        message: expect.stringContaining(`${folder}/greeter.service`),
      });
      expect(readUnit()).toBeUndefined();
    },
  );

  it('fails when systemd does not take the unit', async () => {
    systemd.isBad = true;
    await expect(open().write(SERVICE)).rejects.toMatchObject({
      code: 'HANDLER_FAILED',
      message: expect.stringContaining('greeter.service is not taken by systemd'),
    });
  });

  it('writes nothing of a description that is refused', async () => {
    await expect(open().write({ ...SERVICE, description: 'a\nb' })).rejects.toMatchObject({ exitCode: 53 });
    expect([readUnit(), commands]).toEqual([undefined, []]);
  });
});

describe('a unit', () => {
  beforeEach(async () => {
    await open().write(SERVICE);
    commands.length = 0;
  });

  it('is started and enabled, and says how it is', async () => {
    const status = {
      isLoaded: true,
      activeState: 'active',
      subState: 'running',
      mainPid: 100,
      isEnabled: true,
      result: 'success',
    };
    expect(await open().start()).toEqual(status);
    expect(await open().status()).toEqual(status);
    expect(commands).toEqual(['enable', 'start']);
  });

  it('that runs goes on, or is restarted when that is asked for', async () => {
    await open().start();
    expect(await open().start()).toMatchObject({ mainPid: 100 });
    expect(await open().start({ restart: true })).toMatchObject({ mainPid: 200 });
    expect(commands).toEqual(['enable', 'start', 'enable', 'start', 'enable', 'restart']);
  });

  it('that failed before is started all the same', async () => {
    systemd.active = 'failed';
    await open().start();
    expect(commands).toEqual(['reset-failed', 'enable', 'start']);
  });

  it('that has done its work at once is started, when that is its type', async () => {
    systemd.afterPause = () => Object.assign(systemd, { active: 'inactive', sub: 'dead', pid: 0 });
    await expect(open().start()).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
    systemd.type = 'oneshot';
    expect(await open().start()).toMatchObject({ activeState: 'inactive' });
    systemd.result = 'exit-code';
    await expect(open().start()).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
  });

  it.each<[string, Partial<Systemd>]>([
    ['failed', { active: 'failed', sub: 'failed', pid: 0 }],
    ['activating', { active: 'activating', sub: 'auto-restart', pid: 0 }],
    ['active again as another process', { active: 'active', sub: 'running', pid: 101 }],
  ])('that is %s soon after its start is an error with its journal', async (_, state) => {
    systemd.afterPause = () => Object.assign(systemd, state);
    await expect(open().start()).rejects.toMatchObject({
      code: 'HANDLER_FAILED',
      message: expect.stringMatching(
        /^greeter\.service does not stay up and is \w+: greet\[7\]: cannot bind port 80$/,
      ),
    });
  });

  it.each(['start', 'enable'])('that systemd refuses to %s is an error without a secret', async (verb) => {
    systemd.refuse.add(verb);
    const error = await open().start().catch(String);
    expect(error).toContain(`Failed to ${verb}: https://example.com/`);
    expect(error).not.toContain('secret');
  });

  it('that was not written is not started', async () => {
    rmSync(join(root, UNIT_FILE));
    await expect(open().start()).rejects.toMatchObject({
      message: expect.stringContaining('write the unit first'),
    });
    expect(commands).toEqual([]);
  });

  it('is stopped, and disabled', async () => {
    await open().start();
    await open().stop();
    expect(systemd).toMatchObject({ active: 'inactive', isEnabled: true });
    await open().start();
    await open().disable();
    expect(systemd).toMatchObject({ active: 'inactive', isEnabled: false });
    expect(readUnit()).toBeDefined();
  });

  it.each(['stop', 'disable'])('that systemd does not %s is an error', async (verb) => {
    await open().start();
    systemd.refuse.add(verb);
    await expect(open().disable()).rejects.toMatchObject({
      code: 'HANDLER_FAILED',
      message: expect.stringContaining(`Failed to ${verb}`),
    });
    await expect(open().remove()).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
    expect(readUnit()).toBeDefined();
  });

  it.each(['1.2.0', '1.10.0', '2.0'])('is removed by version %s', async (version) => {
    await open().start();
    commands.length = 0;
    expect(await open(version).remove()).toBe('removed');
    expect(commands).toEqual(['stop', 'disable', 'daemon-reload', 'reset-failed']);
    expect(systemd).toMatchObject({ active: 'inactive', isEnabled: false, loadedText: undefined });
    expect(readUnit()).toBeUndefined();
  });

  it.each(['1.1.0', '1.1.10', '0.9'])('of a newer version is left alone by version %s', async (version) => {
    await open().start();
    commands.length = 0;
    expect(await open(version).remove()).toBe('newer');
    expect(commands).toEqual([]);
    expect(systemd.active).toBe('active');
  });

  it('that is not there any more has nothing to stop, disable or remove', async () => {
    rmSync(join(root, UNIT_FILE));
    await open().stop();
    await open().disable();
    expect(await open().remove()).toBe('absent');
    expect(commands).toEqual([]);
  });

  it('is left as it is by an abort, with its reason', async () => {
    const reason = new Error('superseded');
    const signal = AbortSignal.abort(reason);
    for (const act of ['start', 'stop', 'disable', 'remove', 'status'] as const) {
      await expect(open()[act]({ signal })).rejects.toBe(reason);
    }
    expect(commands).toEqual([]);
  });
});
