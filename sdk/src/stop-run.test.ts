import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { findMarkedProcesses, markEnvironment } from './child-mark.ts';
import { until } from './fixtures/process-machine.ts';
import type { Host } from './host.ts';
import { createHost } from './host.ts';
import type { Journal } from './journal.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { identifyProcess, readBootId } from './process-identity.ts';
import { killChildren, STOP_GRACE_MS, stopWorker } from './stop-run.ts';

const host = createHost();
const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

/** Starts a shell that has said that it is ready. */
async function start(
  script: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ child: ChildProcess; identity: ProcessIdentity; ended: Promise<unknown[]> }> {
  const child = spawn('sh', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'], env });
  started.push(child);
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  const identity = identifyProcess(host, child.pid ?? 0);
  if (identity === undefined) throw new Error('the shell has ended');
  return { child, identity, ended };
}

const LOOP = 'echo ready; while :; do sleep 0.02; done';

/** A host whose pauses are a hundredth as long. */
function hurried(): { host: Host; slept: () => number } {
  let slept = 0;
  return {
    host: {
      ...host,
      sleep: async (ms) => {
        slept += ms;
        await host.sleep(ms / 100);
      },
    },
    slept: () => slept,
  };
}

describe('stopping a worker', () => {
  it('asks it with SIGTERM, and returns when it has ended by itself', async () => {
    const { identity, ended } = await start(`trap 'sleep 0.1; exit 5' TERM; ${LOOP}`);
    await stopWorker(host, identity);
    expect(await ended).toEqual([5, null]);
  });

  it('reaches one that was stopped', async () => {
    const { identity, ended } = await start(`trap 'exit 5' TERM; ${LOOP}`);
    process.kill(identity.pid, 'SIGSTOP');
    await stopWorker(host, identity);
    expect(await ended).toEqual([5, null]);
  });

  it('kills one that does not listen when its time is over', async () => {
    const { identity, ended } = await start(`trap '' TERM; ${LOOP}`);
    const { host: fast, slept } = hurried();
    await stopWorker(fast, identity);
    expect(await ended).toEqual([null, 'SIGKILL']);
    expect(slept()).toBeGreaterThanOrEqual(STOP_GRACE_MS);
  });

  it('leaves a process alone that has the number, but is another one', async () => {
    const { identity, child } = await start(LOOP);
    await stopWorker(host, { ...identity, startTicks: identity.startTicks - 1 });
    await stopWorker(host, { ...identity, bootId: 'another' });
    expect(identifyProcess(host, identity.pid)).toEqual(identity);
    expect(child.signalCode).toBeNull();
  });
});

it('what a dead worker left behind is killed with its whole group, and nothing else', async () => {
  const orphan = await start(`sh -c 'while :; do sleep 0.02; done' & ${LOOP}`);
  const stranger = await start(LOOP);
  const journal: Journal = {
    sequence: 0,
    state: 'running',
    version: '1.0.0',
    process: { pid: 4_000_000, startTicks: 1, bootId: '' },
    children: [orphan.identity, { ...stranger.identity, startTicks: 1 }],
    stop: undefined,
    status: undefined,
  };
  killChildren(host, journal);
  expect(await orphan.ended).toEqual([null, 'SIGKILL']);
  expect(identifyProcess(host, stranger.identity.pid)).toEqual(stranger.identity);
});

it('a command that a dead worker started but had no time to note is killed by its mark', async () => {
  const bootId = readBootId(host);
  const worker: ProcessIdentity = { pid: 4_000_000, startTicks: 7, bootId };
  const marked = (of: ProcessIdentity, number: number) =>
    start(LOOP, markEnvironment(process.env, of, number));
  const [noted, unnoted, stranger] = [
    await marked(worker, 3),
    await marked(worker, 4),
    await marked({ ...worker, startTicks: 8 }, 4),
  ];
  const journal: Journal = {
    sequence: 0,
    state: 'running',
    version: '1.0.0',
    process: worker,
    children: [],
    noted: 3,
    stop: undefined,
    status: undefined,
  };
  killChildren(host, { ...journal, process: { ...worker, bootId: 'another' } });
  killChildren(host, journal);
  expect(await unnoted.ended).toEqual([null, 'SIGKILL']);
  for (const { identity } of [noted, stranger]) expect(identifyProcess(host, identity.pid)).toEqual(identity);
});

it('what is left of a group whose leader has ended is killed, and what left it for a session of its own is not', async () => {
  const worker: ProcessIdentity = { pid: 4_000_000, startTicks: 7, bootId: readBootId(host) };
  const env = markEnvironment(process.env, worker, 1);
  const leader = await start(`sh -c '${LOOP}' & setsid sh -c '${LOOP}' & wait`, env);
  const marked = (): readonly number[] => findMarkedProcesses(host, worker).map(({ pid }) => pid);
  const daemon = (): number =>
    findMarkedProcesses(host, worker).find(({ session }) => session !== leader.identity.pid)?.session ?? 0;
  await until(() => daemon() > 0);
  leader.child.kill('SIGKILL');
  await leader.ended;
  const journal: Journal = {
    sequence: 0,
    state: 'running',
    version: '1.0.0',
    process: worker,
    children: [leader.identity],
    noted: 1,
    stop: undefined,
    status: undefined,
  };
  const lives = daemon();
  try {
    killChildren(host, journal);
    const sessions = (): Set<number> => new Set(findMarkedProcesses(host, worker).map((one) => one.session));
    await until(() => sessions().size === 1);
    expect(marked()).toContain(lives);
  } finally {
    process.kill(-lives, 'SIGKILL');
  }
});
