import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ExecResult, Host } from '@handlerkit/sdk';
import { createHost } from '@handlerkit/sdk';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { answer, createContext } from './fixtures/sshd-machine.ts';
import { applySshdConfig, isSshdRunning, readSshdPorts, requireSshd } from './sshd-service.ts';
import type { StepContext } from './step.ts';

/** A unit as `systemctl show` prints it. */
type Unit = Readonly<Record<string, string>>;

const NOT_FOUND: Unit = { LoadState: 'not-found', ActiveState: 'inactive' };
const SERVICE: Unit = {
  LoadState: 'loaded',
  ActiveState: 'active',
  UnitFileState: 'enabled',
  MainPID: '100',
  CanReload: 'yes',
};

let root: string;
let context: StepContext;
let log: string[];
/** What was run, without `sshd` and the questions. */
let actions: string[];
let units: Record<string, Unit>;
/** What happens to the machine at an action. */
let effects: Record<string, () => ExecResult | undefined>;
let config: string;

function put(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text, { mode });
}

/** An sshd, or systemd for it, holds listening sockets from now on; their inodes begin with `inode`. */
function listen(
  pid: number,
  ports: readonly number[],
  inode: number,
  title = '/usr/sbin/sshd -D',
): undefined {
  stop(pid);
  put(`/proc/${pid}/comm`, pid === 1 ? 'systemd\n' : 'sshd\n');
  put(`/proc/${pid}/cmdline`, title.replaceAll(' ', '\0'));
  mkdirSync(join(root, `/proc/${pid}/fd`));
  const lines = ports.map((port, index) => {
    symlinkSync(`socket:[${inode + index}]`, join(root, `/proc/${pid}/fd/${index + 3}`));
    const local = `00000000:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    return `   ${index}: ${local} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 ${inode + index} 1`;
  });
  put('/proc/net/tcp', `  sl  local_address\n${lines.join('\n')}\n`);
  return undefined;
}

function stop(pid: number): undefined {
  rmSync(join(root, `/proc/${pid}`), { recursive: true, force: true });
  put('/proc/net/tcp', '');
  return undefined;
}

function show(names: readonly string[]): ExecResult {
  const blocks = names.map((name) => {
    const unit = units[name] ?? NOT_FOUND;
    return Object.entries({ Id: name, ...unit })
      .map(([key, value]) => `${key}=${value}`)
      .join('\n');
  });
  return answer(`${blocks.join('\n\n')}\n`);
}

function exec(argv: readonly string[]): ExecResult {
  const [program = '', ...args] = argv;
  const name = program.slice(program.lastIndexOf('/') + 1);
  if (name === 'sshd') return answer(args[0] === '-t' ? '' : config);
  if (name === 'systemctl' && args[0] === 'show') return show(args.slice(args.indexOf('--') + 1));
  const action = [name, ...args].join(' ');
  actions.push(action);
  return effects[action]?.() ?? answer();
}

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-units-'));
  log = [];
  actions = [];
  units = {};
  effects = {};
  config = 'port 22\nlistenaddress [::]:22\nlistenaddress 0.0.0.0:22\n';
  let elapsed = 0;
  const host: Host = {
    ...createHost(),
    root,
    path: (absolute) => join(root, absolute),
    exec: async (argv) => exec(argv),
    elapsedMs: () => elapsed,
    sleep: async (ms) => {
      elapsed += ms;
    },
  };
  for (const program of ['sshd', 'systemctl', 'service', 'rc-service'])
    put(`/usr/sbin/${program}`, '', 0o755);
  put('/proc/net/tcp', '');
  context = await createContext(host, log);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('with systemd', () => {
  beforeEach(() => mkdirSync(join(root, '/run/systemd/system'), { recursive: true }));

  /** Names as the distributions have them, aliases as systemd answers for them. */
  it.each<[string, Record<string, Unit>, string]>([
    [
      'Debian and Ubuntu',
      { 'ssh.service': SERVICE, 'sshd.service': { ...SERVICE, Id: 'ssh.service' } },
      'ssh.service',
    ],
    [
      'RHEL, Alma, Rocky, Oracle, Fedora',
      { 'sshd.service': SERVICE, 'sshd.socket': { ...NOT_FOUND, LoadState: 'loaded' } },
      'sshd.service',
    ],
    ['SLES, openSUSE', { 'sshd.service': SERVICE }, 'sshd.service'],
    ['Azure Linux', { 'sshd.service': { ...SERVICE, UnitFileState: 'enabled' } }, 'sshd.service'],
  ])('reloads the service of %s (W34)', async (_who, found, id) => {
    units = found;
    listen(100, [22], 1000);
    effects[`systemctl reload ${id}`] = () => listen(100, [22], 2000);
    const { message, warning } = await applySshdConfig(context, { start: false });
    expect({ message, warning, actions }).toEqual({
      message: `${id} was reloaded and listens on port 22`,
      warning: undefined,
      actions: [`systemctl reload ${id}`],
    });
    expect(await readSshdPorts(context)).toEqual([22]);
  });

  it('finds a service of any name by the process that listens (W34)', async () => {
    units = { 'openssh-hpn.service': SERVICE };
    listen(100, [22], 1000);
    put('/proc/100/cgroup', '0::/system.slice/openssh-hpn.service\n');
    effects['systemctl reload openssh-hpn.service'] = () => {
      listen(100, [22], 2000);
      put('/proc/100/cgroup', '0::/system.slice/openssh-hpn.service\n');
      return undefined;
    };
    expect((await applySshdConfig(context, { start: false })).message).toMatch(
      /^openssh-hpn.service was reloaded/,
    );
  });

  it('restarts what cannot be reloaded, and what was reloaded without effect (W30)', async () => {
    units = { 'sshd.service': { ...SERVICE, CanReload: 'no' } };
    listen(100, [22], 1000);
    effects['systemctl restart sshd.service'] = () => {
      stop(100);
      return listen(101, [22], 3000);
    };
    await applySshdConfig(context, { start: false });
    expect(actions).toEqual(['systemctl restart sshd.service']);
    units = { 'sshd.service': SERVICE };
    listen(100, [22], 1000);
    const { message } = await applySshdConfig(context, { start: false });
    expect(message).toBe('sshd.service was restarted and listens on port 22');
    expect(actions.slice(1)).toEqual(['systemctl reload sshd.service', 'systemctl restart sshd.service']);
  });

  it.each([
    [
      'fails',
      (): ExecResult => answer('', 1, 'Job for sshd.service failed'),
      /failed with exit code 1: Job for/,
    ],
    ['leaves no sshd behind', (): undefined => stop(100), /does not listen on port 22/],
    [
      'brings one that listens elsewhere',
      (): undefined => listen(101, [2222], 3000),
      /does not listen on port 22/,
    ],
  ])('says that sshd did not come back when the restart %s (W30)', async (_what, effect, message) => {
    units = { 'sshd.service': { ...SERVICE, CanReload: 'no' } };
    listen(100, [22], 1000);
    effects['systemctl restart sshd.service'] = effect;
    await expect(applySshdConfig(context, { start: false })).rejects.toMatchObject({
      code: 'SSHD_NOT_RUNNING',
      message: expect.stringMatching(message),
    });
  });

  it('starts a service that failed when it is to run, and leaves it when not (W34)', async () => {
    units = { 'sshd.service': { ...SERVICE, ActiveState: 'failed', MainPID: '0' } };
    effects['systemctl restart sshd.service'] = () => listen(101, [22], 3000);
    expect(await isSshdRunning(context)).toBe(false);
    expect((await applySshdConfig(context, { start: false })).warning).toMatch(/sshd.service does not run/);
    expect(actions).toEqual([]);
    expect((await applySshdConfig(context, { start: true })).message).toMatch(
      /^sshd.service was started and/,
    );
    expect(actions).toEqual(['systemctl reset-failed sshd.service', 'systemctl restart sshd.service']);
  });

  it('signals an sshd that was started by hand beside a service that is stopped (W34)', async () => {
    units = { 'ssh.service': { ...SERVICE, ActiveState: 'inactive' } };
    put('/etc/init.d/ssh', '', 0o755);
    listen(100, [22], 1000);
    effects['sh -c kill -s HUP "$1" sh 100'] = () => listen(100, [22], 2000);
    expect((await applySshdConfig(context, { start: false })).message).toMatch(/^sshd was told to reload/);
  });

  const SOCKET: Unit = {
    LoadState: 'loaded',
    ActiveState: 'active',
    UnitFileState: 'enabled',
    Accept: 'no',
    Listen: '0.0.0.0:22 (Stream)\nListen=[::]:22 (Stream)',
  };

  it("needs nothing with a socket that starts an sshd for every connection, as Flatcar's (W34)", async () => {
    units = {
      'sshd.socket': { ...SOCKET, Accept: 'yes', Listen: '[::]:2022 (Stream)' },
      'sshd.service': { ...SERVICE, ActiveState: 'inactive' },
    };
    listen(1, [2022], 500);
    expect((await applySshdConfig(context, { start: true })).message).toBe(
      'sshd.socket starts an sshd for every connection and listens on port 2022',
    );
    expect(actions).toEqual([]);
    expect(await readSshdPorts(context)).toEqual([2022]);
    expect(await isSshdRunning(context)).toBe(true);
  });

  it("reloads the service that a socket has started, as Ubuntu's (W34)", async () => {
    put('/usr/lib/systemd/system-generators/sshd-socket-generator', '', 0o755);
    units = { 'ssh.socket': SOCKET, 'ssh.service': SERVICE };
    listen(1, [22], 500);
    expect((await applySshdConfig(context, { start: false })).message).toBe(
      'ssh.socket starts sshd and listens on port 22',
    );
    expect(actions).toEqual(['systemctl reload ssh.service']);
  });

  it('moves the socket of Ubuntu to another port (W34)', async () => {
    put('/usr/lib/systemd/system-generators/sshd-socket-generator', '', 0o755);
    units = { 'ssh.socket': { ...SOCKET, Listen: '[::]:2222 (Stream)' }, 'ssh.service': SERVICE };
    listen(1, [2222], 500);
    effects['systemctl restart ssh.socket'] = () => listen(1, [22], 600);
    await applySshdConfig(context, { start: false });
    expect(actions).toEqual([
      'systemctl daemon-reload',
      'systemctl stop ssh.service',
      'systemctl restart ssh.socket',
    ]);
  });

  it('leaves the ports of a socket alone that nothing makes from sshd_config (W34)', async () => {
    units = { 'sshd.socket': { ...SOCKET, Listen: '[::]:2222 (Stream)' } };
    listen(1, [2222], 500);
    await applySshdConfig(context, { start: false });
    expect([actions, await readSshdPorts(context)]).toEqual([[], [2222]]);
  });

  it('says that a socket does not listen (W30)', async () => {
    units = { 'sshd.socket': { ...SOCKET, ActiveState: 'failed' } };
    await expect(applySshdConfig(context, { start: true })).rejects.toMatchObject({
      code: 'SSHD_NOT_RUNNING',
    });
    expect(actions).toEqual(['systemctl restart sshd.socket']);
  });
});

describe('without systemd', () => {
  it('uses the init script by the name that it has, through service (W34)', async () => {
    put('/etc/init.d/sshd', '', 0o755);
    listen(100, [22], 1000);
    effects['service sshd reload'] = () => listen(100, [22], 2000);
    expect((await applySshdConfig(context, { start: false })).message).toBe(
      'sshd was reloaded and listens on port 22',
    );
    expect(actions).toEqual(['service sshd reload']);
  });

  it('uses rc-service where OpenRC runs (W34)', async () => {
    put('/etc/init.d/sshd', '', 0o755);
    mkdirSync(join(root, '/run/openrc'), { recursive: true });
    effects['rc-service sshd start'] = () => listen(101, [22], 2000);
    await applySshdConfig(context, { start: true });
    expect(actions).toEqual(['rc-service sshd start']);
  });

  it('signals an sshd that nothing else knows of (W34)', async () => {
    listen(100, [22], 1000);
    effects['sh -c kill -s HUP "$1" sh 100'] = () => listen(100, [22], 2000);
    expect((await applySshdConfig(context, { start: false })).message).toBe(
      'sshd was told to reload and listens on port 22',
    );
  });

  it('restarts by the script when neither reload nor signal has an effect (W30)', async () => {
    put('/etc/init.d/ssh', '', 0o755);
    listen(100, [22], 1000);
    effects['service ssh restart'] = () => {
      stop(100);
      return listen(101, [22], 2000);
    };
    await applySshdConfig(context, { start: false });
    expect(actions).toEqual(['service ssh reload', 'sh -c kill -s HUP "$1" sh 100', 'service ssh restart']);
  });

  it('believes ports that sshd was started with more than its configuration', async () => {
    listen(100, [2200], 1000, 'sshd: /usr/sbin/sshd -D -p 2200 [listener] 0 of 10-100 startups');
    effects['sh -c kill -s HUP "$1" sh 100'] = () => listen(100, [2200], 2000, '/usr/sbin/sshd -D -p 2200');
    expect((await applySshdConfig(context, { start: false })).message).toMatch(/port 2200$/);
  });

  it('does not take a session that forwards a port for sshd', async () => {
    listen(100, [6010], 1000, 'sshd: alice@pts/0');
    expect([await isSshdRunning(context), await readSshdPorts(context)]).toEqual([false, [22]]);
  });
});

it('refuses a VM without sshd, and one whose sshd reads another file', () => {
  requireSshd(context);
  listen(100, [22], 1000, '/usr/sbin/sshd -D -f /opt/sshd.conf');
  expect(() => requireSshd(context)).toThrow('sshd of this VM was started with -f /opt/sshd.conf');
  rmSync(join(root, '/usr/sbin/sshd'));
  expect(() => requireSshd(context)).toThrow('this VM has no SSH server');
});
