import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OPERATION_TIMEOUT_SECONDS } from '@handlerkit/sdk/contract';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAgent } from './agent.ts';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm, HANDLER, runIn } from './fixtures/test-vm.ts';

let vm: TestVm;
beforeEach(async () => {
  vm = await createTestVm();
});
afterEach(() => vm.dispose());

/** Applies a package whose enable command is this text. */
async function enableWith(enableCommand: string): Promise<void> {
  const packageFile = await vm.pack('1.0.0', { manifest: { enableCommand } });
  await vm.apply(await vm.want('1.0.0', { packageFile, sequence: 3 }));
}

function enableOutput(): string | undefined {
  const ended = vm.events.findLast(
    (event) => event.kind === 'operation-ended' && event.operation === 'enable',
  );
  return ended?.kind === 'operation-ended' ? ended.output : undefined;
}

describe('the environment of a command', () => {
  it('holds the variables of the contract and the plain environment of a service of root, nothing else', async () => {
    await vm.apply(await vm.want('1.0.0', { sequence: 3 }));
    const common = {
      AZURE_GUEST_AGENT_EXTENSION_PATH: vm.path('1.0.0'),
      AZURE_GUEST_AGENT_EXTENSION_VERSION: '1.0.0',
      AZURE_GUEST_AGENT_WIRE_PROTOCOL_ADDRESS: '168.63.129.16',
      AZURE_GUEST_AGENT_EXTENSION_SUPPORTED_FEATURES: expect.stringMatching(
        /^\[\{"Key": ?"ExtensionTelemetryPipeline", ?"Value": ?"1\.0"\}\]$/,
      ),
      ConfigSequenceNumber: '3',
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      LANG: 'C.UTF-8',
      _AZURE_GUEST_AGENT_DAEMON_VERSION_: '2.15.0.1',
      PYTHONDONTWRITEBYTECODE: '1',
      AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE: 'NOT_RUN',
    };
    for (const operation of ['install', 'enable'] as const) {
      const { PWD, OLDPWD, SHLVL, _, ...env } = await vm.environment('1.0.0', operation);
      expect(env).toEqual(common);
      expect(PWD).toBe(vm.path('1.0.0'));
    }
  });

  it('names another WireServer when there is one', async () => {
    const agent = createAgent(
      { machine: vm.machine, wireProtocolAddress: '127.0.0.9' },
      { now: vm.now, sleep: async () => {} },
    );
    await agent.processGoalState({ id: 'incarnation_1', extensions: [await vm.want('1.0.0')] });
    const env = await vm.environment('1.0.0', 'enable');
    expect(env.AZURE_GUEST_AGENT_WIRE_PROTOCOL_ADDRESS).toBe('127.0.0.9');
  });
});

describe('a command line', () => {
  it('is one text for the shell, relative to the handler folder however many slashes it begins with', async () => {
    await enableWith('///bin/handler.sh enable && echo "$ConfigSequenceNumber" | tr 3 x; pwd');
    expect(await vm.noted('1.0.0')).toBe('Ready/0: Plugin enabled');
    expect(enableOutput()).toContain(`out of enable\nx\n${vm.path('1.0.0')}\n`);
  });

  it('runs in a folder with blanks and quotes in its name too', async () => {
    const odd = await createTestVm("handlerkit it's $HOME ");
    try {
      await odd.apply(await odd.want('1.0.0'));
      expect(await odd.calls()).toEqual(['install 1.0.0', 'enable 1.0.0']);
    } finally {
      await odd.dispose();
    }
  });

  it('finds no file of the agent for its output in the folder', async () => {
    await enableWith('bin/handler.sh enable; ls -A');
    expect(enableOutput()).toContain(
      'out of enable\nHandlerEnvironment.json\nHandlerManifest.json\nbin\nconfig\nmrseq\nstatus\n',
    );
  });

  it('that is empty runs the folder itself, which the shell refuses with 126', async () => {
    await enableWith('');
    expect(await vm.noted('1.0.0')).toMatch(/^NotReady\/1009: .*Non-zero exit code: 126, /s);
    expect(await vm.noted('1.0.0')).not.toContain('noexec');
  });

  it('does not wait for what it leaves in the background, nor kill it', async () => {
    const marker = join(vm.machine.libFolder, 'late');
    const gate = join(vm.machine.libFolder, 'gate');
    await runIn(
      vm,
      '1.0.0',
      'enable',
      `(until [ -e "${gate}" ] || ! [ -d "$lib" ]; do sleep 0.02; done; : > "${marker}") &\n`,
    );
    await vm.apply(await vm.want('1.0.0'));
    expect(existsSync(marker)).toBe(false);
    await runIn(vm, '1.0.0', 'disable', `: > "${gate}"\n`);
    await vm.apply(await vm.want('1.0.0', { requestedState: 'disabled' }));
    await expect.poll(() => existsSync(marker), { timeout: 10_000 }).toBe(true);
  });
});

