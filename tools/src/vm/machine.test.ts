/** Real VMs of both kinds in folders of their own; what needs root is skipped with the reason in its title. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deps, runUseMachine, until, useMachineRig } from './fixtures/machine-rig.ts';
import { VM_KINDS } from './fixtures/vm-kinds.ts';
import { isAlive, processesWithEnvironment } from './linux-process.ts';
import { destroyMachine, openMachine } from './machine.ts';

const rig = useMachineRig();

describe.each(VM_KINDS)('$kind', ({ kind, skip, because }) => {
  const test = it.skipIf(skip !== undefined);

  test.each([
    ['true', 0, 'success'],
    ['exit 3', 3, "the shell's own code"],
    ['/etc/passwd', 126, 'not executable'],
    ['ech hello', 127, 'not found'],
    ['kill -9 $$', 137, 'killed by signal 9'],
    ['kill -15 $$', 143, 'killed by signal 15'],
  ])(`answers %j with exit code %i (%s)${because}`, async (line, exitCode) => {
    const machine = await rig.open({ kind });
    expect(await rig.run(machine, line)).toMatchObject({ exitCode, timedOut: false });
  });

  test(`gives the command exactly the environment it was given${because}`, async () => {
    const machine = await rig.open({ kind });
    await rig.run(machine, 'cat /proc/$$/environ', { env: { A: 'one', PATH: '/usr/bin:/bin' } });
    const names = rig.output().split('\0').filter(Boolean).sort();
    const own = names.filter((entry) => !entry.startsWith('HANDLERKIT_VM='));
    expect(own).toEqual(['A=one', 'PATH=/usr/bin:/bin', rig.token].sort());
    expect(names.length - own.length).toBe(kind === 'relocated' ? 1 : 0);
  });

  test(`starts the shell as leader of a session and group, in the folder given, without input${because}`, async () => {
    const machine = await rig.open({ kind });
    mkdirSync(machine.hostPath(machine.libFolder), { recursive: true });
    const line =
      'cat; set -- $(cat /proc/$$/stat); echo "$(($$ - $5)) $(($$ - $6)) $(pwd)"; echo warning >&2';
    expect(await rig.run(machine, line, { cwd: machine.libFolder })).toMatchObject({ exitCode: 0 });
    expect(rig.output()).toBe(`0 0 ${machine.libFolder}\n`);
    expect(readFileSync(join(rig.base, 'stderr'), 'utf8')).toBe('warning\n');
  });

  test(`says why a command could not start${because}`, async () => {
    const machine = await rig.open({ kind });
    const result = await rig.run(machine, 'true', { cwd: join(machine.libFolder, 'missing') });
    expect(result).toMatchObject({ exitCode: null, timedOut: false });
    expect(result.launchError).toBeTruthy();
  });

  test(`ends the whole process group at the time limit, but not a child in a session of its own${because}`, async () => {
    const machine = await rig.open({ kind });
    const file = join(machine.libFolder, 'pids');
    mkdirSync(machine.hostPath(machine.libFolder), { recursive: true });
    const line = `sleep 60 & echo $! >${file}; setsid sleep 60 & echo $! >>${file}; sleep 60`;
    const result = await rig.run(machine, line, { timeoutMs: 2000 });
    expect(result).toMatchObject({ exitCode: null, timedOut: true });
    expect(result.durationMs).toBeGreaterThanOrEqual(2000);
    expect(result.durationMs).toBeLessThan(30_000);
    const state = `case "$(cat /proc/$pid/stat 2>/dev/null)" in "" | *") Z "*) echo dead ;; *) echo alive ;; esac`;
    await rig.run(machine, `while read -r pid; do ${state}; done <${file}`);
    expect(rig.output()).toBe('dead\nalive\n');
    expect(await machine.isBusy()).toBe(true);
  });

  test(`ends the process group when the caller gives up${because}`, async () => {
    const machine = await rig.open({ kind });
    const result = await rig.run(machine, 'sleep 60', { signal: AbortSignal.timeout(200) });
    expect(result).toMatchObject({ exitCode: 137, timedOut: false });
    expect(await machine.isBusy()).toBe(false);
  });

  test(`is busy while a detached child lives, also after it was closed and opened again${because}`, async () => {
    const first = await rig.open({ kind });
    mkdirSync(first.hostPath(first.libFolder), { recursive: true });
    const [go, done] = [join(first.libFolder, 'go'), join(first.libFolder, 'done')];
    const child = `until [ -e ${go} ]; do sleep 0.05; done; echo finished >${done}`;
    expect(await rig.run(first, `setsid sh -c '${child}' >/dev/null 2>&1 &`)).toMatchObject({ exitCode: 0 });
    await first.close();
    const second = await rig.open({ kind });
    expect(await second.isBusy()).toBe(true);
    writeFileSync(second.hostPath(go), '');
    await until(async () => !(await second.isBusy()));
    expect(readFileSync(second.hostPath(done), 'utf8')).toBe('finished\n');
  });

  test(`gives commands the umask of a service${because}`, async () => {
    const machine = await rig.open({ kind });
    await rig.run(machine, 'umask');
    expect(rig.output()).toBe('0022\n');
  });

  test(`keeps the agent's files when it is closed and opened again${because}`, async () => {
    const first = await rig.open({ kind });
    mkdirSync(first.hostPath(first.logFolder), { recursive: true });
    writeFileSync(first.hostPath(join(first.logFolder, 'x.log')), 'kept');
    await first.close();
    const second = await rig.open({ kind });
    await rig.run(second, `cat ${join(second.logFolder, 'x.log')}`);
    expect(rig.output()).toBe('kept');
  });

  test(`keeps two VMs apart${because}`, async () => {
    const [a, b] = [await rig.open({ kind, name: 'vm-a' }), await rig.open({ kind, name: 'vm-b' })];
    for (const [machine, text] of [
      [a, 'of a'],
      [b, 'of b'],
    ] as const) {
      mkdirSync(machine.hostPath(machine.libFolder), { recursive: true });
      expect(await rig.run(machine, `echo ${text} >${join(machine.libFolder, 'file')}`)).toMatchObject({
        exitCode: 0,
      });
    }
    expect(readFileSync(a.hostPath(join(a.libFolder, 'file')), 'utf8')).toBe('of a\n');
    expect(readFileSync(b.hostPath(join(b.libFolder, 'file')), 'utf8')).toBe('of b\n');
    await destroyMachine(join(rig.base, 'vm-a'), deps);
    expect(await rig.run(b, 'true')).toMatchObject({ exitCode: 0 });
  });

  test(`is made once when several tools open it at the same moment${because}`, async () => {
    const machines = await Promise.all([rig.open({ kind }), rig.open({ kind }), rig.open({ kind })]);
    mkdirSync(machines[0].hostPath(machines[0].libFolder), { recursive: true });
    for (const machine of machines) await rig.run(machine, `echo x >>${join(machine.libFolder, 'file')}`);
    expect(readFileSync(machines[0].hostPath(join(machines[0].libFolder, 'file')), 'utf8')).toBe('x\nx\nx\n');
  });

  test(`leaves no mount, process or file after destroy, also with a handler at work${because}`, async () => {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
    const machine = await rig.open({ kind });
    await rig.run(machine, 'setsid sleep 60 >/dev/null 2>&1 & sleep 60 & mkdir -p /tmp', { timeoutMs: 5000 });
    expect(await machine.isBusy()).toBe(true);
    const keeper = rig.keeper();
    await destroyMachine(join(rig.base, 'vm'), deps);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(mounts);
    expect(processesWithEnvironment(rig.token)).toEqual([]);
    expect(keeper === undefined || !isAlive(keeper)).toBe(true);
    expect(existsSync(join(rig.base, 'vm'))).toBe(false);
  });

  test(`can be opened and destroyed after its tool was killed in the middle of a command${because}`, async () => {
    const tool = runUseMachine([join(rig.base, 'vm'), kind, 'echo started; exec sleep 60']);
    await until(
      () =>
        existsSync(join(rig.base, 'vm/output')) && readFileSync(join(rig.base, 'vm/output'), 'utf8') !== '',
    );
    tool.child.kill('SIGKILL');
    await tool.ended;
    const machine = await rig.open({ kind });
    expect(await machine.isBusy()).toBe(true);
    expect(await rig.run(machine, 'true')).toMatchObject({ exitCode: 0 });
    await machine.close();
    await destroyMachine(join(rig.base, 'vm'), deps);
    expect(existsSync(join(rig.base, 'vm'))).toBe(false);
  });
});

describe('the state folder', () => {
  it('is refused when it holds other things, and they stay', async () => {
    mkdirSync(join(rig.base, 'project'));
    writeFileSync(join(rig.base, 'project/precious'), 'x');
    const stateFolder = join(rig.base, 'project');
    const refusal = { name: 'MachineError', code: 'vm-folder-not-ours' };
    await expect(openMachine({ stateFolder, isolation: 'relocated' }, deps)).rejects.toMatchObject(refusal);
    await expect(destroyMachine(stateFolder, deps)).rejects.toMatchObject(refusal);
    expect(readdirSync(stateFolder)).toEqual(['precious']);
  });

  it.each([['{'], ['{"format":"handlerkit-vm/2"}']])(
    'is named, and stays, when its mark is %j',
    async (mark) => {
      await (await rig.open({ kind: 'relocated' })).close();
      const stateFolder = join(rig.base, 'vm');
      const file = join(stateFolder, 'vm.json');
      const sound = readFileSync(file, 'utf8');
      writeFileSync(file, mark);
      const refusal = { code: 'vm-folder-damaged', message: expect.stringContaining(`${file} is damaged`) };
      await expect(openMachine({ stateFolder, isolation: 'auto' }, deps)).rejects.toMatchObject(refusal);
      const destroying = destroyMachine(stateFolder, deps);
      const hint = expect.stringContaining(`by hand: rm -r ${stateFolder}`);
      await expect(destroying).rejects.toMatchObject({ hint });
      expect(readFileSync(file, 'utf8')).toBe(mark);
      writeFileSync(file, sound);
    },
  );

  it('is not made where no folder can be', async () => {
    const options = { stateFolder: '/proc/handlerkit/vm', isolation: 'auto' } as const;
    await expect(openMachine(options, deps)).rejects.toMatchObject({ code: 'FOLDER_NOT_MADE' });
  });

  it('keeps the kind that it was made with', async () => {
    await rig.open({ kind: 'relocated' });
    const again = await openMachine({ stateFolder: join(rig.base, 'vm'), isolation: 'auto' }, deps);
    expect(again.kind).toBe('relocated');
    const other = openMachine({ stateFolder: join(rig.base, 'vm'), isolation: 'overlay' }, deps);
    await expect(other).rejects.toMatchObject({ code: 'vm-other-isolation' });
    const withAgent = openMachine(
      { stateFolder: join(rig.base, 'vm'), isolation: 'auto', agent: 'waagent' },
      deps,
    );
    await expect(withAgent).rejects.toMatchObject({
      code: 'vm-other-agent',
      hint: `Reset it: handlerkit vm reset --vm ${join(rig.base, 'vm')}. Or name another folder: --vm DIR`,
    });
  });

  it('may be missing when a VM is destroyed', async () => {
    await expect(destroyMachine(join(rig.base, 'vm-none'), deps)).resolves.toBeUndefined();
    expect(existsSync(join(rig.base, 'vm-none'))).toBe(false);
  });
});
