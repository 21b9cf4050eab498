/** Several configurations of one extension, side by side. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProcessMachine } from './fixtures/process-machine.ts';
import { buildProgram, createProcessMachine, until } from './fixtures/process-machine.ts';
import type { UpdateContext } from './handler.ts';
import { defineHandler } from './handler.ts';
import { createHost } from './host.ts';
import { journalPath } from './journal.ts';
import { identifyProcess } from './process-identity.ts';
import type { TestMachine } from './testing/index.ts';
import { createTestMachine } from './testing/index.ts';

describe('several configurations', () => {
  let machine: TestMachine;
  let runs: string[];
  beforeEach(() => {
    machine = createTestMachine({
      extension: {
        publisher: 'Contoso.Samples',
        type: 'Greeter',
        version: '1.0.0',
        manifest: { supportsMultipleExtensions: true },
      },
    });
    runs = [];
  });
  afterEach(() => machine.remove());

  const counting = defineHandler({
    enable: async ({ extensionName, sequence, settings }) => {
      runs.push(`${extensionName} ${sequence}`);
      return { message: String(settings.public.text ?? 'done') };
    },
  });
  const enable = (extensionName: string, sequence: number, text = 'done') =>
    machine.enable(counting, { public: { text } }, { extensionName, sequence });
  const inFolder = (...names: string[]): string => machine.path(join(machine.handlerFolder(), ...names));

  /** What the agent deletes after `disable` of a configuration that was removed. */
  function removeAsAgent(extensionName: string): void {
    for (const folder of ['config', 'status'])
      for (const name of readdirSync(inFolder(folder)))
        if (name.startsWith(`${extensionName}.`)) rmSync(inFolder(folder, name));
  }

  it('have settings, status, sequence number and journal of their own', async () => {
    expect((await enable('web', 3, 'of web')).status?.message).toBe('Enable succeeded: of web');
    expect((await enable('db', 0, 'of db')).status?.message).toBe('Enable succeeded: of db');
    await enable('web', 3);
    expect(runs).toEqual(['web 3', 'db 0']);
    expect([machine.readSequence(undefined, 'web'), machine.readSequence(undefined, 'db')]).toEqual([
      '3',
      '0',
    ]);
    expect(machine.readSequence()).toBeUndefined();
    expect(existsSync(journalPath(inFolder(), 'web'))).toBe(true);
    expect(machine.readStatus(3, undefined, 'web')?.message).toBe('Enable succeeded: of web');
  });

  it('do not empty each other’s older settings', async () => {
    await enable('web', 0);
    await enable('db', 5);
    await enable('web', 1);
    expect(machine.readText(join(machine.handlerFolder(), 'config', 'web.0.settings'))).toBe('');
    expect(machine.readText(join(machine.handlerFolder(), 'config', 'db.5.settings'))).not.toBe('');
  });

  it.each(['../up', 'a/b'])('are refused by a name that is a path: %s', async (extensionName) => {
    const { exitCode, stderr } = await machine.run(counting, 'enable', { extensionName });
    expect(exitCode).toBe(53);
    expect(stderr).toContain('ConfigExtensionName must not contain "/"');
    expect(runs).toEqual([]);
  });

  describe('after a disable', () => {
    it('run again from any number when they were removed and made anew', async () => {
      await enable('web', 5);
      await machine.run(counting, 'disable', { extensionName: 'web', sequence: 6 });
      removeAsAgent('web');
      expect((await enable('web', 0)).status?.message).toBe('Enable succeeded: done');
      await machine.run(counting, 'disable', { extensionName: 'web', sequence: 1 });
      removeAsAgent('web');
      await enable('web', 0);
      expect(runs).toEqual(['web 5', 'web 0', 'web 0']);
    });

    it('run again also when a placeholder was written before', async () => {
      await enable('web', 5);
      await machine.run(counting, 'disable', { extensionName: 'web', sequence: 5 });
      removeAsAgent('web');
      writeFileSync(
        inFolder('status', 'web.5.status'),
        '[{"status":{"status":"transitioning","formattedMessage":{"lang":"en","message":"Enable in progress"}}}]',
      );
      await enable('web', 5);
      expect(runs).toEqual(['web 5', 'web 5']);
    });

    it('do not run again when the agent has deleted nothing', async () => {
      await enable('web', 5);
      await machine.run(counting, 'disable', { extensionName: 'web', sequence: 5 });
      await enable('web', 5);
      // From here on a status that is missing was lost: it was no removal.
      rmSync(inFolder('status', 'web.5.status'));
      expect((await enable('web', 5)).status?.message).toBe('Enable succeeded: done');
      expect(runs).toEqual(['web 5']);
    });

    it('leave the others alone', async () => {
      await enable('web', 5);
      await enable('db', 1);
      await machine.run(counting, 'disable', { extensionName: 'web', sequence: 6 });
      removeAsAgent('web');
      await enable('db', 1);
      expect(machine.readStatus(1, undefined, 'db')?.status).toBe('success');
      expect(runs).toEqual(['web 5', 'db 1']);
    });

    it('leave no state behind once another one is disabled', async () => {
      await enable('web', 5);
      await enable('db', 1);
      await machine.run(counting, 'disable', { extensionName: 'web', sequence: 6 });
      removeAsAgent('web');
      await machine.run(counting, 'disable', { extensionName: 'db', sequence: 1 });
      expect(readdirSync(inFolder()).filter((name) => name.startsWith('web.'))).toEqual([]);
      expect(machine.readSequence(undefined, 'db')).toBe('1');
    });

    it('run again without a note of it, too, when settings and statuses of the number are gone', async () => {
      await enable('web', 5);
      rmSync(journalPath(inFolder(), 'web'));
      removeAsAgent('web');
      await enable('web', 0);
      expect(runs).toEqual(['web 5', 'web 0']);
    });
  });

  describe('in an update', () => {
    const env = { VERSION: '2.0.0', AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' };

    /** Disable, and what the agent copies by itself. */
    async function leaveOldVersion(...names: readonly string[]): Promise<void> {
      machine.addVersion('2.0.0');
      for (const extensionName of names)
        await machine.run(counting, 'disable', { extensionName, sequence: 1 });
      for (const name of readdirSync(inFolder('status'))) {
        const text = machine.readText(join(machine.handlerFolder(), 'status', name)) ?? '';
        writeFileSync(machine.path(join(machine.handlerFolder('2.0.0'), 'status', name)), text);
      }
    }

    it('are carried over and do not run again, also when their result is lost afterwards', async () => {
      await enable('web', 1);
      await enable('db', 1);
      await leaveOldVersion('web', 'db');
      const codes =
        '[{"extensionName": "web", "exitCode": "0"}, {"extensionName": "db", "exitCode": "None"}]';
      let context: UpdateContext | undefined;
      const update = defineHandler({
        ...counting,
        update: async (given) => {
          context = given;
        },
      });
      const options = { version: '2.0.0', extensionName: 'web', sequence: 1 };
      const more = { ...env, AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODES_MULTIPLE_EXTENSIONS: codes };
      expect((await machine.run(update, 'update', { ...options, env: more })).exitCode).toBe(0);
      expect(context?.disableExitCodes).toEqual({ web: 0, db: 'not-run' });
      rmSync(machine.path(join(machine.handlerFolder('2.0.0'), 'status', 'db.1.status')));
      for (const extensionName of ['web', 'db']) {
        const { status } = await machine.run(counting, 'enable', { ...options, extensionName });
        expect(status?.message).toBe('Enable succeeded: done');
      }
      expect(runs).toEqual(['web 1', 'db 1']);
    });

    it('fail it when their state cannot be carried over, and the old version keeps it', async () => {
      await enable('web', 1);
      await leaveOldVersion('web');
      const target = machine.path(join(machine.handlerFolder('2.0.0'), 'web.mrseq'));
      mkdirSync(join(target, 'in the way'), { recursive: true });
      const options = { version: '2.0.0', extensionName: 'web', sequence: 1, env };
      const { exitCode, stderr } = await machine.run(counting, 'update', options);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/^Update failed: .*web\.mrseq/);
      await enable('web', 1);
      expect(runs).toEqual(['web 1']);
    });

    it('that were removed before are not carried over', async () => {
      await enable('web', 5);
      await enable('db', 1);
      await machine.run(counting, 'disable', { extensionName: 'web', sequence: 6 });
      removeAsAgent('web');
      await leaveOldVersion('db');
      await machine.run(counting, 'update', { version: '2.0.0', extensionName: 'db', sequence: 1, env });
      expect(machine.readSequence('2.0.0', 'web')).toBeUndefined();
      expect(machine.readSequence('2.0.0', 'db')).toBe('1');
    });
  });
});

