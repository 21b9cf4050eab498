/** Real VMs in folders of their own; what needs root is skipped with the reason in its title. */
import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive, nameProcess, processesWithEnvironment } from './linux-process.ts';
import {
  destroyMachine,
  type Machine,
  MachineError,
  type OpenMachine,
  openMachine,
  rebootMachine,
} from './machine.ts';
import { findState, readKeeper } from './machine-state.ts';

const deps = { uid: process.getuid?.() ?? -1, searchPath: process.env.PATH ?? '' };
const NOBODY = 65534;
const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
const PROGRAM = fileURLToPath(new URL('./fixtures/use-machine.ts', import.meta.url));
const READ = 'require("node:fs").readFileSync(process.argv[1])';
const noOverlay = await whyNoOverlay();
const kinds = [
  { kind: 'overlay', skip: noOverlay },
  { kind: 'relocated', skip: undefined },
] as const;

let base: string;
let opened: OpenMachine[];
let token: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'handlerkit-machine-'));
  opened = [];
  token = `HANDLERKIT_TEST=${randomUUID()}`;
});

afterEach(async () => {
  for (const machine of opened) await machine.close();
  for (const name of readdirSync(base)) {
    if (name.startsWith('vm')) await destroyMachine(join(base, name), deps);
  }
  rmSync(base, { recursive: true, force: true });
});

