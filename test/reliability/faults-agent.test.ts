/**
 * What an agent, a system or a script does to a packed handler's processes: the agent's whole group is killed, the agent goes on before the
 * detached run has come to its first line, an extension is removed while it runs, a script ends what has started it.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import { NO_OVERLAY } from '../local-vm.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

const packages: Record<'customScriptZip' | 'detachedProbeZip' | 'probeZip', UnpackedPackage | undefined> = {
  customScriptZip: undefined,
  detachedProbeZip: undefined,
  probeZip: undefined,
};
const laidOut: LaidOutHandler[] = [];
afterEach(() => {
  for (const handler of laidOut.splice(0)) handler.remove();
});
afterAll(() => {
  for (const unpacked of Object.values(packages)) unpacked?.remove();
});

const layOut = (name: keyof typeof packages): LaidOutHandler => {
  const unpacked = packages[name] ?? unpackPackage(inject(name));
  packages[name] = unpacked;
  const handler = layOutHandler(unpacked);
  laidOut.push(handler);
  return handler;
};
const finalStatus = (handler: LaidOutHandler, sequence = 0, version = '1.0.0') =>
  until('the final status', () => {
    const status = handler.readStatus(sequence, { version });
    return status === undefined || status.status === 'transitioning' ? undefined : status;
  });
const quiet = (handler: LaidOutHandler): Promise<true> =>
  until('the end of all processes', () => handler.processes().length === 0 || undefined);
/** How often the script has run; it adds a line each time. */
const runsOf = (handler: LaidOutHandler): number => {
  const file = join(handler.libFolder, 'runs');
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
};
/** Settings of Custom Script whose command notes that it runs, and goes on with `rest`. */
const script = (handler: LaidOutHandler, rest: string) => ({
  public: { commandToExecute: `echo run >>${join(handler.libFolder, 'runs')}; ${rest}` },
});

/**
 * A control group of the test's own; `undefined` where this machine lets nobody make one, and where systemd runs: there a
 * detached run is in a scope of its own.
 */
const makeGroup = (): string | undefined => {
  if (existsSync('/run/systemd/system')) return undefined;
  for (const root of ['/sys/fs/cgroup', '/sys/fs/cgroup/unified']) {
    const group = join(root, `handlerkit-test-${process.pid}`);
    try {
      mkdirSync(group);
    } catch {
      continue;
    }
    try {
      // On an older layout of these folders it is a folder like another.
      if (existsSync(join(group, 'cgroup.kill'))) {
        const [program = '', ...words] = [...inGroup(group), 'true'];
        execFileSync(program, words, { stdio: 'ignore' });
        return group;
      }
    } catch {
      // Nobody may enter it.
    }
    rmdirSync(group);
  }
  return undefined;
};
/** Words that put a command into it. */
const inGroup = (group: string): string[] => [
  '/bin/sh',
  '-c',
  `echo $$ >${group}/cgroup.procs && exec "$@"`,
  'sh',
];

