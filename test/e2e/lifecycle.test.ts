/**
 * The life of an extension on the local VM, black-box: a long run through an update, updates and downgrades that keep
 * state, deletion, secrets. On the overlay VM as root, otherwise on the relocated one.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatSequenceFile, formatStatusFile, parseStatus, STATUS_FOLDER } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import type { LocalVm } from '../local-vm.ts';
import { createLocalVm, NO_OVERLAY } from '../local-vm.ts';
import { writePackageVersion } from '../newer-package.ts';

const HANDLER = 'Handlerkit.Extensions.CustomScript';
const CANARY = 'C4nary-7ed1\'"$x';

describe('an extension on the local VM', () => {
  let folder: string;
  let older: string;
  let newer: string;
  let vm: LocalVm;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'handlerkit-lifecycle-'));
    older = inject('customScriptZip');
    newer = join(folder, 'newer.zip');
    writePackageVersion(older, newer, '1.0.1');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    vm = await createLocalVm(NO_OVERLAY === undefined ? 'overlay' : 'relocated');
  });
  afterEach(() => vm.remove());

  const view = async () => (await vm.instanceView())[0];
  const inAgentFolder = (...parts: string[]): string => join(vm.agentFolder(), ...parts);
  const statusOf = (version: string, sequence: number) => {
    const file = inAgentFolder(`${HANDLER}-${version}`, STATUS_FOLDER, formatStatusFile(sequence));
    return existsSync(file) ? parseStatus(readFileSync(file, 'utf8'), file) : undefined;
  };

  it('keeps its result and does not run again through update, downgrade and repeated goal states', async () => {
    await vm.set(older, { public: { commandToExecute: 'date +%s%N; echo $PPID' } });
    const first = (await view())?.statuses[0]?.message;
    expect(first).toMatch(/^Enable succeeded: /);
    for (const [zip, version] of [
      [newer, '1.0.1'],
      [newer, '1.0.1'],
      [older, '1.0.0'],
    ] as const) {
      const { exitCode } = await vm.set(zip, {}, ['--keep-settings']);
      expect(exitCode).toBe(0);
      expect(await view()).toMatchObject({ typeHandlerVersion: version, statuses: [{ message: first }] });
      expect(readFileSync(inAgentFolder(`${HANDLER}-${version}`, formatSequenceFile()), 'utf8')).toBe('0');
      const versions = readdirSync(vm.agentFolder()).filter((name) => name.startsWith(HANDLER));
      expect(versions).toEqual([`${HANDLER}-${version}`]);
    }
  });

  it('runs the script again for another forceUpdateTag and after a deletion, and for nothing else', async () => {
    const settings = { public: { commandToExecute: 'date +%s%N' } };
    const apply = async (more: readonly string[] = []): Promise<string> => {
      expect((await vm.set(older, settings, more)).exitCode).toBe(0);
      return (await view())?.statuses[0]?.message ?? '';
    };
    const first = await apply();
    expect(await apply()).toBe(first);
    const forced = await apply(['--force-update-tag', '2']);
    expect(forced).not.toBe(first);
    expect(await apply(['--force-update-tag', '2'])).toBe(forced);
    await vm.delete();
    expect([first, forced]).not.toContain(await apply(['--force-update-tag', '2']));
  });

  it('lets a long run go on through an update, and shows its result in the new version', async () => {
    // The command waits for the answer of a server, so that the test says when it ends.
    const gate = await openGate();
    const command = `python3 -c 'import urllib.request as u; print(u.urlopen("${gate.url}").read().decode())'`;
    const started = await vm.set(older, { public: { commandToExecute: command } }, ['--no-wait']);
    expect(started.exitCode).toBe(0);
    const updated = await vm.set(newer, {}, ['--keep-settings', '--no-wait']);
    expect(updated.exitCode).toBe(0);
    expect((await vm.show()).provisioningState).toBe('Updating');
    expect(statusOf('1.0.1', 0)?.status).toBe('transitioning');
    await gate.answer('finished');
    await until(() => statusOf('1.0.1', 0)?.status === 'success');
    expect(statusOf('1.0.1', 0)?.message).toBe('Enable succeeded: \n[stdout]\nfinished\n\n[stderr]\n');
  });

  it('ends a running command when the extension is deleted, and leaves no process', async () => {
    await vm.set(older, { public: { commandToExecute: 'echo $$ >pid; sleep 600' } }, ['--no-wait']);
    await until(() => existsSync(inAgentFolder('custom-script', 'download', '0', 'pid')));
    await vm.delete();
    expect(existsSync(inAgentFolder('custom-script'))).toBe(false);
    expect(findProcesses('sleep\x300')).toEqual([]);
  });

  it('ends a running command when newer settings arrive, and says so in the older status', async () => {
    await vm.set(older, { public: { commandToExecute: 'echo begun; sleep 601' } }, ['--no-wait']);
    await until(() => (statusOf('1.0.0', 0)?.message ?? '').includes('running the command'));
    const { exitCode } = await vm.set(older, { public: { commandToExecute: 'echo second' } });
    expect(exitCode).toBe(0);
    expect((await view())?.statuses[0]?.message).toContain('second');
    expect(statusOf('1.0.0', 0)).toMatchObject({ status: 'error' });
    expect(statusOf('1.0.0', 0)?.message).toContain('newer settings');
    expect(findProcesses('sleep\x301')).toEqual([]);
  });

  it('has no secret in any file that is left, and keeps to the modes it promises', async () => {
    const { exitCode } = await vm.set(older, {
      protected: { commandToExecute: `test ${quote(CANARY)} = x; echo done` },
    });
    expect(exitCode).toBe(0);
    const during = filesWith(vm.folder, CANARY);
    expect(during).toEqual([]);
    const data = statSync(inAgentFolder('custom-script'));
    expect(data.mode & 0o777).toBe(0o700);
    await vm.delete();
    expect(filesWith(vm.folder, CANARY)).toEqual([]);
  });
});

/** A server on loopback whose one request is answered when the test says so. */
async function openGate(): Promise<{ url: string; answer(text: string): Promise<void> }> {
  let open: (text: string) => void = () => undefined;
  const opened = new Promise<string>((resolve) => {
    open = resolve;
  });
  const server = createServer(async (_, response) => {
    response.end(await opened);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    answer: (text) =>
      new Promise((resolve) => {
        open(text);
        server.close(() => resolve());
      }),
  };
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Files below `folder` that hold the text, plain or in the forms in which it may get into a file. */
function filesWith(folder: string, text: string): string[] {
  const forms = [text, quote(text), JSON.stringify(text).slice(1, -1), encodeURIComponent(text), btoa(text)];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => {
      const content = readFileSync(file);
      return forms.some((form) => content.includes(form));
    });
}

/** Pids of the machine's processes whose command line holds `text`, arguments separated by NUL. */
function findProcesses(text: string): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 50));
}