describe.each(kinds)('$kind', ({ kind, skip }) => {
  const test = it.skipIf(skip !== undefined);
  const because = skip === undefined ? '' : ` (skipped: ${skip})`;

  test.each([
    ['true', 0, 'success'],
    ['exit 3', 3, "the shell's own code"],
    ['/etc/passwd', 126, 'not executable'],
    ['ech hello', 127, 'not found'],
    ['kill -9 $$', 137, 'killed by signal 9'],
    ['kill -15 $$', 143, 'killed by signal 15'],
  ])(`answers %j with exit code %i (%s)${because}`, async (line, exitCode) => {
    const machine = await open({ kind });
    expect(await run(machine, line)).toMatchObject({ exitCode, timedOut: false });
  });

  test(`gives the command exactly the environment it was given${because}`, async () => {
    const machine = await open({ kind });
    await run(machine, 'cat /proc/$$/environ', { env: { A: 'one', PATH: '/usr/bin:/bin' } });
    const names = output().split('\0').filter(Boolean).sort();
    const own = names.filter((entry) => !entry.startsWith('HANDLERKIT_VM='));
    expect(own).toEqual(['A=one', 'PATH=/usr/bin:/bin', token].sort());
    expect(names.length - own.length).toBe(kind === 'relocated' ? 1 : 0);
  });

  test(`starts the shell as leader of a session and group, in the folder given, without input${because}`, async () => {
    const machine = await open({ kind });
    mkdirSync(machine.hostPath(machine.libFolder), { recursive: true });
    const line =
      'cat; set -- $(cat /proc/$$/stat); echo "$(($$ - $5)) $(($$ - $6)) $(pwd)"; echo warning >&2';
    expect(await run(machine, line, { cwd: machine.libFolder })).toMatchObject({ exitCode: 0 });
    expect(output()).toBe(`0 0 ${machine.libFolder}\n`);
    expect(readFileSync(join(base, 'stderr'), 'utf8')).toBe('warning\n');
  });

  test(`says why a command could not start${because}`, async () => {
    const machine = await open({ kind });
    const result = await run(machine, 'true', { cwd: join(machine.libFolder, 'missing') });
    expect(result).toMatchObject({ exitCode: null, timedOut: false });
    expect(result.launchError).toBeTruthy();
  });

  test(`ends the whole process group at the time limit, but not a child in a session of its own${because}`, async () => {
    const machine = await open({ kind });
    const file = join(machine.libFolder, 'pids');
    mkdirSync(machine.hostPath(machine.libFolder), { recursive: true });
    const line = `sleep 60 & echo $! >${file}; setsid sleep 60 & echo $! >>${file}; sleep 60`;
    const result = await run(machine, line, { timeoutMs: 500 });
    expect(result).toMatchObject({ exitCode: null, timedOut: true });
    expect(result.durationMs).toBeGreaterThanOrEqual(500);
    expect(result.durationMs).toBeLessThan(2500);
    const state = `case "$(cat /proc/$pid/stat 2>/dev/null)" in "" | *") Z "*) echo dead ;; *) echo alive ;; esac`;
    await run(machine, `while read -r pid; do ${state}; done <${file}`);
    expect(output()).toBe('dead\nalive\n');
    expect(await machine.isBusy()).toBe(true);
  });

  test(`ends the process group when the caller gives up${because}`, async () => {
    const machine = await open({ kind });
    const result = await run(machine, 'sleep 60', { signal: AbortSignal.timeout(200) });
    expect(result).toMatchObject({ exitCode: 137, timedOut: false });
    expect(await machine.isBusy()).toBe(false);
  });

  test(`is busy while a detached child lives, also after it was closed and opened again${because}`, async () => {
    const first = await open({ kind });
    mkdirSync(first.hostPath(first.libFolder), { recursive: true });
    const [go, done] = [join(first.libFolder, 'go'), join(first.libFolder, 'done')];
    const child = `until [ -e ${go} ]; do sleep 0.05; done; echo finished >${done}`;
    expect(await run(first, `setsid sh -c '${child}' >/dev/null 2>&1 &`)).toMatchObject({ exitCode: 0 });
    await first.close();
    const second = await open({ kind });
    expect(await second.isBusy()).toBe(true);
    writeFileSync(second.hostPath(go), '');
    await until(async () => !(await second.isBusy()));
    expect(readFileSync(second.hostPath(done), 'utf8')).toBe('finished\n');
  });

  test(`gives commands the umask of a service${because}`, async () => {
    const machine = await open({ kind });
    await run(machine, 'umask');
    expect(output()).toBe('0022\n');
  });

  test(`keeps the agent's files when it is closed and opened again${because}`, async () => {
    const first = await open({ kind });
    mkdirSync(first.hostPath(first.logFolder), { recursive: true });
    writeFileSync(first.hostPath(join(first.logFolder, 'x.log')), 'kept');
    await first.close();
    const second = await open({ kind });
    await run(second, `cat ${join(second.logFolder, 'x.log')}`);
    expect(output()).toBe('kept');
  });

  test(`keeps two VMs apart${because}`, async () => {
    const [a, b] = [await open({ kind, name: 'vm-a' }), await open({ kind, name: 'vm-b' })];
    for (const [machine, text] of [
      [a, 'of a'],
      [b, 'of b'],
    ] as const) {
      mkdirSync(machine.hostPath(machine.libFolder), { recursive: true });
      expect(await run(machine, `echo ${text} >${join(machine.libFolder, 'file')}`)).toMatchObject({
        exitCode: 0,
      });
    }
    expect(readFileSync(a.hostPath(join(a.libFolder, 'file')), 'utf8')).toBe('of a\n');
    expect(readFileSync(b.hostPath(join(b.libFolder, 'file')), 'utf8')).toBe('of b\n');
    await destroyMachine(join(base, 'vm-a'), deps);
    expect(await run(b, 'true')).toMatchObject({ exitCode: 0 });
  });

  test(`is made once when several tools open it at the same moment${because}`, async () => {
    const machines = await Promise.all([open({ kind }), open({ kind }), open({ kind })]);
    mkdirSync(machines[0].hostPath(machines[0].libFolder), { recursive: true });
    for (const machine of machines) await run(machine, `echo x >>${join(machine.libFolder, 'file')}`);
    expect(readFileSync(machines[0].hostPath(join(machines[0].libFolder, 'file')), 'utf8')).toBe('x\nx\nx\n');
  });

  test(`leaves no mount, process or file after destroy, also with a handler at work${because}`, async () => {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
    const machine = await open({ kind });
    await run(machine, 'setsid sleep 60 >/dev/null 2>&1 & sleep 60 & mkdir -p /tmp', { timeoutMs: 5000 });
    expect(await machine.isBusy()).toBe(true);
    const keeper = readKeeperOf('vm');
    await destroyMachine(join(base, 'vm'), deps);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(mounts);
    expect(processesWithEnvironment(token)).toEqual([]);
    expect(keeper === undefined || !isAlive(keeper)).toBe(true);
    expect(existsSync(join(base, 'vm'))).toBe(false);
  });

  test(`can be opened and destroyed after its tool was killed in the middle of a command${because}`, async () => {
    const tool = runUseMachine([join(base, 'vm'), kind, 'echo started; exec sleep 60']);
    await until(
      () => existsSync(join(base, 'vm/output')) && readFileSync(join(base, 'vm/output'), 'utf8') !== '',
    );
    tool.child.kill('SIGKILL');
    await tool.ended;
    const machine = await open({ kind });
    expect(await machine.isBusy()).toBe(true);
    expect(await run(machine, 'true')).toMatchObject({ exitCode: 0 });
    await machine.close();
    await destroyMachine(join(base, 'vm'), deps);
    expect(existsSync(join(base, 'vm'))).toBe(false);
  });
});