describe('an agent whose service is stopped with everything in it', () => {
  let group: string | undefined;
  beforeAll(() => {
    group = makeGroup();
  });
  afterAll(async () => {
    if (group === undefined) return;
    const folder = group;
    await until(
      'an empty group',
      () => readFileSync(join(folder, 'cgroup.procs'), 'utf8') === '' || undefined,
    );
    rmdirSync(folder);
  });
  /** All at once by the kernel; where there is no such group, one by one, which is the same to the handler. */
  const killAll = (handler: LaidOutHandler): void => {
    if (group !== undefined) writeFileSync(join(group, 'cgroup.kill'), '1');
    else for (const pid of handler.processes()) process.kill(pid, 'SIGKILL');
  };
  const wrapper = (): string[] => (group === undefined ? [] : inGroup(group));

  it('A5: finds the script that it ended told as interrupted, and not run again', async () => {
    const handler = layOut('customScriptZip');
    handler.writeSettings(0, script(handler, 'setsid sleep 600 & echo begun; sleep 600'));
    await handler.run('enable', { wrapper: wrapper() });
    await until('the run', () => runsOf(handler) === 1);
    killAll(handler);
    await quiet(handler);
    expect(handler.readStatus(0)?.status).toBe('transitioning');
    await handler.run('enable');
    const status = await finalStatus(handler);
    expect(status).toMatchObject({ status: 'error', code: 3 });
    expect(status.message).toContain('was interrupted: its process was killed before it finished');
    await quiet(handler);
    await handler.run('enable');
    await quiet(handler);
    expect(handler.readStatus(0)).toEqual(status);
    expect(runsOf(handler)).toBe(1);
    handler.writeSettings(1, script(handler, 'true'));
    await handler.run('enable', { sequence: 1 });
    expect((await finalStatus(handler, 1)).status).toBe('success');
  });

  it('A5: finds work that may be repeated started again', async () => {
    const handler = layOut('detachedProbeZip');
    const gate = join(handler.libFolder, 'go');
    handler.writeSettings(0, { public: { steps: [{ do: 'wait-for-file', path: gate }] } });
    await handler.run('enable', { wrapper: wrapper() });
    await until('the run', () => handler.trace().length === 1);
    killAll(handler);
    await quiet(handler);
    await handler.run('enable');
    await until('the second run', () => handler.trace().length === 2);
    writeFileSync(gate, '');
    expect((await finalStatus(handler)).status).toBe('success');
  });

  it('A20: by the script itself leaves the same: an error that says so, and no second run', async () => {
    const handler = layOut('customScriptZip');
    const end = group === undefined ? 'sleep 0.5; kill -9 $PPID' : `echo 1 >${group}/cgroup.kill`;
    handler.writeSettings(0, script(handler, `${end}; sleep 600`));
    await handler.run('enable', { wrapper: wrapper() });
    await until('the run', () => runsOf(handler) === 1);
    if (group === undefined) await until('the end of the worker', () => handler.processes().length < 2);
    else await quiet(handler);
    await handler.run('enable');
    expect((await finalStatus(handler)).message).toContain('was interrupted: its process was killed');
    await quiet(handler);
    expect(runsOf(handler)).toBe(1);
  });
});

describe('a script that ends what has started it', () => {
  it.each([
    ['with SIGTERM', 'kill $PPID; sleep 600', 'the run was ended by SIGTERM before it finished'],
    ['with SIGHUP', 'kill -HUP $PPID; sleep 600', 'the run was ended by SIGHUP before it finished'],
  ])('A20: %s is ended itself, and the status says so', async (_, rest, text) => {
    const handler = layOut('customScriptZip');
    handler.writeSettings(0, script(handler, rest));
    await handler.run('enable');
    const status = await finalStatus(handler);
    expect(status.status).toBe('error');
    expect(status.message).toContain(text);
    await quiet(handler);
    await handler.run('enable');
    await quiet(handler);
    expect(runsOf(handler)).toBe(1);
  });

  it('A20: with SIGKILL is ended by the next enable, which says so', async () => {
    const handler = layOut('customScriptZip');
    handler.writeSettings(0, script(handler, 'kill -9 $PPID; exec sleep 600'));
    await handler.run('enable');
    await until('the run', () => runsOf(handler) === 1);
    await until('the orphan', () => handler.processes().length === 1);
    await handler.run('enable');
    expect((await finalStatus(handler)).message).toContain('was interrupted: its process was killed');
    await quiet(handler);
    expect(runsOf(handler)).toBe(1);
  });

  it.skipIf(NO_OVERLAY !== undefined)(
    'A20: as everything else on the machine (kill -9 -1) leaves what the next enable settles',
    async () => {
      const handler = layOut('customScriptZip');
      handler.writeSettings(0, script(handler, 'kill -9 -1; exit 0'));
      // The machine is a namespace of processes, whose first one waits for the others as an init does.
      const init = [
        'unshare',
        '--pid',
        '--mount-proc',
        '--fork',
        '/bin/sh',
        '-c',
        '"$@"; wait; while kill -0 -1 2>/dev/null; do sleep 0.05; done',
        'sh',
      ];
      await handler.run('enable', { wrapper: init });
      await until('the run', () => runsOf(handler) === 1);
      await quiet(handler);
      await handler.run('enable');
      const status = await finalStatus(handler);
      expect(status).toMatchObject({ status: 'error', code: 3 });
      expect(status.message).toContain('was interrupted: its process was killed');
      await quiet(handler);
      expect(runsOf(handler)).toBe(1);
    },
  );
});