describe('the end of a command', () => {
  it('after its time limit is SIGKILL for the whole group, and code 1011', async () => {
    const file = join(vm.machine.libFolder, 'pid');
    await runIn(vm, '1.0.0', 'enable', `echo before\nsleep 600 &\necho $! > "${file}"\nwait\n`);
    const agent = vm.newAgent({ operationTimeoutMs: (one) => (one === 'enable' ? 400 : 20_000) });
    await agent.processGoalState({ id: 'incarnation_1', extensions: [await vm.want('1.0.0')] });
    expect(await vm.noted('1.0.0')).toBe(
      `NotReady/1011: [ExtensionError] Timeout(0.4): ${vm.path('1.0.0')}/bin/handler.sh enable\n[stdout]\nbefore\n\n\n[stderr]\n`,
    );
    expect(vm.events.findLast((event) => event.kind === 'operation-ended')).toMatchObject({
      exitCode: null,
      timedOut: true,
    });
    const child = Number(await readFile(file, 'utf8'));
    await expect.poll(() => isRunning(child)).toBe(false);
  });

  it('gets the time limits of the contract when no others are given', async () => {
    const limits: number[] = [];
    const machine = {
      ...vm.machine,
      run: (line: string, options: Parameters<typeof vm.machine.run>[1]) => {
        limits.push(options.timeoutMs);
        return vm.machine.run(line, options);
      },
    };
    const agent = createAgent({ machine }, { now: vm.now, sleep: async () => {} });
    await agent.processGoalState({ id: 'incarnation_1', extensions: [await vm.want('1.0.0')] });
    const extensions = [await vm.want('1.0.0', { requestedState: 'uninstall' })];
    await agent.processGoalState({ id: 'incarnation_2', extensions });
    const { install, enable, disable, uninstall } = OPERATION_TIMEOUT_SECONDS;
    expect(limits).toEqual([install, enable, disable, uninstall].map((seconds) => seconds * 1000));
  });

  it('by a signal inside the shell shows as 128 and more', async () => {
    await runIn(vm, '1.0.0', 'enable', "code=143\nsh -c 'kill -TERM $$'; code=$?\n");
    await vm.apply(await vm.want('1.0.0'));
    expect(await vm.noted('1.0.0')).toMatch(/Non-zero exit code: 143, /);
  });

  it('that could not begin is a failure of its operation', async () => {
    const machine = {
      ...vm.machine,
      run: async () => ({ exitCode: null, timedOut: false, launchError: 'No such file', durationMs: 0 }),
    };
    const agent = createAgent({ machine }, { now: vm.now, sleep: async () => {} });
    await agent.processGoalState({ id: 'incarnation_1', extensions: [await vm.want('1.0.0')] });
    expect(await vm.noted('1.0.0')).toBe(
      `NotReady/1007: [ExtensionError] Failed to launch '${vm.path('1.0.0')}/bin/handler.sh install': No such file`,
    );
  });

  it('with exit code 126 says so when the mount of the agent folder is noexec', async () => {
    const { libFolder } = vm.machine;
    const mounts = `echo 'tmpfs ${libFolder} tmpfs rw,noexec 0 0'`;
    const machine = {
      ...vm.machine,
      run: (line: string, options: Parameters<typeof vm.machine.run>[1]) =>
        vm.machine.run(line.startsWith('cat /proc/') ? mounts : line, options),
    };
    const agent = createAgent({ machine }, { now: vm.now, sleep: async () => {} });
    await vm.failOn('1.0.0', 'install', 126);
    await agent.processGoalState({ id: 'incarnation_1', extensions: [await vm.want('1.0.0')] });
    expect(await vm.noted('1.0.0')).toContain(
      `handler.sh install\nWARNING: ${libFolder} is mounted with the noexec flag, which can prevent execution of VM Extensions.\n[stdout]`,
    );
  });

  it('shows the first 3200 bytes of each stream, cut to their ends when they are too long together', async () => {
    await runIn(
      vm,
      '1.0.0',
      'enable',
      'head -c 5000 /dev/zero | tr "\\\\0" A; head -c 50 /dev/zero | tr "\\\\0" B >&2; exit 5\n',
    );
    await vm.apply(await vm.want('1.0.0'));
    expect(enableOutput()).toBe(`[stdout]\n${'A'.repeat(1590 + 1540)}\n\n[stderr]\n${'B'.repeat(50)}`);
  });

  it('shows bytes that are no UTF-8 with backslashes', async () => {
    await runIn(vm, '1.0.0', 'enable', "printf 'a\\377b\\303\\251'; exit 5\n");
    await vm.apply(await vm.want('1.0.0'));
    expect(enableOutput()).toBe('[stdout]\na\\xffbé\n\n[stderr]\n');
  });

  it('is a failure with code 1002 or 1003 when the manifest is gone or broken by then', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await runIn(vm, '1.0.0', 'enable', 'echo "{" > "$base/HandlerManifest.json"\n');
    await vm.apply(await vm.want('1.0.0'));
    await vm.apply(await vm.want('1.0.0'));
    expect(await vm.noted('1.0.0')).toBe(
      `NotReady/1003: [ExtensionError] Malformed manifest file (${vm.path('1.0.0')}/HandlerManifest.json).`,
    );
  });
});