describe('overlay only', () => {
  const test = it.skipIf(noOverlay !== undefined);
  const because = noOverlay === undefined ? '' : ` (skipped: ${noOverlay})`;

  test(`keeps changes to /etc and deletions in the VM, over close and open${because}`, async () => {
    const name = `/etc/handlerkit-${randomUUID()}`;
    const first = await open({ kind: 'overlay' });
    await run(first, `echo changed >${name}; rm /etc/hostname; mv /etc/apt /etc/apt-moved`);
    await first.close();
    const second = await open({ kind: 'overlay' });
    await run(second, `cat ${name}; ls -d /etc/hostname /etc/apt /etc/apt-moved 2>/dev/null`);
    expect(output()).toBe(existsSync('/etc/apt') ? 'changed\n/etc/apt-moved\n' : 'changed\n');
    expect(existsSync(name)).toBe(false);
    expect(existsSync('/etc/hostname')).toBe(true);
  });

  test(`sleeps without a process once it is closed${because}`, async () => {
    const machine = await open({ kind: 'overlay' });
    const keeper = readKeeperOf('vm');
    expect(keeper !== undefined && isAlive(keeper)).toBe(true);
    await machine.close();
    expect(keeper !== undefined && isAlive(keeper)).toBe(false);
  });

  test(`falls asleep by itself when the last handler ends and no tool is there${because}`, async () => {
    const machine = await open({ kind: 'overlay' });
    await run(machine, 'setsid sleep 0.5 >/dev/null 2>&1 &');
    const keeper = readKeeperOf('vm');
    await machine.close();
    expect(keeper !== undefined && isAlive(keeper)).toBe(true);
    await until(() => keeper !== undefined && !isAlive(keeper));
  });

  test(`stays awake for a second tool when the first one closes it${because}`, async () => {
    const [first, second] = [await open({ kind: 'overlay' }), await open({ kind: 'overlay' })];
    await first.close();
    // Longer than the keeper needs to look around: nothing can be awaited, as nothing may happen.
    await delay(500);
    expect(await run(second, 'true')).toMatchObject({ exitCode: 0 });
  });

  test(`reaps orphans: twenty leave no zombie${because}`, async () => {
    const machine = await open({ kind: 'overlay' });
    await run(
      machine,
      'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (sleep 0.1 &) ; done',
    );
    await until(async () => !(await machine.isBusy()));
    await run(machine, 'cat /proc/[0-9]*/stat');
    expect(output().match(/^\d+ \(.*\) Z /gm)).toBeNull();
    expect(output().split('\n').length).toBeLessThan(8);
  });

  test(`survives a handler that kills every process it can${because}`, async () => {
    const machine = await open({ kind: 'overlay' });
    expect(await run(machine, 'kill -9 -1; true')).toMatchObject({ exitCode: 0 });
    await delay(300);
    expect(await run(machine, 'true')).toMatchObject({ exitCode: 0 });
  });

  test(`shows neither its own state nor the machine's disks, processes and sockets${because}`, async () => {
    const machine = await open({ kind: 'overlay' });
    await run(
      machine,
      `ls -A ${join(base, 'vm')}; find /dev -type b; find /run -type s; ls -d /proc/${process.pid}`,
    );
    expect(output()).toBe('');
  });

  test(`withholds the rights that reach past the namespaces${because}`, async () => {
    const machine = await open({ kind: 'overlay' });
    await run(machine, 'grep ^CapBnd /proc/self/status');
    const rights = BigInt(`0x${output().split(/\s+/)[1]}`);
    // Source: capabilities(7), linux/capability.h.
    const withheld = {
      net_admin: 12n,
      sys_module: 16n,
      sys_rawio: 17n,
      sys_time: 25n,
      mknod: 27n,
      syslog: 34n,
    };
    for (const [name, bit] of Object.entries(withheld))
      expect([name, (rights >> bit) & 1n]).toEqual([name, 0n]);
    expect(await run(machine, 'mknod /tmp/disk b 8 0 2>/dev/null')).toMatchObject({ exitCode: 1 });
  });

  test(`shows the kernel's settings, but none can be changed${because}`, async () => {
    const machine = await open({ kind: 'overlay' });
    // The same value: should the write succeed, nothing has happened.
    const line = 'read -r now </proc/sys/vm/swappiness && (echo "$now" >/proc/sys/vm/swappiness) 2>/dev/null';
    expect((await run(machine, line)).exitCode).not.toBe(0);
    await run(machine, 'cat /proc/sys/vm/swappiness');
    expect(output()).toBe(readFileSync('/proc/sys/vm/swappiness', 'utf8'));
  });

  test(`is not possible inside another VM: there agent folders are relocated, with the reason${because}`, async () => {
    const machine = await open({ kind: 'overlay' });
    const line = useMachineCommand(['/tmp/handlerkit-inner', 'auto', 'exit 4']).map(quote).join(' ');
    expect(await run(machine, line)).toMatchObject({ exitCode: 0 });
    const [about, result] = output().split('\n');
    expect(JSON.parse(about ?? '')).toMatchObject({
      kind: 'relocated',
      limits: expect.stringMatching(/An overlay is not possible: .*(overlay|mount)/),
    });
    expect(JSON.parse(result ?? '')).toMatchObject({ exitCode: 4 });
  });

  test(`keeps changes to other disks and to mounted files in the VM as well${because}`, async () => {
    for (const folder of ['disk', 'a,b']) mkdirSync(join(base, folder));
    for (const file of ['source', 'file']) writeFileSync(join(base, file), 'real\n');
    const mounts = 'mount -t tmpfs none disk && mount -t tmpfs none a,b && mount --bind source file';
    const line = `cd ${base}; echo new >disk/x; echo new >file; cat disk/x file; (echo new >a,b/x) 2>/dev/null`;
    // In a mount namespace of its own, so that nothing is mounted on this machine.
    const script = `cd "$0" && ${mounts} && "$@" >reports; ls disk a,b; cat file`;
    const command = useMachineCommand([join(base, 'vm'), 'overlay', line]);
    const args = ['--mount', '--propagation', 'private', '/bin/sh', '-c', script, base, ...command];
    const { stdout } = spawnSync('unshare', args, { encoding: 'utf8' });
    expect(readFileSync(join(base, 'vm/output'), 'utf8')).toBe('new\nnew\n');
    expect(stdout).toBe('a,b:\n\ndisk:\nreal\n');
    const [about] = readFileSync(join(base, 'reports'), 'utf8').split('\n');
    expect(JSON.parse(about ?? '').limits).toContain(`Read-only in the VM: ${base}/a,b.`);
  });

  test(`starts without the extensions of a machine that is an Azure VM itself${because}`, async () => {
    mkdirSync(join(base, 'lib/waagent/Contoso.Old-1.0'), { recursive: true });
    const command = useMachineCommand([
      join(base, 'vm'),
      'overlay',
      `ls -A ${LIB_FOLDER}; stat -c %a ${LIB_FOLDER}`,
    ]);
    const script = 'mount --bind "$0/lib" /var/lib && "$@"';
    spawnSync('unshare', ['--mount', '--propagation', 'private', '/bin/sh', '-c', script, base, ...command]);
    expect(readFileSync(join(base, 'vm/output'), 'utf8')).toBe('700\n');
    expect(readdirSync(join(base, 'lib/waagent'))).toEqual(['Contoso.Old-1.0']);
  });

  test(`gives way to relocated folders for a root without the right to mount, with the reason${because}`, async () => {
    const rights = ['setpriv', '--bounding-set=-sys_admin', '--'];
    const tool = runUseMachine([join(base, 'vm'), 'auto', 'exit 6'], { prefix: rights });
    await tool.ended;
    expect(tool.reports()).toEqual([
      expect.objectContaining({ kind: 'relocated', limits: expect.stringContaining('not permitted') }),
      expect.objectContaining({ exitCode: 6 }),
    ]);
  });

  test(`has a loopback of its own without the machine's network${because}`, async () => {
    const machine = await openMachine(
      { stateFolder: join(base, 'vm'), isolation: 'overlay', network: 'none' },
      deps,
    );
    opened.push(machine);
    await run(machine, 'ls /sys/class/net; cat /sys/class/net/lo/carrier');
    expect(output().split('\n').filter(Boolean)).toEqual(expect.arrayContaining(['lo', '1']));
    expect(output()).not.toContain('eth');
    await expect(open({ kind: 'overlay' })).rejects.toMatchObject({ code: 'vm-other-network' });
  });

  test(`follows links inside the VM and not to the machine${because}`, async () => {
    const machine = await open({ kind: 'overlay' });
    await run(machine, 'mkdir /tmp/inside && echo yes >/tmp/inside/file && ln -s /tmp/inside /tmp/link');
    expect(readFileSync(machine.hostPath('/tmp/link/file'), 'utf8')).toBe('yes\n');
    expect(existsSync('/tmp/link')).toBe(false);
  });

  test(`gets another boot id, an empty /run and no process from a reboot, and keeps its files${because}`, async () => {
    const first = await open({ kind: 'overlay' });
    expect(first.bootId).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    await run(first, 'echo 1 >/run/handler.pid; echo kept >/etc/kept; setsid sleep 60 >/dev/null 2>&1 &');
    await rebootMachine(join(base, 'vm'), deps);
    const second = await open({ kind: 'overlay' });
    expect(await second.isBusy()).toBe(false);
    await run(second, 'cat /proc/sys/kernel/random/boot_id /etc/kept; ls /run/handler.pid 2>/dev/null');
    expect(output()).toBe(`${second.bootId}\nkept\n`);
    expect(second.bootId).not.toBe(first.bootId);
    expect(processesWithEnvironment(token)).toEqual([]);
  });
});