describe('a detached run that has not come to its first line yet', () => {
  let handler: LaidOutHandler;
  let folder: string;
  beforeEach(() => {
    handler = layOut('customScriptZip');
    folder = mkdtempSync(join(tmpdir(), 'handlerkit-slow-start-'));
    // What the launcher starts a run with waits for its cue: a machine under load does so by itself.
    const setsid = `#!/bin/sh\necho $$ >>${folder}/waiting\nuntil [ -e ${folder}/go ]; do sleep 0.02; done\nexec /usr/bin/setsid "$@"\n`;
    writeFileSync(join(folder, 'setsid'), setsid);
    chmodSync(join(folder, 'setsid'), 0o755);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const startSlowly = async (): Promise<void> => {
    handler.writeSettings(0, script(handler, 'true'));
    const env = { PATH: `${folder}:/usr/sbin:/usr/bin:/sbin:/bin` };
    expect((await handler.run('enable', { env })).exitCode).toBe(0);
    await until('the one that waits', () => existsSync(join(folder, 'waiting')) || undefined);
  };
  const letGo = async (): Promise<void> => {
    writeFileSync(join(folder, 'go'), '');
    const pid = Number.parseInt(readFileSync(join(folder, 'waiting'), 'utf8'), 10);
    await until('the end of the late run', () => !existsSync(`/proc/${pid}`) || undefined);
    await quiet(handler);
  };

  it('A23: does not begin any more once its extension was uninstalled', async () => {
    await startSlowly();
    await handler.run('disable');
    expect(await handler.run('uninstall')).toMatchObject({ exitCode: 0, stderr: '' });
    await letGo();
    expect(runsOf(handler)).toBe(0);
    expect(readdirSync(handler.libFolder).filter((name) => name === 'custom-script')).toEqual([]);
  });

  it('A23: begins after an installation that followed', async () => {
    await startSlowly();
    await handler.run('uninstall');
    await letGo();
    expect((await handler.run('install')).exitCode).toBe(0);
    handler.writeSettings(1, script(handler, 'true'));
    await handler.run('enable', { sequence: 1 });
    expect((await finalStatus(handler, 1)).status).toBe('success');
    expect(runsOf(handler)).toBe(1);
  });

  it.each([
    ['before', 1],
    ['after', 1],
  ] as const)('A22: runs once in all when an update comes %s it', async (order, runs) => {
    await startSlowly();
    handler.addVersion('1.1.0');
    const variables = { updatingFromVersion: '1.0.0', targetVersion: '1.1.0', disableExitCode: '0' };
    await handler.run('disable');
    if (order === 'after') await letGo();
    expect(await handler.run('update', { version: '1.1.0', variables })).toMatchObject({
      exitCode: 0,
      stderr: '',
    });
    if (order === 'before') await letGo();
    expect((await handler.run('uninstall')).exitCode).toBe(0);
    rmSync(handler.folder(), { recursive: true });
    expect((await handler.run('install', { version: '1.1.0' })).exitCode).toBe(0);
    handler.writeSettings(0, script(handler, 'true'), { version: '1.1.0' });
    await handler.run('enable', { version: '1.1.0' });
    expect((await finalStatus(handler, 0, '1.1.0')).status).toBe('success');
    await quiet(handler);
    expect(runsOf(handler)).toBe(runs);
  });
});

describe('uninstall', () => {
  const isGone = (handler: LaidOutHandler): boolean =>
    handler.processes().length === 0 && !existsSync(handler.dataFolder);

  it('A23: ends a run that the agent still waits for, and leaves nothing', async () => {
    const handler = layOut('probeZip');
    handler.writeSettings(0, { public: { steps: [{ do: 'exec', argv: ['sleep', '600'] }] } });
    const enable = handler.start('enable');
    await until('the run', () => handler.trace().length === 1);
    expect(await handler.run('uninstall')).toMatchObject({ exitCode: 0, stderr: '' });
    await enable.ended;
    expect(isGone(handler)).toBe(true);
    expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: 3 });
  });

  it('A23: many times at once, and without its data, is one that succeeds each time', async () => {
    const handler = layOut('detachedProbeZip');
    handler.writeSettings(0, { public: { steps: [{ do: 'exec', argv: ['sleep', '600'] }] } });
    await handler.run('enable');
    await until('the run', () => handler.trace().length === 1);
    const all = await Promise.all(Array.from({ length: 8 }, () => handler.run('uninstall')));
    expect(all.map(({ exitCode, stderr }) => ({ exitCode, stderr }))).toEqual(
      all.map(() => ({ exitCode: 0, stderr: '' })),
    );
    expect(isGone(handler)).toBe(true);
    expect(await handler.run('uninstall')).toMatchObject({ exitCode: 0, stderr: '' });
  });

  it('A23: succeeds without the folders of data, logs, statuses and settings', async () => {
    const handler = layOut('customScriptZip');
    handler.writeSettings(0, script(handler, 'true'));
    await handler.run('enable');
    await finalStatus(handler);
    await quiet(handler);
    const { statusFile, settingsFile } = handler;
    const data = join(handler.libFolder, 'custom-script');
    for (const folder of [data, handler.logFolder, dirname(statusFile(0)), dirname(settingsFile(0))]) {
      rmSync(folder, { recursive: true });
    }
    expect(await handler.run('uninstall')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(existsSync(data)).toBe(false);
  });

  it('A23: at any moment of an enable ends it or is before it: nothing runs and nothing is left', async () => {
    const moments = Array.from({ length: 6 }, (_, n) => n * 10);
    for (const ms of moments) {
      const handler = layOut('detachedProbeZip');
      handler.writeSettings(0, { public: { steps: [{ do: 'exec', argv: ['sleep', '600'] }] } });
      await handler.run('enable');
      await new Promise((resolve) => setTimeout(resolve, ms));
      expect(await handler.run('uninstall')).toMatchObject({ exitCode: 0, stderr: '' });
      await quiet(handler);
      expect([ms, isGone(handler)]).toEqual([ms, true]);
      handler.remove();
    }
  });
});

describe('a package', () => {
  it.each(pythons())(
    'A30: unpacked by the zipfile of Python %s, with no modes, runs once the agent has given them',
    async (_, python) => {
      const unpacked = unpackPackage(inject('probeZip'), python);
      try {
        const handler = layOutHandler(unpacked);
        laidOut.push(handler);
        const { exitCode, stderr, status } = await handler.enable(0, {
          public: { steps: [{ do: 'end', message: 'done' }] },
        });
        expect({ exitCode, stderr, message: status.message }).toEqual({
          exitCode: 0,
          stderr: '',
          message: 'Enable succeeded: done',
        });
      } finally {
        unpacked.remove();
      }
    },
  );
});

/** Version and path of the oldest Python that this machine has, and of the newest. */
function pythons(): [string, string][] {
  const names = ['python2.7', ...Array.from({ length: 10 }, (_, n) => `python3.${n + 5}`), 'python3'];
  const found = new Map<string, string>();
  const places = [...(process.env.PATH ?? '').split(':'), ...pyenvFolders()];
  for (const path of places.flatMap((place) => names.map((name) => join(place, name)))) {
    if (!existsSync(path)) continue;
    try {
      const version = execFileSync(path, ['-c', 'import sys, zipfile; print(sys.version.split()[0])'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const [minor = ''] = /^\d+\.\d+/.exec(version.toString()) ?? [];
      if (!found.has(minor)) found.set(minor, path);
    } catch {
      // A stand-in for one that is not there, or without zipfile.
    }
  }
  const sorted = [...found].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  return sorted.filter((_, index) => index === 0 || index === sorted.length - 1);
}

/** Where pyenv keeps versions that it does not put into the path. */
function pyenvFolders(): string[] {
  const root = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions');
  return existsSync(root) ? readdirSync(root).map((version) => join(root, version, 'bin')) : [];
}
