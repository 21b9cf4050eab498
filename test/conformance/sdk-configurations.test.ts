/**
 * Several configurations of one packed handler, each with its name: side by side, removed one by one, and carried over by
 * an update, which the agent leaves to the handler.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CONFIG_FOLDER,
  DISABLE_NOT_RUN,
  formatHandlerStateFile,
  formatSequenceFile,
} from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

describe('several configurations of a packed handler', () => {
  let unpacked: UnpackedPackage;
  let handler: LaidOutHandler;
  beforeAll(() => {
    unpacked = unpackPackage(inject('detachedProbeZip'));
  });
  afterAll(() => unpacked.remove());
  beforeEach(() => {
    handler = layOutHandler(unpacked);
  });
  afterEach(() => handler.remove());

  const start = async (name: string, sequence: number, ...steps: unknown[]): Promise<void> => {
    const before = handler.trace().length;
    handler.writeSettings(sequence, { public: { steps, greeting: name } }, { name });
    expect((await handler.run('enable', { sequence, name })).exitCode).toBe(0);
    await until(`the run of ${name}`, () => handler.trace().length > before);
  };
  const finalStatus = (name: string, sequence: number) =>
    until(`the final status of ${name}`, () => {
      const status = handler.readStatus(sequence, { name });
      return status?.status === 'transitioning' ? undefined : status;
    });
  const isRunning = (pid: number): boolean => handler.processes().includes(pid);
  const storedSequence = (name: string, version?: string): string =>
    readFileSync(join(handler.folder(version), formatSequenceFile(name)), 'utf8');

  it('have settings, status and number of their own and work side by side; the removal of one leaves the other', async () => {
    const gate = join(handler.libFolder, 'go');
    await start('first', 0, { do: 'wait-for-file', path: gate });
    await start('second', 3, { do: 'wait-for-file', path: gate });
    const lines = handler.trace();
    expect(lines.map(({ extensionName, sequence, greeting }) => [extensionName, sequence, greeting])).toEqual(
      [
        ['first', 0, 'first'],
        ['second', 3, 'second'],
      ],
    );
    expect([storedSequence('first'), storedSequence('second')]).toEqual(['0', '3']);
    expect(existsSync(join(handler.folder(), formatSequenceFile()))).toBe(false);
    expect(lines.map(({ pid }) => isRunning(pid))).toEqual([true, true]);
    expect((await handler.run('disable', { sequence: 0, name: 'first' })).exitCode).toBe(0);
    expect(lines.map(({ pid }) => isRunning(pid))).toEqual([false, true]);
    expect(handler.readStatus(0, { name: 'first' })).toMatchObject({ status: 'error', code: 3 });
    writeFileSync(gate, '');
    expect((await finalStatus('second', 3)).status).toBe('success');
  });

  it('are carried over by an update, which the agent leaves to the handler, with every exit code of their disable', async () => {
    await start('first', 1, { do: 'end', message: 'one' });
    await start('second', 2, { do: 'end', message: 'two' });
    await finalStatus('first', 1);
    await finalStatus('second', 2);
    await until('the workers to end', () => handler.processes().length === 0);
    const isRestored = () =>
      handler.readStatus(2, { name: 'second', version: '1.1.0' })?.message === 'Enable succeeded: two';
    handler.addVersion('1.1.0');
    const state = join(handler.folder('1.1.0'), CONFIG_FOLDER, formatHandlerStateFile());
    writeFileSync(state, 'NotInstalled');
    for (const [sequence, name] of [
      [1, 'first'],
      [2, 'second'],
    ] as const) {
      handler.writeSettings(sequence, { public: {} }, { version: '1.1.0', name });
      await handler.run('disable', { sequence, name });
    }
    const { exitCode, stderr } = await handler.run('update', {
      version: '1.1.0',
      sequence: 1,
      name: 'first',
      variables: {
        updatingFromVersion: '1.0.0',
        targetVersion: '1.1.0',
        disableExitCodes: [
          { extensionName: 'first', exitCode: '0' },
          { extensionName: 'second', exitCode: '4' },
          { extensionName: 'third', exitCode: DISABLE_NOT_RUN },
        ],
      },
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(handler.trace().at(-1)).toMatchObject({
      operation: 'update',
      disableExitCodes: { first: 0, second: 4, third: 'not-run' },
    });
    expect([storedSequence('first', '1.1.0'), storedSequence('second', '1.1.0')]).toEqual(['1', '2']);
    await handler.run('enable', { sequence: 2, name: 'second', version: '1.1.0' });
    await until('the status in the new version', isRestored);
    expect(handler.trace().filter(({ operation }) => operation === 'enable')).toHaveLength(2);
  });

  it('fail the update when the state of one cannot be carried over, rather than run it again', async () => {
    await start('first', 1, { do: 'end' });
    await finalStatus('first', 1);
    await until('the worker to end', () => handler.processes().length === 0);
    handler.addVersion('1.1.0');
    const number = join(handler.folder(), formatSequenceFile('first'));
    rmSync(number);
    mkdirSync(number);
    const { exitCode, stderr } = await handler.run('update', {
      version: '1.1.0',
      sequence: 1,
      name: 'first',
      variables: { updatingFromVersion: '1.0.0', targetVersion: '1.1.0' },
    });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^Update failed: /);
    expect(handler.trace().at(-1)?.operation).toBe('enable');
  });
});