describe('the log of the commands', () => {
  it('names what ran, with the variables of the contract only and the output without blank lines', async () => {
    await vm.apply(await vm.want('1.0.0'));
    const log = await readFile(join(vm.machine.logFolder, HANDLER, 'CommandExecution.log'), 'utf8');
    const command = `${vm.path('1.0.0')}/bin/handler.sh enable`;
    expect(log).toContain(
      '2026-01-02T03:04:05.000000Z INFO ExtHandler [Contoso.Test-1.0.0] Target handler state: enabled [incarnation_1]\n',
    );
    expect(log).toContain('[Enable] current handler state is: notinstalled\n');
    expect(log).toMatch(
      /Requested extension state: enabled\n.* Enable extension: \[bin\/handler\.sh enable\]\n/,
    );
    expect(log).toContain('Install extension [bin/handler.sh install]\n');
    expect(log).toContain(`Executing command: ${command} with environment variables: {`);
    expect(log).not.toContain('LANG');
    expect(log).toMatch(
      /\[Contoso\.Test-1\.0\.0\] Command: bin\/handler\.sh enable\n\[stdout\]\nout of enable\n\[stderr\]\nerr of enable\n$/,
    );
    expect(log).not.toContain('\n\n');
    const agentLog = await readFile(join(vm.folder, 'log', 'waagent.log'), 'utf8');
    expect(agentLog).toContain('ProcessExtensionsGoalState started [incarnation_1]\n');
    expect(agentLog).toContain('Command: bin/handler.sh enable\n');
    expect(agentLog).not.toContain('\n\n');
  });

  it('says nothing of a requested state when there are no settings', async () => {
    await vm.apply(await vm.want('1.0.0', { settings: undefined }));
    const log = await readFile(join(vm.machine.logFolder, HANDLER, 'CommandExecution.log'), 'utf8');
    expect(log).toContain('Enable extension: [bin/handler.sh enable]\n');
    expect(log).not.toContain('Requested extension state');
  });
});

/** A process that is dead but not yet collected by its parent does not run any more. */
function isRunning(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}
