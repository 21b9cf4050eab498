/**
 * Which enable runs, how often, and how it ends when it is disturbed: a packed handler in real processes, with what no
 * agent brings about by itself. Which fact of the contract each test proves stands in `README.md`.
 */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  AGENT_VARIABLES,
  DISABLE_NOT_RUN,
  EXIT_CODES,
  formatSequenceFile,
  HANDLER_ENVIRONMENT_FILE,
  NOT_RUN,
  STATUS_FOLDER,
} from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import { NO_OVERLAY } from '../local-vm.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

describe('enable of a packed handler', () => {
  let unpacked: UnpackedPackage;
  let handler: LaidOutHandler;
  beforeAll(() => {
    unpacked = unpackPackage(inject('probeZip'));
  });
  afterAll(() => unpacked.remove());
  beforeEach(() => {
    handler = layOutHandler(unpacked);
  });
  afterEach(() => handler.remove());

  const runs = (): number => handler.trace().length;
  const gate = (): string => join(handler.libFolder, 'go');
  const open = (): void => writeFileSync(gate(), '');
  const storedSequence = (): string =>
    readFileSync(join(handler.folder(), formatSequenceFile()), 'utf8').trim();
  /** An enable that has come so far that its child runs; the child's pid. */
  const startWithChild = async (sequence: number, script = 'exec sleep 600') => {
    const pidFile = join(handler.libFolder, `child-${sequence}`);
    handler.writeSettings(sequence, {
      public: {
        steps: [{ do: 'exec', argv: ['/bin/sh', '-c', `echo begun; echo $$ >${pidFile}; ${script}`] }],
      },
    });
    const operation = handler.start('enable', { sequence });
    const child = await until('the child of enable', () => {
      const text = existsSync(pidFile) ? readFileSync(pidFile, 'utf8') : '';
      return text.endsWith('\n') ? Number(text) : undefined;
    });
    // A child is written down when it has started; one of a worker that dies in the moment between is not known.
    await until('the note of the child', () =>
      readdirSync(handler.folder())
        .filter((name) => name.endsWith('journal.json'))
        .some((name) => readFileSync(join(handler.folder(), name), 'utf8').includes(`"pid": ${child},`)),
    );
    return { operation, child };
  };
  const worker = (): number => handler.trace().at(-1)?.pid ?? 0;
  const isAlive = (pid: number): boolean => handler.processes().includes(pid);

  describe('runs a sequence once', () => {
    it('takes 0 for a number like any other: it runs, and not again', async () => {
      const first = await handler.enable(0, { public: { steps: [{ do: 'end', message: 'done' }] } });
      expect(first).toMatchObject({
        exitCode: 0,
        status: { status: 'success', message: 'Enable succeeded: done' },
      });
      expect(storedSequence()).toBe('0');
      const text = readFileSync(handler.statusFile(0), 'utf8');
      expect((await handler.run('enable', { sequence: 0 })).exitCode).toBe(0);
      expect(runs()).toBe(1);
      expect(readFileSync(handler.statusFile(0), 'utf8')).toBe(text);
    });

    it('keeps the status of a sequence that failed when it is enabled again, and exits 0', async () => {
      const first = await handler.enable(4, { public: { steps: [{ do: 'throw', message: 'no luck' }] } });
      expect(first).toMatchObject({
        exitCode: 1,
        status: { status: 'error', message: 'Enable failed: no luck' },
      });
      expect((await handler.run('enable', { sequence: 4 })).exitCode).toBe(0);
      expect(handler.readStatus(4)).toEqual(first.status);
      expect(runs()).toBe(1);
    });

    it('writes a finished status again that was lost', async () => {
      const { status } = await handler.enable(1, { public: { steps: [{ do: 'end', message: 'kept' }] } });
      rmSync(handler.statusFile(1));
      expect((await handler.run('enable', { sequence: 1 })).exitCode).toBe(0);
      expect(handler.readStatus(1)).toEqual(status);
      expect(runs()).toBe(1);
    });

    it('bears white space around the stored number', async () => {
      writeFileSync(join(handler.folder(), formatSequenceFile()), ' 7\n');
      handler.writeSettings(7, { public: {} });
      handler.writeSettings(8, { public: {} });
      await handler.run('enable', { sequence: 7 });
      expect(runs()).toBe(0);
      await handler.run('enable', { sequence: 8 });
      expect(runs()).toBe(1);
    });

    it('says of a number older than the stored one that it is too late, and exits 0', async () => {
      await handler.enable(5, { public: {} });
      const late = await handler.enable(3, { public: {} });
      expect(late).toMatchObject({ exitCode: 0, status: { status: 'error' } });
      expect(late.status.message).toContain('sequence 3 is older than 5');
      expect(runs()).toBe(1);
    });

    it('runs one of fifty enables at once, and the others exit 0', async () => {
      handler.writeSettings(2, { public: { steps: [{ do: 'wait-for-file', path: gate() }] } });
      const all = Array.from({ length: 50 }, () => handler.start('enable', { sequence: 2 }));
      let ended = 0;
      for (const one of all) one.ended.then(() => ended++);
      await until('all but the one that works', () => ended === all.length - 1);
      open();
      const results = await Promise.all(all.map((one) => one.ended));
      expect(results.filter(({ exitCode }) => exitCode !== 0)).toEqual([]);
      expect(runs()).toBe(1);
      expect(handler.readStatus(2)?.status).toBe('success');
    });

    it('leaves a run alone that the agent asks for again while it works', async () => {
      handler.writeSettings(0, {
        public: {
          steps: [
            { do: 'report', message: 'halfway' },
            { do: 'wait-for-file', path: gate() },
          ],
        },
      });
      const first = handler.start('enable');
      await until('the progress', () => handler.readStatus(0)?.message === 'Enable in progress: halfway');
      expect((await handler.run('enable')).exitCode).toBe(0);
      expect(handler.readStatus(0)?.message).toBe('Enable in progress: halfway');
      open();
      expect((await first.ended).exitCode).toBe(0);
      expect(handler.readStatus(0)?.status).toBe('success');
      expect(runs()).toBe(1);
    });
  });

  describe('finds the sequence', () => {
    const noNumber = { env: { [AGENT_VARIABLES.sequenceNumber]: undefined } };
    const touch = (sequence: number, seconds: number): void =>
      utimesSync(handler.settingsFile(sequence), seconds, seconds);

    it('in the settings file that was written last when the agent does not say it', async () => {
      for (const sequence of [9, 10, 2])
        handler.writeSettings(sequence, { public: { greeting: `${sequence}` } });
      touch(9, 1_000);
      touch(10, 3_000);
      touch(2, 2_000);
      await handler.run('enable', noNumber);
      expect(handler.trace().map(({ sequence, greeting }) => [sequence, greeting])).toEqual([[10, '10']]);
    });

    it('at the higher number of two files of one moment', async () => {
      for (const sequence of [9, 10]) {
        handler.writeSettings(sequence, { public: {} });
        touch(sequence, 1_000);
      }
      await handler.run('enable', noNumber);
      expect(handler.trace().map(({ sequence }) => sequence)).toEqual([10]);
    });

    it("in the agent's variable rather than in a newer file", async () => {
      handler.writeSettings(1, { public: { greeting: 'one' } });
      handler.writeSettings(2, { public: { greeting: 'two' } });
      await handler.run('enable', { sequence: 1 });
      expect(handler.trace().map(({ greeting }) => greeting)).toEqual(['one']);
    });

    it('nowhere: then it fails with 53 and says what to do', async () => {
      const { exitCode, stderr } = await handler.run('enable', noNumber);
      expect(exitCode).toBe(EXIT_CODES.configurationError);
      expect(stderr).toMatch(/^Enable failed: SEQUENCE_UNKNOWN: .*apply the settings again\n$/);
    });

    it('not in a variable that is no number: then it fails with 53', async () => {
      const { exitCode, stderr } = await handler.run('enable', {
        env: { [AGENT_VARIABLES.sequenceNumber]: '1e3' },
      });
      expect(exitCode).toBe(EXIT_CODES.configurationError);
      expect(stderr).toContain('must be a whole number');
      expect(runs()).toBe(0);
    });
  });

  describe('finds its environment', () => {
    const file = (): string => join(handler.folder(), HANDLER_ENVIRONMENT_FILE);

    it('beside the program when the agent does not name the folder', async () => {
      handler.writeSettings(0, { public: {} });
      const { exitCode } = await handler.run('enable', {
        env: { [AGENT_VARIABLES.extensionPath]: undefined },
      });
      expect(exitCode).toBe(0);
      expect(handler.trace()).toMatchObject([{ handlerFolder: handler.folder(), version: '1.0.0' }]);
    });

    it('again when the agent is just rewriting the file', async () => {
      handler.writeSettings(0, { public: {} });
      const whole = readFileSync(file(), 'utf8');
      writeFileSync(file(), whole.slice(0, whole.length / 2));
      const operation = handler.start('enable');
      // The handler reads its file within its first moments; whatever it has seen by now, the second half comes late.
      await until('the handler to run', () => handler.processes().length > 0);
      appendFileSync(file(), whole.slice(whole.length / 2));
      expect((await operation.ended).exitCode).toBe(0);
      expect(handler.readStatus(0)?.status).toBe('success');
    });

    it.each([
      ['cut off', '[{"name": "x", "handlerEnv'],
      ['empty', ''],
      ['an array of two', '[{},{}]'],
      ['an object', '{"handlerEnvironment": {}}'],
      ['without folders', '[{"handlerEnvironment": {}}]'],
    ])(
      'not at all: a file that is %s is an error with 53, named on stderr and in the status',
      async (_, text) => {
        handler.writeSettings(0, { public: {} });
        writeFileSync(file(), text);
        const { exitCode, stderr } = await handler.run('enable');
        expect(exitCode).toBe(EXIT_CODES.configurationError);
        expect(stderr).toMatch(/^Enable failed: ENVIRONMENT_INVALID: /);
        expect(stderr).toContain(file());
        expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: -10 });
        expect(runs()).toBe(0);
      },
    );
  });

  describe('ends in order', () => {
    it('by SIGTERM: the child ends, the status says so with the output so far, and the exit code is not 0', async () => {
      const { operation, child } = await startWithChild(0);
      process.kill(worker(), 'SIGTERM');
      const { exitCode, stderr } = await operation.ended;
      expect(exitCode).toBe(1);
      expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: 3 });
      expect(handler.readStatus(0)?.message).toBe(
        'Enable failed: the run was ended by SIGTERM before it finished\n[stdout]\nbegun\n\n[stderr]\n',
      );
      expect(stderr).toContain('Enable failed: INTERRUPTED: the run was ended by SIGTERM');
      expect(isAlive(child)).toBe(false);
    });

    it('by SIGTERM with the result of work that was finished all the same', async () => {
      handler.writeSettings(0, { public: { steps: [{ do: 'wait-for-abort', finish: true }] } });
      const operation = handler.start('enable');
      await until('the run', () => runs() === 1);
      process.kill(worker(), 'SIGTERM');
      expect((await operation.ended).exitCode).toBe(0);
      expect(handler.readStatus(0)?.message).toBe('Enable succeeded: finished all the same');
    });

    it('by a newer sequence, which then runs', async () => {
      const { operation, child } = await startWithChild(0);
      const newer = await handler.enable(1, { public: { steps: [{ do: 'end', message: 'second' }] } });
      expect(newer).toMatchObject({ exitCode: 0, status: { message: 'Enable succeeded: second' } });
      expect((await operation.ended).exitCode).toBe(1);
      expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: 5 });
      expect(handler.readStatus(0)?.message).toContain('newer settings arrived');
      expect(isAlive(child)).toBe(false);
      expect(storedSequence()).toBe('1');
    });

    it('by an error that nobody caught, as an error of the code', async () => {
      const { exitCode, status } = await handler.enable(0, {
        public: { steps: [{ do: 'stray', message: 'out of nowhere' }] },
      });
      expect(exitCode).toBe(1);
      expect(status).toMatchObject({ status: 'error', code: -1 });
      expect(status.message).toBe('Enable failed: an error that nobody caught: out of nowhere');
    });

    it('not by a signal to the child: that is a failure like another', async () => {
      const { operation, child } = await startWithChild(0);
      process.kill(child, 'SIGKILL');
      expect((await operation.ended).exitCode).toBe(1);
      expect(handler.readStatus(0)?.message).toContain('/bin/sh ended with null');
    });
  });

  describe('that was killed', () => {
    const expectInterrupted = (cause: string): void => {
      expect(handler.readStatus(0)).toMatchObject({ status: 'error', code: 3 });
      expect(handler.readStatus(0)?.message).toContain(`the run of sequence 0 was interrupted: ${cause}`);
    };

    it('is told as interrupted by the next enable, which ends the child that was left and does not run again', async () => {
      const { operation, child } = await startWithChild(0);
      operation.signalGroup('SIGKILL');
      await operation.ended;
      expect(handler.readStatus(0)?.status).toBe('transitioning');
      expect(isAlive(child)).toBe(true);
      const next = await handler.run('enable');
      expect(next.exitCode).toBe(1);
      expectInterrupted('its process was killed');
      await until('the end of the child', () => !isAlive(child));
      expect(runs()).toBe(1);
      // The error is final: one more enable changes nothing, and newer settings run.
      expect((await handler.run('enable')).exitCode).toBe(0);
      expectInterrupted('its process was killed');
      expect((await handler.enable(1, { public: {} })).status.status).toBe('success');
    });

    it.skipIf(NO_OVERLAY !== undefined)('by a restart of the machine is told as that', async () => {
      handler.writeSettings(0, { public: { steps: [{ do: 'wait-for-file', path: gate() }] } });
      const bootId = join(handler.libFolder, 'boot_id');
      writeFileSync(bootId, '00000000-1111-2222-3333-444444444444\n');
      // In a mount namespace of its own, the process sees another boot.
      const script = `mount --bind ${bootId} /proc/sys/kernel/random/boot_id && exec "$@"`;
      const operation = handler.start('enable', {
        wrapper: ['unshare', '--mount', '/bin/sh', '-c', script, 'sh'],
      });
      await until('the run', () => runs() === 1);
      // The process even lives on: what counts is that its boot is over.
      const next = await handler.run('enable');
      expect(next.exitCode).toBe(1);
      expectInterrupted('the machine was restarted');
      expect(runs()).toBe(1);
      operation.signalGroup('SIGKILL');
      await operation.ended;
    });

    it('at any moment leaves nothing half done: one final status, one run at most, no leftovers', async () => {
      const moments = Array.from({ length: 30 }, (_, n) => n * 4);
      for (const [sequence, ms] of moments.entries()) {
        handler.writeSettings(sequence, {
          public: {
            greeting: `${sequence}`,
            steps: [
              { do: 'exec', argv: ['true'] },
              { do: 'end', message: 'done' },
            ],
          },
        });
        const operation = handler.start('enable', { sequence });
        await Promise.race([operation.ended, new Promise((resolve) => setTimeout(resolve, ms))]);
        try {
          operation.signalGroup('SIGKILL');
        } catch {
          // It was faster.
        }
        await operation.ended;
        await handler.run('enable', { sequence });
        const status = handler.readStatus(sequence);
        expect([sequence, status?.message]).toEqual([
          sequence,
          expect.stringMatching(
            /^Enable (succeeded: [\s\S]*done$|failed: the run of sequence \d+ was interrupted: )/,
          ),
        ]);
      }
      const counts = new Map<number | undefined, number>();
      for (const { sequence } of handler.trace()) counts.set(sequence, (counts.get(sequence) ?? 0) + 1);
      expect([...counts.values()].filter((count) => count > 1)).toEqual([]);
      // Those are missing that were killed between the number that says "taken on" and their first line of code.
      expect(counts.size).toBeGreaterThan(moments.length / 2);
      const left = [handler.folder(), join(handler.folder(), STATUS_FOLDER), handler.dataFolder].flatMap(
        (folder) => readdirSync(folder).filter((name) => name.endsWith('.tmp') || name.startsWith('.lock')),
      );
      expect(left).toEqual([]);
      expect(storedSequence()).toBe(String(moments.length - 1));
    });

    it('while newer settings wait makes room for them', async () => {
      const { operation } = await startWithChild(0);
      operation.signalGroup('SIGKILL');
      await operation.ended;
      const newer = await handler.enable(1, { public: { steps: [{ do: 'end', message: 'goes on' }] } });
      expect(newer.status.message).toBe('Enable succeeded: goes on');
      expectInterrupted('its process was killed');
    });
  });

  describe('bears what another version has left', () => {
    it('state with members that it does not know', async () => {
      const { status } = await handler.enable(3, { public: { steps: [{ do: 'end', message: 'kept' }] } });
      const file = join(handler.folder(), 'journal.json');
      const journal: unknown = JSON.parse(readFileSync(file, 'utf8'));
      writeFileSync(file, JSON.stringify({ ...Object(journal), format: 99, newer: { deep: [1] } }));
      rmSync(handler.statusFile(3));
      expect((await handler.run('enable', { sequence: 3 })).exitCode).toBe(0);
      expect(handler.readStatus(3)).toEqual(status);
      expect(runs()).toBe(1);
    });

    it.each(['', '{"sequence": 3', '[]'])(
      'state that is no state: %j; the stored number decides',
      async (text) => {
        await handler.enable(3, { public: {} });
        writeFileSync(join(handler.folder(), 'journal.json'), text);
        await handler.run('enable', { sequence: 3 });
        expect(runs()).toBe(1);
        await handler.enable(4, { public: {} });
        expect(runs()).toBe(2);
      },
    );

    it('the leftovers of another life: its number, its journal and its lock', async () => {
      // As in a VM that was made from the image of another one: everything is there, and no process of it lives.
      await handler.enable(0, { public: {} });
      symlinkSync('999999:1:other-boot', join(handler.dataFolder, '.lock'));
      expect((await handler.enable(1, { public: {} })).status.status).toBe('success');
      expect(runs()).toBe(2);
    });
  });

  it.each([
    ['a number', '3', 3],
    ['a time-out, as the agent counts it', '1011', 1011],
    ['the word for a command that belongs to no update', NOT_RUN, 'not-run'],
    ['the word for an old version that was not enabled', DISABLE_NOT_RUN, 'not-run'],
    ['nothing', undefined, 'not-run'],
  ] as const)('the exit code of an old version is typed: %s', async (_, text, typed) => {
    const variables = { updatingFromVersion: '0.9.0', targetVersion: '1.0.0', disableExitCode: text };
    mkdirSync(handler.folder('0.9.0'));
    const { exitCode, stderr } = await handler.run('update', { variables });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    await handler.run('install', { variables: { uninstallExitCode: text } });
    expect(handler.trace()).toMatchObject([
      { operation: 'update', disableExitCode: typed, fromVersion: '0.9.0', toVersion: '1.0.0' },
      { operation: 'install', uninstallExitCode: typed },
    ]);
  });

  it('update without the old version’s number fails with 53 and says why', async () => {
    const { exitCode, stderr } = await handler.run('update');
    expect(exitCode).toBe(EXIT_CODES.configurationError);
    expect(stderr).toContain('Update failed: ENVIRONMENT_INVALID: the agent does not say which version');
  });
});
