import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ServiceDescription } from './systemd-unit-text.ts';
import { formatUnit, parseMark } from './systemd-unit-text.ts';

const OWNER = { extension: 'Contoso.Samples.Greeter', version: '1.2.0' };
const SERVICE: ServiceDescription = { description: 'Greets', execStart: ['/usr/bin/true'] };
const format = (service: Partial<ServiceDescription>): string =>
  formatUnit(OWNER, { ...SERVICE, ...service });
const line = (text: string, key: string): string | undefined =>
  text.split('\n').find((candidate) => candidate.startsWith(`${key}=`));

describe('the text of a unit', () => {
  it('is short for a service with nothing special', () => {
    expect(format({}).split('\n')).toEqual([
      '# Handlerkit-Unit: Contoso.Samples.Greeter 1.2.0',
      '# Written by this extension, which replaces changes. Use "systemctl edit" to override it.',
      '[Unit]',
      'Description=Greets',
      '',
      '[Service]',
      'Type=simple',
      'ExecStart=/usr/bin/true',
      'Restart=no',
      '',
      '[Install]',
      'WantedBy=multi-user.target',
      '',
    ]);
  });

  it('holds everything that a service was given', () => {
    const text = format({
      after: ['network-online.target', 'dev-disk\\x2dby.mount'],
      wants: ['network-online.target'],
      type: 'notify',
      environment: { PORT: '80', GREETING: 'hello world' },
      workingDirectory: '/var/lib/my greeter',
      user: 'nobody',
      restart: 'on-failure',
      restartSeconds: 1.5,
      stopSeconds: 0,
      wantedBy: 'graphical.target',
    });
    expect(text.split('\n').slice(2)).toEqual([
      '[Unit]',
      'Description=Greets',
      'After=network-online.target dev-disk\\x2dby.mount',
      'Wants=network-online.target',
      '',
      '[Service]',
      'Type=notify',
      'ExecStart=/usr/bin/true',
      'Environment=PORT=80',
      'Environment="GREETING=hello world"',
      'WorkingDirectory=/var/lib/my greeter',
      'User=nobody',
      'Restart=on-failure',
      'RestartSec=1500ms',
      'TimeoutStopSec=0ms',
      '',
      '[Install]',
      'WantedBy=graphical.target',
      '',
    ]);
  });

  it.each([
    ['plain-word_1.0:/a,b@c+d=e', 'plain-word_1.0:/a,b@c+d=e', 'nothing special'],
    ['two words', '"two words"', 'a space'],
    ['', '""', 'nothing'],
    [';', '";"', 'what would end the command'],
    ['say "hi"', '"say \\"hi\\""', 'double quotes'],
    ["it's", '"it\'s"', 'a single quote'],
    ['a\\b', '"a\\\\b"', 'a backslash'],
    ['\\', '"\\\\"', 'a backslash at the end of the line'],
    ['$HOME', '$$HOME', 'a variable'],
    ['${HOME} $', '"$${HOME} $$"', 'a variable in braces'],
    ['100%h', '100%%h', 'a specifier'],
    ['#no', '"#no"', 'a comment'],
    ['zwölf', '"zwölf"', 'other letters'],
  ])('gives the argument %j as %s (%s)', (word, written) => {
    expect(line(format({ execStart: ['/bin/echo', word] }), 'ExecStart')).toBe(
      `ExecStart=/bin/echo ${written}`,
    );
  });

  it('quotes a program with a space, and expands nothing in its path', () => {
    expect(line(format({ execStart: ['/opt/my 100%/x'] }), 'ExecStart')).toBe('ExecStart="/opt/my 100%%/x"');
  });

  it('leaves a dollar sign in the environment as it is, and doubles a percent sign', () => {
    const text = format({ environment: { A: '$HOME 5% "x" \\' }, description: '5%' });
    expect(line(text, 'Environment')).toBe('Environment="A=$HOME 5%% \\"x\\" \\\\"');
    expect(line(text, 'Description')).toBe('Description=5%%');
  });

  it.each<[Partial<ServiceDescription>, string]>([
    [{ description: 'a\nExecStartPre=/bin/secret' }, 'description'],
    [{ description: 'ends with secret\\' }, 'description'],
    [{ description: ' secret' }, 'description'],
    [{ execStart: [] }, 'execStart'],
    [{ execStart: ['secret'] }, 'execStart'],
    [{ execStart: ['-/bin/secret'] }, 'execStart'],
    [{ execStart: ['/bin/$secret'] }, 'execStart'],
    [{ execStart: ['/bin/echo', 'secret\n'] }, 'execStart'],
    [{ execStart: ['/bin/echo', 'secret\r'] }, 'execStart'],
    [{ execStart: ['/bin/echo', 'secret\0'] }, 'execStart'],
    [{ execStart: ['/bin/echo', 'secret\ud800'] }, 'execStart'],
    [{ environment: { A: 'secret\n[Service]' } }, 'environment'],
    [{ environment: { 'A B': 'secret' } }, 'environment'],
    [{ environment: { '1A': 'secret' } }, 'environment'],
    [{ workingDirectory: 'secret' }, 'workingDirectory'],
    [{ workingDirectory: '/secret\n' }, 'workingDirectory'],
    [{ user: 'secret user' }, 'user'],
    [{ user: '' }, 'user'],
    [{ after: ['secret'] }, 'after'],
    [{ wants: ['a.target secret'] }, 'wants'],
    [{ wantedBy: '%secret.target' }, 'wantedBy'],
    [{ restartSeconds: -1 }, 'restartSeconds'],
    [{ stopSeconds: Number.NaN }, 'stopSeconds'],
    [{ stopSeconds: Number.POSITIVE_INFINITY }, 'stopSeconds'],
  ])('%#: refuses %j, names the %s and shows no value', (service, field) => {
    const error = (() => {
      try {
        return format(service);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toMatchObject({ code: 'SETTINGS_INVALID', message: expect.stringContaining(field) });
    expect(String(error)).not.toContain('secret');
  });
});

describe('the mark of a unit', () => {
  it('says who wrote it', () => {
    expect(parseMark(format({}))).toEqual(OWNER);
  });

  it.each([
    ['', 'nothing'],
    ['[Unit]\n# Handlerkit-Unit: A.B 1.0\n', 'a mark that is not the first line'],
    ['# Handlerkit-Unit: A.B\n', 'no version'],
    ['# Handlerkit-Unit: A.B one\n', 'a version that is none'],
    ['# Handlerkit-Unit: A.B 1.0', 'half a line'],
  ])('is not in %j (%s)', (text) => {
    expect(parseMark(text)).toBeUndefined();
  });

  it.each([
    [{ extension: 'A B', version: '1.0' }],
    [{ extension: '', version: '1.0' }],
    [{ extension: 'A.B', version: '1.0\n[Unit]' }],
    [{ extension: 'A.B', version: 'latest' }],
  ])('is not written for %j', (owner) => {
    expect(() => formatUnit(owner, SERVICE)).toThrow('extension or version');
  });
});

const analyze = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' });
const whyNot = analyze.status === 0 ? undefined : 'this machine has no systemd-analyze';

describe(`systemd itself${whyNot === undefined ? '' : ` (skipped: ${whyNot})`}`, () => {
  /** What systemd makes of a unit: exit code, complaints, and its own dump of what it has read. */
  function verify(service: ServiceDescription): { status: number | null; said: string; dump: string } {
    const folder = mkdtempSync(join(tmpdir(), 'handlerkit-unit-'));
    try {
      const file = join(folder, 'handlerkit-greeter.service');
      writeFileSync(file, formatUnit(OWNER, service));
      const run = (level: string) =>
        spawnSync('systemd-analyze', ['verify', '--man=no', file], {
          encoding: 'utf8',
          env: { PATH: process.env.PATH ?? '', LC_ALL: 'C.UTF-8', SYSTEMD_LOG_LEVEL: level },
        });
      const quiet = run('info');
      return { status: quiet.status, said: quiet.stderr, dump: run('debug').stdout };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  it.skipIf(whyNot !== undefined)('takes a unit with everything, without a complaint', () => {
    const { status, said } = verify({
      description: '100% of "it" \\ $HOME',
      execStart: ['/bin/sh', '-c', 'exec sleep "$1"; # \\', 'sh', ''],
      environment: { A: 'b c "d" \\', B: '' },
      workingDirectory: '/tmp',
      user: 'daemon',
      type: 'oneshot',
      restart: 'on-failure',
      restartSeconds: 0.25,
      stopSeconds: 30,
      after: ['network.target'],
      wants: ['network.target'],
    });
    expect({ status, said }).toEqual({ status: 0, said: '' });
  });

  it.skipIf(whyNot !== undefined)('complains of a unit whose program is not there', () => {
    expect(verify({ description: 'x', execStart: ['/nonexistent/program'] }).status).not.toBe(0);
  });

  it.skipIf(whyNot !== undefined)('reads the arguments and variables that were meant', () => {
    const words = ['a b', '', ';', '|', '100%h', 'q"q', "it's", 'back\\slash', '\\', 'zwölf', '\\n', '\\x41'];
    const { dump } = verify({
      description: '5%h \\ x',
      execStart: ['/bin/echo', ...words],
      environment: { A: 'b "c" 5%h \\' },
      workingDirectory: '/var/tmp/my 5%h',
    });
    const command = /Command Line: (.*)/.exec(dump)?.[1] ?? '';
    // systemd prints the words as a shell would take them.
    const read = spawnSync('sh', ['-c', `for word in ${command}; do printf '%s\\0' "$word"; done`], {
      encoding: 'utf8',
    });
    expect(read.stdout.split('\0').slice(0, -1)).toEqual(['/bin/echo', ...words]);
    expect(dump).toContain('Environment: A=b "c" 5%h \\\n');
    expect(dump).toContain('Description: 5%h \\ x\n');
    expect(dump).toContain('WorkingDirectory: /var/tmp/my 5%h\n');
  });
});