describe('relocated only', () => {
  it("puts the agent's folders into the state folder and leaves other paths alone", async () => {
    const machine = await open({ kind: 'relocated' });
    const libFolder = join(base, 'vm/root', LIB_FOLDER);
    expect(machine.libFolder).toBe(libFolder);
    expect(machine.hostPath(libFolder)).toBe(libFolder);
    expect(machine.hostPath(`${LIB_FOLDER}/x`)).toBe(`${libFolder}/x`);
    expect(machine.hostPath(`${LIB_FOLDER}-other`)).toBe(`${LIB_FOLDER}-other`);
    expect(machine.hostPath('/etc/hostname')).toBe('/etc/hostname');
    expect(machine.limits).toContain('on this machine');
  });

  it('is what a user who is not root gets, with the reason', async () => {
    const machine = await openMachine(
      { stateFolder: join(base, 'vm'), isolation: 'auto' },
      { ...deps, uid: 1000 },
    );
    opened.push(machine);
    expect(machine.kind).toBe('relocated');
    expect(machine.limits).toContain('Only root');
  });

  it('is refused to a user who is not root and wants an overlay, and nothing is left', async () => {
    const opening = openMachine(
      { stateFolder: join(base, 'vm'), isolation: 'overlay' },
      { ...deps, uid: 1000 },
    );
    await expect(opening).rejects.toMatchObject({ code: 'vm-overlay-unavailable' });
    expect(existsSync(join(base, 'vm'))).toBe(false);
  });

  const noNobody = whyNoNobody();
  it.skipIf(noNobody !== undefined)(
    `runs handlers for an ordinary user${noNobody === undefined ? '' : ` (skipped: ${noNobody})`}`,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'handlerkit-nobody-'));
      chownSync(folder, NOBODY, NOBODY);
      try {
        const tool = runUseMachine([join(folder, 'vm'), 'auto', 'id -u; pwd; exit 5'], {
          prefix: AS_NOBODY,
          temporary: folder,
        });
        await tool.ended;
        expect(tool.reports()).toEqual([
          expect.objectContaining({ kind: 'relocated', limits: expect.stringContaining('Only root') }),
          expect.objectContaining({ exitCode: 5 }),
        ]);
        const lib = join(folder, 'vm/root', LIB_FOLDER);
        expect(readFileSync(join(folder, 'vm/output'), 'utf8')).toBe(`65534\n${lib}\n`);
        await destroyMachine(join(folder, 'vm'), deps);
        expect(readdirSync(folder).filter((name) => name.startsWith('vm'))).toEqual([]);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});

