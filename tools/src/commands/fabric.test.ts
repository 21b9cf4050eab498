/** `handlerkit fabric` as a process of its own, asked from inside the VM; skipped with the reason in the title where there can be none. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { readTextIfThere } from '@handlerkit/sdk';
import { WIRE_SERVER_ADDRESS } from '@handlerkit/sdk/contract';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FABRIC_FILES } from '../fabric/fabric-files.ts';
import { runCli } from '../fixtures/run-cli.ts';
import { TOOL_COMMAND } from '../fixtures/tool-command.ts';
import { deps, whyNoOverlay } from '../vm/fixtures/machine-rig.ts';
import { isAlive, listProcesses } from '../vm/linux-process.ts';
import { openMachine } from '../vm/machine.ts';
import { findState, readKeeper } from '../vm/machine-state.ts';

let folder: string;
let child: ChildProcess | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'handlerkit-fabric-'));
});
afterEach(async () => {
  child?.kill('SIGKILL');
  child = undefined;
  await runCli(['vm', 'reset'], { cwd: folder });
  await rm(folder, { recursive: true, force: true });
});

const noOverlay = await whyNoOverlay();
const test = it.skipIf(noOverlay !== undefined);
const because = noOverlay === undefined ? '' : ` (skipped: ${noOverlay})`;

const [PROGRAM, ...CLI] = TOOL_COMMAND;

interface Running {
  /** Waits until stdout holds a match. */
  shows(pattern: RegExp): Promise<string>;
  /** Waits until stderr holds a match. */
  says(pattern: RegExp): Promise<string>;
  /** Ctrl-C; gives the exit code. */
  interrupt(): Promise<number | null>;
}

function start(...words: readonly string[]): Running {
  const env = { PATH: process.env.PATH, HOME: folder };
  const started = spawn(PROGRAM, [...CLI, 'fabric', ...words], { cwd: folder, env });
  child = started;
  const ended = once(started, 'exit');
  return {
    shows: watch(started.stdout, ended),
    says: watch(started.stderr, ended),
    interrupt: async () => {
      started.kill('SIGINT');
      await ended;
      return started.exitCode;
    },
  };
}

/** Gives what waits until all that a stream has brought matches. */
function watch(stream: Readable, ended: Promise<unknown>): (pattern: RegExp) => Promise<string> {
  let text = '';
  stream.on('data', (part) => {
    text += String(part);
  });
  return (pattern) =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (pattern.test(text)) resolve(text);
      };
      stream.on('data', look);
      look();
      void ended.then(() => reject(new Error(`ended: ${text}`)));
    });
}

/** What a program on the VM's network gets. */
function askInside(url: string, headers: Readonly<Record<string, string>> = {}): string {
  const state = findState(join(folder, '.handlerkit/vm'));
  const keeper = state === undefined ? undefined : readKeeper(state);
  if (keeper === undefined) throw new Error('the VM does not run');
  const script = `fetch(${JSON.stringify(url)}, { headers: ${JSON.stringify(headers)} }).then(async (answer) => console.log(answer.status, await answer.text()))`;
  const inside = ['--target', String(keeper.pid), '--net', '--', process.execPath, '-e', script];
  const { stdout, stderr } = spawnSync('nsenter', inside, { encoding: 'utf8', timeout: 20_000 });
  return stdout + stderr;
}

/** The processes that serve a VM in this folder. */
function servers(folder: string): readonly number[] {
  return listProcesses().filter((pid) => {
    const words = readTextIfThere(`/proc/${pid}/cmdline`)?.split('\0') ?? [];
    return words.includes('serve') && words.some((word) => word.startsWith(folder));
  });
}

const READY = /"metadata": "http:\/\/169\.254\.169\.254"\n\}/;

describe('handlerkit fabric', { timeout: 60_000 }, () => {
  test(`says as one document where it listens, serves the VM, and ends with Ctrl-C${because}`, async () => {
    const running = start('--json', '--vm-settings');
    const shown: unknown = JSON.parse(await running.shows(READY));
    expect(shown).toEqual({
      folder: join(folder, '.handlerkit/vm'),
      wireServer: `http://${WIRE_SERVER_ADDRESS}`,
      hostPlugin: `http://${WIRE_SERVER_ADDRESS}:32526`,
      blobs: `http://${WIRE_SERVER_ADDRESS}:8080`,
      metadata: 'http://169.254.169.254',
    });
    expect(askInside(`http://${WIRE_SERVER_ADDRESS}/machine/?comp=goalstate`)).toMatch(
      /^200 [\s\S]*<Incarnation>0</,
    );
    expect(askInside(`http://${WIRE_SERVER_ADDRESS}:32526/versions`)).toBe('200 ["2015-09-01"]\n');
    expect(askInside(`http://${WIRE_SERVER_ADDRESS}:32526/vmSettings`)).toContain('"FastTrack"');
    const name = 'http://169.254.169.254/metadata/instance/compute/name?api-version=2021-02-01&format=text';
    expect(askInside(name, { metadata: 'true' })).toBe('200 local-vm\n');
    expect(await running.interrupt()).toBe(0);
    const state = findState(join(folder, '.handlerkit/vm'));
    const keeper = state === undefined ? undefined : readKeeper(state);
    expect(keeper !== undefined && isAlive(keeper)).toBe(false);
    const log = readFileSync(join(folder, '.handlerkit/vm', FABRIC_FILES.log), 'utf8');
    expect(log).toMatch(/wireserver GET \/machine 200 \d+ goal state/);
  });

  test(`prints a line for each request${because}`, async () => {
    const running = start();
    await running.says(/One line for each request follows/);
    const shown = running.shows(/^\S+Z hostplugin GET \/health 200 0 plugin health$/m);
    expect(askInside(`http://${WIRE_SERVER_ADDRESS}:32526/health`)).toMatch(/^200/);
    await shown;
    expect(await running.interrupt()).toBe(0);
  });

  test(`leaves nothing behind when it is killed and its VM has nothing more to do${because}`, async () => {
    const running = start();
    await running.says(/One line for each request follows/);
    const state = findState(join(folder, '.handlerkit/vm'));
    const keeper = state === undefined ? undefined : readKeeper(state);
    expect(keeper !== undefined && isAlive(keeper)).toBe(true);
    expect(servers(folder)).not.toEqual([]);
    child?.kill('SIGKILL');
    await expect.poll(() => servers(folder), { timeout: 20_000 }).toEqual([]);
    expect(keeper !== undefined && isAlive(keeper)).toBe(false);
  });

  it('says why it cannot serve a VM that shares this machine’s network, and what works instead', async () => {
    const vm = join(folder, '.handlerkit/vm');
    const machine = await openMachine({ stateFolder: vm, isolation: 'relocated' }, deps);
    await machine.close();
    const { exitCode, stderr } = await runCli(['fabric'], { cwd: folder });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/error FABRIC_NEEDS_OVERLAY: .*only an overlay VM/);
    expect(stderr).toMatch(/Try: .*as root/);
  });

  it('shows its help without the part that only the tool itself needs', async () => {
    const { stdout } = await runCli(['fabric', '--help'], { cwd: folder });
    expect(stdout).toContain('Ctrl-C (exit code 0)');
    expect(stdout).not.toContain('serve <folder>');
  });
});
