/**
 * One VM with the real Azure Linux Agent against the fabric, from its making to its end. The steps build on each other, as
 * the agent takes seconds for each. Skipped, with the reason in the title, where there can be no such VM.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { ToolError } from '../errors.ts';
import { FABRIC_FILES } from '../fabric/fabric-files.ts';
import type { CliResult } from '../fixtures/run-cli.ts';
import { runCli } from '../fixtures/run-cli.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { whyNoOverlay } from '../vm/fixtures/machine-rig.ts';
import { fetchAgentPackages } from './waagent-package.ts';

const reason = await whyNoWaagent();
const because = reason === undefined ? '' : ` (skipped: ${reason})`;

describe.skipIf(reason !== undefined)(`a VM with the real agent${because}`, { timeout: 90_000 }, () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'handlerkit-waagent-'));
  });
  afterAll(async () => {
    await runCli(['vm', 'reset'], { cwd: folder });
    await rm(folder, { recursive: true, force: true });
  });

  const vm = (...words: readonly string[]): Promise<CliResult> =>
    runCli(['vm', ...words, '--json', '--verbose'], { cwd: folder, env: process.env });
  const set = async (
    extension: Parameters<typeof writeScriptExtension>[1],
    ...words: readonly string[]
  ): Promise<CliResult> => vm('set', await writeScriptExtension(folder, extension), ...words);

  it('shows what the agent says of an installation that fails, and the operations that it ran', async () => {
    const { exitCode, stderr } = await set(
      { version: '1.0.0', fails: 'install' },
      '--agent',
      'waagent',
      '--settings',
      '{}',
    );
    expect(operations(stderr)).toEqual(['install exit 4 1.0.0']);
    expect(exitCode).toBe(1);
    const { stdout } = await vm('instance-view');
    expect(viewOf(stdout)).toMatchObject({
      code: 'ProvisioningState/failed/1007',
      message: expect.stringMatching(
        /^\[ExtensionOperationError\] Non-zero exit code: 4, .*\/bin\/handler install\n.*not now/s,
      ),
    });
  });

  it('installs and enables, and the handler opens its protected settings', async () => {
    const settings = ['--settings', '{"mode":"x"}', '--protected-settings', '{"secret":"p"}'];
    const { exitCode, stdout, stderr } = await set({ version: '1.1.0' }, ...settings);
    expect(operations(stderr)).toEqual(['install exit 0 1.1.0', 'enable exit 0 1.1.0']);
    expect(exitCode).toBe(0);
    expect(viewOf(stdout)).toMatchObject({
      code: 'ProvisioningState/succeeded',
      message: 'sequence 1, protected bytes: 14',
    });
    expect(stderr).toContain('Status blob: {');
  });

  it('reports what a handler says of new settings', async () => {
    const { exitCode, stderr } = await set({ version: '1.1.0' }, '--settings', '{"mode":"fail"}');
    expect(operations(stderr)).toEqual(['enable exit 0 1.1.0']);
    expect(exitCode).toBe(1);
    const { stdout } = await vm('instance-view');
    expect(viewOf(stdout)).toMatchObject({ code: 'ProvisioningState/failed/7', message: 'did not work' });
  });

  it('updates to a newer version, in the order of the agent', async () => {
    const { exitCode, stderr } = await set({ version: '1.2.0' }, '--settings', '{}');
    expect(operations(stderr)).toEqual([
      'disable exit 0 1.1.0',
      'update exit 0 1.2.0',
      'uninstall exit 0 1.1.0',
      'install exit 0 1.2.0',
      'enable exit 0 1.2.0',
    ]);
    expect(exitCode).toBe(0);
  });

  it('enables again after a reboot, with the same sequence number, as another boot with its keys protected', async () => {
    const inside = async (line: string): Promise<string> => {
      const words = ['vm', 'exec', '--json', '--', '/bin/sh', '-c', line];
      return JSON.parse((await runCli(words, { cwd: folder })).stdout).stdout;
    };
    const boot = 'cat /proc/sys/kernel/random/boot_id';
    const before = await inside(`chmod 644 /var/lib/waagent/*.prv; ${boot}`);
    const { exitCode, stdout, stderr } = await vm('reboot');
    expect(operations(stderr)).toEqual(['enable exit 0 1.2.0']);
    expect(exitCode).toBe(0);
    expect(viewOf(stdout)).toMatchObject({ message: 'sequence 3, protected bytes: none' });
    expect(await inside(boot)).not.toBe(before);
    const modes = await inside('stat -c %a /var/lib/waagent/*.prv');
    expect(new Set(modes.trim().split('\n'))).toEqual(new Set(['400']));
  });

  it('keeps the key of the certificate from other users, and its protected settings out of every file of the fabric', async () => {
    const state = join(folder, '.handlerkit/vm');
    const keys = (await readdir(state)).filter((name) => name.endsWith('.prv'));
    expect(keys).toHaveLength(1);
    for (const key of keys) expect((await stat(join(state, key))).mode & 0o777).toBe(0o600);
    for (const file of [FABRIC_FILES.log, FABRIC_FILES.statusBlob, 'goal-state.json', 'fabric.out']) {
      const text = existsSync(join(state, file)) ? await readFile(join(state, file), 'utf8') : '';
      expect(text, file).not.toMatch(/PRIVATE KEY|"secret"|sig=/);
    }
  });

  it('disables and uninstalls what is deleted', async () => {
    const { exitCode, stderr } = await vm('delete', 'Greeter');
    expect(operations(stderr)).toEqual(['disable exit 0 1.2.0', 'uninstall exit 0 1.2.0']);
    expect(exitCode).toBe(0);
    expect(JSON.parse((await vm('list')).stdout)).toEqual([]);
  });

  it("refuses this machine's network, which has none of Azure's addresses", async () => {
    const zip = await writeScriptExtension(folder, { version: '1.2.0' });
    const words = [
      'vm',
      'set',
      zip,
      '--agent',
      'waagent',
      '--network',
      'host',
      '--vm',
      join(folder, 'other'),
    ];
    const { exitCode, stderr } = await runCli(words, { cwd: folder });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('--agent waagent does not go with --network host');
    expect(existsSync(join(folder, 'other'))).toBe(false);
  });
});

/** `install exit 0 1.0.0` for each line about an operation that has ended. */
function operations(stderr: string): readonly string[] {
  const lines = stderr.matchAll(/^ {2}(\w+) +bin\/handler \w+ {3}(exit \d+|\w.*?) {3}[\d.]+ \w+ {3}(\S+)$/gm);
  return [...lines].map(([, operation, outcome, version]) => `${operation} ${outcome} ${version}`);
}

const Views = z.array(z.object({ statuses: z.array(z.object({ code: z.string(), message: z.string() })) }));

function viewOf(stdout: string): { readonly code: string; readonly message: string } | undefined {
  return Views.parse(JSON.parse(stdout))[0]?.statuses[0];
}

async function whyNoWaagent(): Promise<string | undefined> {
  const noOverlay = await whyNoOverlay();
  if (noOverlay !== undefined) return noOverlay;
  for (const program of ['/usr/bin/python3', '/usr/bin/openssl']) {
    if (!existsSync(program)) return `${program} is missing`;
  }
  try {
    await fetchAgentPackages({ env: process.env, progress: () => {} });
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof ToolError)) throw thrown;
    return thrown.message.split('\n')[0];
  }
}