describe('the state folder', () => {
  it('is refused when it holds other things, and they stay', async () => {
    mkdirSync(join(base, 'project'));
    writeFileSync(join(base, 'project/precious'), 'x');
    const stateFolder = join(base, 'project');
    const refusal = { name: 'MachineError', code: 'vm-folder-not-ours' };
    await expect(openMachine({ stateFolder, isolation: 'relocated' }, deps)).rejects.toMatchObject(refusal);
    await expect(destroyMachine(stateFolder, deps)).rejects.toMatchObject(refusal);
    expect(readdirSync(stateFolder)).toEqual(['precious']);
  });

  it('keeps the kind that it was made with', async () => {
    await open({ kind: 'relocated' });
    const again = await openMachine({ stateFolder: join(base, 'vm'), isolation: 'auto' }, deps);
    expect(again.kind).toBe('relocated');
    const other = openMachine({ stateFolder: join(base, 'vm'), isolation: 'overlay' }, deps);
    await expect(other).rejects.toMatchObject({ code: 'vm-other-isolation' });
  });

  it('may be missing when a VM is destroyed', async () => {
    await expect(destroyMachine(join(base, 'vm-none'), deps)).resolves.toBeUndefined();
    expect(existsSync(join(base, 'vm-none'))).toBe(false);
  });
});