describe('as processes', () => {
  let programs: string;
  let program: string;
  let machine: ProcessMachine;
  const host = createHost();
  beforeAll(async () => {
    programs = await mkdtemp(join(tmpdir(), 'handlerkit-configurations-'));
    program = buildProgram(programs);
  });
  afterAll(() => rm(programs, { recursive: true, force: true }));
  beforeEach(() => {
    machine = createProcessMachine(program);
    machine.addVersion('1.0.0', { detached: true }, { supportsMultipleExtensions: true });
  });
  afterEach(() => machine.remove());

  const worker = (name: string, version?: string): number => machine.journal(version, name)?.process.pid ?? 0;
  const isAlive = (name: string, version?: string): boolean =>
    identifyProcess(host, worker(name, version)) !== undefined;

  async function startTwo(): Promise<Readonly<Record<'web' | 'db', string>>> {
    const gates = {
      web: machine.writeSettings(0, 'wait', undefined, 'web'),
      db: machine.writeSettings(0, 'wait', undefined, 'db'),
    };
    for (const extensionName of ['web', 'db'])
      await machine.run('enable', { words: ['--detach'], extensionName });
    await until(() => machine.marks().length === 2);
    return gates;
  }

  it('work side by side; the removal of one ends only its run', async () => {
    const gates = await startTwo();
    expect([isAlive('web'), isAlive('db')]).toEqual([true, true]);
    expect((await machine.run('disable', { extensionName: 'web', sequence: 1 })).exitCode).toBe(0);
    expect([isAlive('web'), isAlive('db')]).toEqual([false, true]);
    expect(machine.status(0, undefined, 'web')?.message).toBe(
      'Enable failed: the extension was disabled while this run was working',
    );
    writeFileSync(gates.db, '');
    await until(() => machine.status(0, undefined, 'db')?.status === 'success');
  });

  it('go on through an update, and the new version gets their results', async () => {
    const gates = await startTwo();
    machine.addVersion('2.0.0', { detached: true }, { supportsMultipleExtensions: true });
    machine.writeSettings(0, 'wait', '2.0.0', 'web');
    for (const extensionName of ['web', 'db']) await machine.run('disable', { extensionName });
    expect([isAlive('web'), isAlive('db')]).toEqual([true, true]);
    const env = { VERSION: '2.0.0', AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' };
    await machine.run('update', { version: '2.0.0', extensionName: 'web', env });
    await machine.run('uninstall', { extensionName: 'web' });
    expect([isAlive('web', '2.0.0'), isAlive('db', '2.0.0')]).toEqual([true, true]);
    for (const name of ['web', 'db'] as const) {
      writeFileSync(gates[name], '');
      await until(() => machine.status(0, '2.0.0', name)?.status === 'success');
    }
    expect(machine.marks()).toEqual(expect.arrayContaining(['web0', 'db0']));
    expect(machine.marks()).toHaveLength(2);
  });

  it('all end with the extension', async () => {
    await startTwo();
    const pids = [worker('web'), worker('db')];
    expect((await machine.run('uninstall', { extensionName: 'db' })).exitCode).toBe(0);
    expect(pids.map((pid) => identifyProcess(host, pid))).toEqual([undefined, undefined]);
  });
});
