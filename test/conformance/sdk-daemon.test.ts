/**
 * A packed daemon: it goes on after its enable was answered, says how it fares in status and heartbeat, is found again,
 * started again and stopped.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseHeartbeat } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

let unpacked: UnpackedPackage;
let handler: LaidOutHandler;
beforeAll(() => {
  unpacked = unpackPackage(inject('daemonProbeZip'));
});
afterAll(() => unpacked.remove());
beforeEach(() => {
  handler = layOutHandler(unpacked);
});
afterEach(() => handler.remove());

const UP = { do: 'ready', message: 'collecting' };
const GO_ON = { do: 'wait-for-abort', finish: true };
const gate = (): string => join(handler.libFolder, 'go');
const worker = (): number => handler.trace().at(-1)?.pid ?? 0;
const isRunning = (pid: number): boolean => handler.processes().includes(pid);
const statusIs = (status: string, message: string, sequence = 0) =>
  until(`the status ${status} "${message}"`, () => {
    const read = handler.readStatus(sequence);
    return read?.status === status && read.message.endsWith(message);
  });

describe('a packed daemon', () => {
  const heartbeat = () => parseHeartbeat(readFileSync(handler.heartbeatFile, 'utf8'), handler.heartbeatFile);
  const start = async (...steps: unknown[]): Promise<number> => {
    handler.writeSettings(0, { public: { steps } });
    expect((await handler.run('enable')).exitCode).toBe(0);
    return until('the daemon', () => handler.trace().at(-1)?.pid);
  };

  it('has a heartbeat before the agent has its answer, and one that says Ready when it works', async () => {
    handler.writeSettings(0, { public: { steps: [{ do: 'wait-for-file', path: gate() }, UP, GO_ON] } });
    await handler.run('enable');
    expect(heartbeat().status).toBe('NotReady');
    expect(handler.readStatus(0)?.status).toBe('transitioning');
    writeFileSync(gate(), '');
    await statusIs('success', 'Enable succeeded: collecting');
    await until('the heartbeat', () => heartbeat().status === 'Ready');
    expect(heartbeat()).toEqual({ status: 'Ready', message: 'collecting' });
  });

  it('goes on, and is left alone by the same sequence', async () => {
    const pid = await start(UP, GO_ON);
    await statusIs('success', 'collecting');
    await handler.run('enable');
    await until('the second process to leave', () => handler.processes().length === 1);
    expect(isRunning(pid)).toBe(true);
    expect(handler.trace()).toHaveLength(1);
  });

  it('says that it goes on, but not well', async () => {
    await start(
      UP,
      { do: 'wait-for-file', path: gate() },
      { do: 'degraded', message: 'disk is full', status: 'error', code: 28 },
      GO_ON,
    );
    await statusIs('success', 'collecting');
    writeFileSync(gate(), '');
    await statusIs('error', 'disk is full');
    expect(handler.readStatus(0)?.code).toBe(28);
    await until('the heartbeat', () => heartbeat().status === 'NotReady');
    expect(heartbeat().message).toBe('disk is full');
    expect(isRunning(worker())).toBe(true);
  });

  it('is started again when it was killed', async () => {
    const pid = await start(UP, GO_ON);
    await statusIs('success', 'collecting');
    process.kill(pid, 'SIGKILL');
    await until('its end', () => !isRunning(pid));
    await handler.run('enable');
    const next = await until('another daemon', () => (worker() === pid ? undefined : worker()));
    await statusIs('success', 'collecting');
    expect(isRunning(next)).toBe(true);
  });

  it('is replaced by newer settings', async () => {
    const pid = await start(UP, GO_ON);
    handler.writeSettings(1, { public: { steps: [{ ...UP, message: 'collecting more' }, GO_ON] } });
    await handler.run('enable', { sequence: 1 });
    await statusIs('success', 'collecting more', 1);
    expect(isRunning(pid)).toBe(false);
  });

  it('is stopped by disable, which is no error, and started by the next enable', async () => {
    const pid = await start(UP, GO_ON);
    await statusIs('success', 'collecting');
    expect((await handler.run('disable')).exitCode).toBe(0);
    expect(isRunning(pid)).toBe(false);
    expect(handler.readStatus(0)?.status).not.toBe('error');
    expect(heartbeat().status).toBe('NotReady');
    await handler.run('enable');
    await until('another daemon', () => handler.trace().length === 3);
    await statusIs('success', 'collecting');
  });
});