async function open({
  kind,
  name = 'vm',
}: {
  kind: 'overlay' | 'relocated';
  name?: string;
}): Promise<OpenMachine> {
  const machine = await openMachine({ stateFolder: join(base, name), isolation: kind }, deps);
  opened.push(machine);
  return machine;
}

interface RunChanges {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

function run(machine: Machine, line: string, { env, ...changes }: RunChanges = {}) {
  const [name = '', value = ''] = token.split('=');
  return machine.run(line, {
    cwd: '/',
    env: { ...(env ?? { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }), [name]: value },
    stdoutFile: join(base, 'stdout'),
    stderrFile: join(base, 'stderr'),
    timeoutMs: 20_000,
    ...changes,
  });
}

/** Starts a second tool process with the program of the fixture. */
function runUseMachine(
  args: readonly string[],
  options: { prefix?: readonly string[]; temporary?: string } = {},
) {
  const [command = '', ...rest] = [...(options.prefix ?? []), ...useMachineCommand(args)];
  const env = { PATH: process.env.PATH, TMPDIR: options.temporary ?? tmpdir() };
  const child = spawn(command, rest, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const reports = () =>
    text
      .split('\n')
      .filter(Boolean)
      .map((line): unknown => JSON.parse(line));
  return { child, ended: once(child, 'close'), reports };
}

function useMachineCommand(args: readonly string[]): string[] {
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return [process.execPath, '--conditions=@handlerkit/source', '--import', loader, PROGRAM, ...args];
}

/** Why no other user can run the fixture. */
function whyNoNobody(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can become another user';
  const [command = '', ...rest] = [...AS_NOBODY, process.execPath, '-e', READ, PROGRAM];
  const { status } = spawnSync(command, rest, { stdio: 'ignore' });
  return status === 0 ? undefined : 'the user nobody cannot read this folder or run this node';
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function output(): string {
  return readFileSync(join(base, 'stdout'), 'utf8');
}

function readKeeperOf(name: string) {
  const state = findState(join(base, name));
  const keeper = state && readKeeper(state);
  return keeper && nameProcess(keeper.pid);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const limit = performance.now() + 15_000;
  while (!(await condition())) {
    if (performance.now() > limit) throw new Error('The condition did not come true within 15 seconds.');
    await delay(10);
  }
}

async function whyNoOverlay(): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-probe-'));
  try {
    const machine = await openMachine({ stateFolder: join(folder, 'vm'), isolation: 'overlay' }, deps);
    await machine.close();
    await destroyMachine(join(folder, 'vm'), deps);
    return undefined;
  } catch (error) {
    if (!(error instanceof MachineError)) throw error;
    return error.message;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
