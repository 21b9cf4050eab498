/** What enable does where its own files, its time or its commands fail it; the usual cases are in `lifecycle.test.ts`. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HandlerError } from './errors.ts';
import { defineHandler } from './handler.ts';
import type { TestMachine } from './testing/machine.ts';
import { createTestMachine } from './testing/machine.ts';

let machine: TestMachine;
let runs: number;
const counting = defineHandler({
  enable: async () => {
    runs++;
    return { message: `run ${runs}` };
  },
});

beforeEach(() => {
  machine = createTestMachine();
  runs = 0;
});
afterEach(() => machine.remove());

const inFolder = (name: string): string => machine.path(join(machine.handlerFolder(), name));
const useExtension = (enable: Record<string, unknown>): void => {
  machine.remove();
  machine = createTestMachine({
    extension: { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.0.0', enable },
  });
};

describe('after a power failure that took the journal and not mrseq', () => {
  it('a sequence is not repeated, and its status says that the result is lost', async () => {
    writeFileSync(inFolder('mrseq'), '0');
    const { exitCode, status } = await machine.enable(counting);
    expect([exitCode, status?.status, runs]).toEqual([0, 'error', 0]);
    expect(status?.message).toContain('its result is lost');
  });

  it('it is repeated where the author allows it, but an older one is not', async () => {
    useExtension({ onInterrupted: 'rerun' });
    writeFileSync(inFolder('mrseq'), '5');
    writeFileSync(inFolder('config/5.settings'), '');
    expect((await machine.enable(counting, {}, { sequence: 4 })).status?.status).toBe('error');
    const { status } = await machine.enable(counting, {}, { sequence: 5 });
    expect([status?.status, runs]).toEqual(['success', 1]);
    await machine.run(counting, 'enable', { sequence: 5 });
    expect(runs).toBe(1);
  });
});

it('removes what a killed process left half-written, and leaves other files alone', async () => {
  const left = ['status/0.status.4000000.tmp', 'journal.json.4000000.tmp', 'mrseq.4000000.tmp'];
  const others = ['notes.4000000.tmp', `mrseq.${process.pid}.tmp.txt`];
  for (const name of [...left, ...others]) writeFileSync(inFolder(name), 'half');
  const [{ handlerEnvironment }] = JSON.parse(readFileSync(inFolder('HandlerEnvironment.json'), 'utf8'));
  const event = machine.host.path(`${handlerEnvironment.eventsFolder}.4000000.tmp`);
  writeFileSync(event, 'half');
  await machine.enable(counting);
  expect(existsSync(event)).toBe(false);
  expect(left.filter((name) => existsSync(inFolder(name)))).toEqual([]);
  expect(others.filter((name) => existsSync(inFolder(name)))).toEqual(others);
});

it('says of a daemon that did not end at disable that it did not, and not that it still works', async () => {
  useExtension({ rerun: 'always' });
  writeFileSync(inFolder('mrseq'), '0');
  writeFileSync(
    inFolder('journal.json'),
    JSON.stringify({
      sequence: 0,
      state: 'running',
      version: '1.0.0',
      process: { pid: 4_000_000, startTicks: 1, bootId: '' },
      stop: 'disabled',
    }),
  );
  expect((await machine.run(counting, 'disable')).exitCode).toBe(0);
  expect(machine.readStatus(0)?.message).toBe(
    'Enable failed: the extension was disabled, and the run did not end in time',
  );
});

it('does not end the work because its progress cannot be told', async () => {
  const handler = defineHandler({
    enable: async ({ status }) => {
      rmSync(inFolder('status'), { recursive: true });
      writeFileSync(inFolder('status'), 'no folder');
      await status.transitioning('working');
      rmSync(inFolder('status'));
      return { message: 'worked' };
    },
  });
  const { status, exitCode } = await machine.enable(handler);
  expect([exitCode, status?.message]).toEqual([0, 'Enable succeeded: worked']);
  expect(machine.readLog()).toContain('the status cannot be written');
});

it('ends as an error, with nothing begun, when the data folder cannot be used', async () => {
  writeFileSync(machine.path('/var/lib/waagent/Contoso.Samples.Greeter.data'), 'no folder');
  const { exitCode, status, stderr } = await machine.enable(counting);
  expect([exitCode, status?.status, status?.code, runs]).toEqual([1, 'error', -12, 0]);
  expect(stderr).toMatch(
    /^Enable failed: STATE_UNUSABLE: the handler's state: \S+\.data is no folder, .+; move it away/,
  );
});

it('does not begin when it was asked to end before, and begins at the next enable', async () => {
  const signal = AbortSignal.abort(new HandlerError('INTERRUPTED', 'the run was ended by SIGTERM'));
  const ended = await machine.enable(counting, {}, { signal });
  expect([ended.exitCode, ended.status?.code, runs, machine.readSequence()]).toEqual([1, 3, 0, undefined]);
  expect((await machine.run(counting, 'enable')).status?.message).toBe('Enable succeeded: run 1');
});

describe('the author’s commands', () => {
  it('stand in the journal while they run, and not afterwards', async () => {
    const seen: unknown[] = [];
    const handler = defineHandler({
      enable: async ({ host }) => {
        const stop = new AbortController();
        await host.exec(['sleep', '30'], {
          signal: stop.signal,
          onStart: (pid) => {
            stop.abort();
            const { children } = JSON.parse(readFileSync(inFolder('journal.json'), 'utf8'));
            seen.push(children.map((child: { pid: number }) => child.pid === pid));
          },
        });
      },
    });
    await machine.enable(handler);
    expect(seen).toEqual([[true]]);
    expect(JSON.parse(readFileSync(inFolder('journal.json'), 'utf8')).children).toEqual([]);
  });

  it('end with the run, and those that clean up afterwards still run', async () => {
    const stop = new AbortController();
    const tidy = join(machine.root, 'tidy');
    const handler = defineHandler({
      enable: async ({ host, signal }) => {
        const result = await host.exec(['sleep', '30'], {
          onStart: () => stop.abort(new HandlerError('INTERRUPTED', 'ended by SIGTERM')),
        });
        expect(result).toMatchObject({ signal: 'SIGTERM', aborted: true });
        await host.exec(['sh', '-c', 'sleep 0.05; echo tidy >"$1"', 'sh', tidy]);
        signal.throwIfAborted();
      },
    });
    const { status } = await machine.enable(handler, {}, { signal: stop.signal });
    expect(status?.message).toBe('Enable failed: ended by SIGTERM');
    expect(existsSync(tidy)).toBe(true);
  });
});

it('install, too, ends before the agent kills it, and says why', async () => {
  const handler = defineHandler({
    enable: async () => undefined,
    install: ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  });
  const installing = machine.run(handler, 'install');
  const data = machine.path('/var/lib/waagent/Contoso.Samples.Greeter.data');
  while (!existsSync(data) || readdirSync(data).includes('.lock'))
    await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  await machine.advance(880_000);
  expect(await installing).toMatchObject({
    exitCode: 1,
    stderr: 'Install failed: TIMED_OUT: the time limit of 880 seconds was reached\n',
  });
});

it('makes a status folder that is missing, but not the handler’s folder', async () => {
  rmSync(inFolder('status'), { recursive: true });
  expect((await machine.enable(counting)).status?.status).toBe('success');
  const gone = defineHandler({
    enable: async () => {
      rmSync(machine.path(machine.handlerFolder()), { recursive: true });
    },
  });
  mkdirSync(inFolder('config'), { recursive: true });
  const { exitCode, stderr } = await machine.enable(gone, {}, { sequence: 1 });
  expect([exitCode, existsSync(machine.path(machine.handlerFolder()))]).toEqual([1, false]);
  expect(stderr).toContain('The result was: Enable succeeded');
});
