/** What a disk or an image brings along from another machine, and what only looks like it. Source: sdk-anchors 4, number 16. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatStatus } from './contract/status.ts';
import { defineHandler } from './handler.ts';
import { identifyProcess } from './process-identity.ts';
import type { TestMachine } from './testing/machine.ts';
import { createTestMachine } from './testing/machine.ts';

const HERE = '00112233-4455-6677-8899-AABBCCDDEEFF';
const SWAPPED = '33221100-5544-7766-8899-aabbccddeeff';
const ELSEWHERE = 'dmi:deadbeef-4455-6677-8899-aabbccddeeff';

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
  write('/sys/class/dmi/id/product_uuid', `${HERE}\n`);
});
afterEach(() => machine.remove());

function write(path: string, text: string): void {
  mkdirSync(dirname(machine.path(path)), { recursive: true });
  writeFileSync(machine.path(path), text);
}
const inFolder = (name: string): string => join(machine.handlerFolder(), name);
const success = formatStatus({
  operation: 'Enable',
  status: 'success',
  code: 0,
  message: 'Enable succeeded: elsewhere',
  substatus: [],
  time: '2026-01-01T00:00:00Z',
});
const journal = (more: Record<string, unknown>): string =>
  JSON.stringify({
    sequence: 7,
    state: 'finished',
    version: '1.0.0',
    process: { pid: 4_000_000, startTicks: 1, bootId: 'elsewhere' },
    status: success,
    ...more,
  });

describe('state that another machine wrote', () => {
  it('does not keep a lower number from running, and goes', async () => {
    write(inFolder('mrseq'), '7');
    write(inFolder('journal.json'), journal({ machine: ELSEWHERE }));
    write(inFolder('status/7.status'), success);
    write(inFolder('config/7.settings'), '');
    const { status, exitCode } = await machine.enable(counting, {}, { sequence: 2 });
    expect([exitCode, status?.message]).toEqual([0, 'Enable succeeded: run 1']);
    expect([machine.readSequence(), machine.readStatus(7)]).toEqual(['2', undefined]);
    expect(machine.readLog()).toContain('the state of this extension comes from another machine');
  });

  it('does not keep the same number from running, whatever its status says', async () => {
    write(inFolder('mrseq'), '7');
    write(inFolder('journal.json'), journal({ machine: ELSEWHERE }));
    write(inFolder('status/7.status'), success);
    const { status } = await machine.enable(counting, {}, { sequence: 7 });
    expect(status?.message).toBe('Enable succeeded: run 1');
    expect((await machine.run(counting, 'enable', { sequence: 7 })).status?.message).toContain('run 1');
    expect(runs).toBe(1);
  });

  it.each(['enable', 'disable', 'uninstall'] as const)(
    'has no process that %s would end',
    async (operation) => {
      const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
      try {
        const identity = identifyProcess(machine.host, child.pid ?? 0);
        write(inFolder('mrseq'), '7');
        const running = { machine: ELSEWHERE, state: 'running', status: null };
        write(inFolder('journal.json'), journal({ ...running, process: identity, children: [identity] }));
        machine.writeSettings(8, {});
        expect((await machine.run(counting, operation, { sequence: 8 })).exitCode).toBe(0);
        expect(identifyProcess(machine.host, child.pid ?? 0)).toEqual(identity);
        expect(runs).toBe(operation === 'enable' ? 1 : 0);
      } finally {
        child.kill('SIGKILL');
      }
    },
  );

  it('is known as such after an update, too', async () => {
    machine.addVersion('1.1.0');
    write(inFolder('mrseq'), '7');
    write(inFolder('journal.json'), journal({ machine: ELSEWHERE }));
    const version = '1.1.0';
    const updated = await machine.run(counting, 'update', {
      ...{ version, sequence: 2 },
      env: { AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0', VERSION: version },
    });
    expect(updated.exitCode).toBe(0);
    write(join(machine.handlerFolder(version), 'config/2.settings'), '');
    const { status } = await machine.run(counting, 'enable', { version, sequence: 2 });
    expect([status?.message, runs]).toEqual(['Enable succeeded: run 1', 1]);
  });
});

describe('state of this machine', () => {
  it('names it, and counts when the firmware shows its UUID in the other byte order', async () => {
    await machine.enable(counting, {}, { sequence: 3 });
    const text = readFileSync(machine.path(inFolder('journal.json')), 'utf8');
    expect(JSON.parse(text)).toMatchObject({ machine: `dmi:${HERE.toLowerCase()}` });
    write('/sys/class/dmi/id/product_uuid', SWAPPED);
    await machine.enable(counting, {}, { sequence: 3 });
    expect(runs).toBe(1);
  });

  it.each([
    ['a journal without a machine', journal({})],
    ['a journal of another kind of identity', journal({ machine: `os:${'0'.repeat(32)}` })],
    ['a journal that cannot be read', '{'],
  ])('counts with %s', async (_, text) => {
    write(inFolder('mrseq'), '7');
    write(inFolder('journal.json'), text);
    const { status } = await machine.enable(counting, {}, { sequence: 2 });
    expect([status?.status, runs]).toEqual(['error', 0]);
    expect(status?.message).toContain('sequence 2 is older than 7');
  });
});

describe('a number alone', () => {
  it('that is higher, and of which nothing else is there, is a leftover', async () => {
    write(inFolder('mrseq'), '7');
    const { status } = await machine.enable(counting, {}, { sequence: 2 });
    expect([status?.message, machine.readSequence()]).toEqual(['Enable succeeded: run 1', '2']);
    expect(machine.readLog()).toContain('a number that nothing else on this machine knows of is forgotten');
  });

  it.each([
    ['its status', 'status/7.status', success],
    ['its settings', 'config/7.settings', ''],
    ['a result of the number that is asked for', 'status/2.status', success],
  ])('counts where %s is there', async (_, name, text) => {
    write(inFolder('mrseq'), '7');
    write(inFolder(name), text);
    await machine.enable(counting, {}, { sequence: 2 });
    expect([runs, machine.readSequence()]).toEqual([0, '7']);
  });

  it('that is the same comes from a version that wrote no journal, or from before a power failure', async () => {
    write(inFolder('mrseq'), '7');
    await machine.enable(counting, {}, { sequence: 7 });
    expect([runs, existsSync(machine.path(inFolder('journal.json')))]).toEqual([0, false]);
  });

  it('that an update brings from a version written without the SDK keeps its settings from running again', async () => {
    machine.addVersion('1.1.0');
    const version = '1.1.0';
    const folder = machine.handlerFolder(version);
    write(inFolder('mrseq'), '5\n');
    // The agent's own part of an update: mrseq and the statuses.
    write(join(folder, 'mrseq'), '5\n');
    write(join(folder, 'status/5.status'), success);
    const env = { AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0', VERSION: version };
    expect((await machine.run(counting, 'update', { version, sequence: 5, env })).exitCode).toBe(0);
    write(join(folder, 'config/5.settings'), '');
    const { status } = await machine.run(counting, 'enable', { version, sequence: 5 });
    expect([status?.message, runs]).toEqual(['Enable succeeded: elsewhere', 0]);
  });
});
