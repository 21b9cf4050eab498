import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Operation } from '@handlerkit/sdk/contract';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm, HANDLER, runIn } from './fixtures/test-vm.ts';

let vm: TestVm;
beforeEach(async () => {
  vm = await createTestVm();
});
afterEach(() => vm.dispose());

/** The manifest of a handler that is installed. */
async function manifestOf(): Promise<string> {
  await vm.apply(await vm.want('1.0.0'));
  return vm.path('1.0.0', 'HandlerManifest.json');
}

describe('a handler that is to be enabled', () => {
  it('is unpacked, installed and enabled when it is new', async () => {
    await vm.apply(await vm.want('1.0.0'));
    expect(await vm.calls()).toEqual(['install 1.0.0', 'enable 1.0.0']);
    expect(await vm.state('1.0.0')).toBe('Enabled');
    expect(await vm.noted('1.0.0')).toBe('Ready/0: Plugin enabled');
  });

  it('is only enabled when it is installed', async () => {
    await vm.failOn('1.0.0', 'enable', 3);
    await vm.apply(await vm.want('1.0.0'));
    expect(await vm.state('1.0.0')).toBe('Installed');
    await vm.failOn('1.0.0', 'enable', 0);
    await vm.calls();
    await vm.apply(await vm.want('1.0.0'));
    expect(await vm.calls()).toEqual(['enable 1.0.0']);
    expect(await vm.state('1.0.0')).toBe('Enabled');
    expect(await vm.noted('1.0.0')).toBe('Ready/0: Plugin enabled');
  });

  it('is enabled again by every goal state, also with the same sequence number and by another agent process', async () => {
    for (let i = 0; i < 3; i++) await vm.apply(await vm.want('1.0.0', { sequence: 4 }));
    expect(await vm.calls()).toEqual(['install 1.0.0', 'enable 1.0.0', 'enable 1.0.0', 'enable 1.0.0']);
  });

  it('finds its settings before every command, rewritten for an unchanged number', async () => {
    const script = 'cp "$base/config/$ConfigSequenceNumber.settings" "$lib/seen.$operation"\n';
    await runIn(vm, '1.0.0', 'install', script);
    await runIn(vm, '1.0.0', 'enable', script);
    await vm.apply(await vm.want('1.0.0', { sequence: 7 }));
    const settings =
      '{"runtimeSettings": [{"handlerSettings": {"publicSettings": {"greeting": "hello"}, "protectedSettings": null, "protectedSettingsCertThumbprint": null}}]}';
    for (const operation of ['install', 'enable']) {
      const seen = await readFile(join(vm.machine.libFolder, `seen.${operation}`), 'utf8');
      expect(JSON.parse(seen)).toEqual(JSON.parse(settings));
    }
    await rm(vm.path('1.0.0', 'config', '7.settings'));
    await vm.apply(await vm.want('1.0.0', { sequence: 7 }));
    expect(existsSync(vm.path('1.0.0', 'config', '7.settings'))).toBe(true);
  });

  it('gets an empty 0.settings and sequence number 0 when there are no settings', async () => {
    await vm.apply(await vm.want('1.0.0', { sequence: 9, settings: undefined }));
    expect(await readFile(vm.path('1.0.0', 'config', '0.settings'), 'utf8')).toBe('');
    expect((await vm.environment('1.0.0', 'enable')).ConfigSequenceNumber).toBe('0');
    expect(await readdir(vm.path('1.0.0', 'config'))).not.toContain('9.settings');
  });

  it('gets all three keys as null when the settings are null', async () => {
    const settings = { publicSettings: null, protectedSettings: null, thumbprint: null };
    await vm.apply(await vm.want('1.0.0', { sequence: 2, settings }));
    const text = await readFile(vm.path('1.0.0', 'config', '2.settings'), 'utf8');
    expect(JSON.parse(text).runtimeSettings[0].handlerSettings).toEqual({
      publicSettings: null,
      protectedSettings: null,
      protectedSettingsCertThumbprint: null,
    });
  });

  it('keeps the older settings and statuses of its version', async () => {
    for (const sequence of [0, 1]) await vm.apply(await vm.want('1.0.0', { sequence }));
    expect(await readdir(vm.path('1.0.0', 'config'))).toEqual(
      expect.arrayContaining(['0.settings', '1.settings']),
    );
    expect(await readdir(vm.path('1.0.0', 'status'))).toEqual(['0.status', '1.status']);
  });
});

describe('a handler that is to be disabled', () => {
  it('is disabled when it is enabled, whatever version the goal state names, and with its sequence number', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await vm.calls();
    await vm.apply(await vm.want('9.9.9', { requestedState: 'disabled', sequence: 5 }));
    expect(await vm.calls()).toEqual(['disable 1.0.0']);
    expect(await vm.state('1.0.0')).toBe('Installed');
    expect(await vm.noted('1.0.0')).toBe('NotReady/0: Plugin disabled');
    expect((await vm.environment('1.0.0', 'disable')).ConfigSequenceNumber).toBe('5');
    expect(existsSync(vm.path('1.0.0', 'config', '5.settings'))).toBe(false);
  });

  it('is left alone when it is not enabled', async () => {
    await vm.apply(await vm.want('1.0.0', { requestedState: 'disabled' }));
    expect(await vm.calls()).toEqual([]);
    await vm.failOn('1.0.0', 'enable', 1);
    await vm.apply(await vm.want('1.0.0'));
    await vm.calls();
    await vm.apply(await vm.want('1.0.0', { requestedState: 'disabled' }));
    expect(await vm.calls()).toEqual([]);
  });
});

describe('a handler that is to be uninstalled', () => {
  it('is disabled, uninstalled and deleted when it is enabled; its logs stay', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await vm.calls();
    await vm.apply(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    expect(await vm.calls()).toEqual(['disable 1.0.0', 'uninstall 1.0.0']);
    expect(existsSync(vm.path('1.0.0'))).toBe(false);
    expect(existsSync(join(vm.machine.logFolder, HANDLER, 'CommandExecution.log'))).toBe(true);
  });

  it('is not disabled when it is only installed', async () => {
    await vm.failOn('1.0.0', 'enable', 1);
    await vm.apply(await vm.want('1.0.0'));
    await vm.calls();
    await vm.apply(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    expect(await vm.calls()).toEqual(['uninstall 1.0.0']);
    expect(existsSync(vm.path('1.0.0'))).toBe(false);
  });

  it('is uninstalled when its upgrade failed and no other version is there', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await writeFile(vm.path('1.0.0', 'config', 'HandlerState'), 'FailedUpgrade');
    await vm.calls();
    await vm.apply(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    expect(await vm.calls()).toEqual(['uninstall 1.0.0']);
    expect(existsSync(vm.path('1.0.0'))).toBe(false);
  });

  it('only loses its folder when it is not installed', async () => {
    await vm.failOn('1.0.0', 'install', 1);
    await vm.apply(await vm.want('1.0.0'));
    expect(existsSync(vm.path('1.0.0'))).toBe(true);
    await vm.calls();
    await vm.apply(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    expect(await vm.calls()).toEqual([]);
    expect(existsSync(vm.path('1.0.0'))).toBe(false);
    await vm.apply(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    expect(await vm.calls()).toEqual([]);
  });

  it('may delete its own folder, and its output is read all the same', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await runIn(vm, '1.0.0', 'uninstall', 'cd /; rm -rf "$base"\n');
    await vm.apply(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    const ended = vm.events.findLast((event) => event.kind === 'operation-ended');
    expect(ended?.output).toBe('[stdout]\nout of uninstall\n\n\n[stderr]\nerr of uninstall\n');
    expect(existsSync(vm.path('1.0.0'))).toBe(false);
  });
});

describe('an operation that fails', () => {
  it('leaves a handler not installed after install, and the next goal state starts from the package again', async () => {
    await vm.failOn('1.0.0', 'install', 4);
    await vm.apply(await vm.want('1.0.0'));
    expect(await vm.calls()).toEqual(['install 1.0.0']);
    expect(await vm.state('1.0.0')).toBe('NotInstalled');
    expect(await vm.noted('1.0.0')).toMatch(
      /^NotReady\/1007: \[ExtensionOperationError\] Non-zero exit code: 4, .*bin\/handler\.sh install\n\[stdout\]/,
    );
    await rm(vm.path('1.0.0', 'bin'), { recursive: true });
    await vm.failOn('1.0.0', 'install', 0);
    await vm.apply(await vm.want('1.0.0'));
    expect(await vm.calls()).toEqual(['install 1.0.0', 'enable 1.0.0']);
    expect((await vm.environment('1.0.0', 'install')).AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE).toBe(
      'NOT_RUN',
    );
  });

  it('leaves an enabled handler enabled after a later enable', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await vm.failOn('1.0.0', 'enable', 4);
    await vm.apply(await vm.want('1.0.0', { sequence: 1 }));
    expect(await vm.state('1.0.0')).toBe('Enabled');
    expect(await vm.noted('1.0.0')).toMatch(/^NotReady\/1009: /);
  });

  it('keeps everything when it is the disable of an uninstall', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await vm.failOn('1.0.0', 'disable', 4);
    await vm.calls();
    await vm.apply(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    expect(await vm.calls()).toEqual(['disable 1.0.0']);
    expect(await vm.state('1.0.0')).toBe('Enabled');
    expect(await vm.noted('1.0.0')).toMatch(/^NotReady\/1010: /);
  });

  it('does not keep the folder when it is uninstall', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await vm.failOn('1.0.0', 'uninstall', 4);
    await vm.apply(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    expect(existsSync(vm.path('1.0.0'))).toBe(false);
    expect(vm.events.some((event) => event.kind === 'note' && event.text.includes('exit code: 4'))).toBe(
      true,
    );
  });

  it('does not hold up other handlers', async () => {
    await vm.failOn('1.0.0', 'install', 4);
    await vm.apply(await vm.want('1.0.0'), await vm.want('2.0.0', { handlerName: 'Contoso.Other' }));
    expect(await vm.calls()).toEqual(['install 1.0.0', 'install 2.0.0', 'enable 2.0.0']);
  });

  it.each<[string, string]>([
    ['{}', 'NotReady/-1: 0'],
    ['[]', 'NotReady/-1: list index out of range'],
    ['[{}]', "NotReady/-1: 'handlerManifest'"],
    ['[{"handlerManifest":null}]', 'NotReady/-1: [ExtensionError] Malformed manifest file.'],
  ])('reports the manifest %s as the agent does: %s', async (text, noted) => {
    const packageFile = await vm.pack('1.0.0', { files: { 'HandlerManifest.json': text } });
    await vm.apply(await vm.want('1.0.0', { packageFile }));
    expect(await vm.noted('1.0.0')).toBe(noted);
  });

  it('says once what an agent with control of groups would limit', async () => {
    const { handlerManifest } = JSON.parse(await readFile(await manifestOf(), 'utf8'))[0];
    const resourceLimits = {
      cpuQuotaPercentage: 5,
      memoryQuotaInMB: 10,
      services: [{ name: 'greeter.service', cpuQuotaPercentage: 20 }],
    };
    const files = { 'HandlerManifest.json': JSON.stringify([{ handlerManifest, resourceLimits }]) };
    const wanted = await vm.want('2.0.0', { packageFile: await vm.pack('2.0.0', { files }) });
    vm.events.length = 0;
    await vm.apply(wanted);
    await vm.apply(wanted);
    const notes = vm.events.flatMap((event) => (event.kind === 'note' ? [event.text] : []));
    expect(notes.filter((text) => text.includes('resourceLimits'))).toEqual([
      'resourceLimits in the manifest limit nothing here. On a VM with systemd, where the agent controls groups, it sets CPUQuota=5% for azure-vmextensions-Contoso.Test.slice, CPUQuota=20% for greeter.service. A memory quota is only told to Microsoft, never enforced.',
    ]);
  });

  const faulty: readonly [Operation, Record<string, unknown>, string][] = [
    ['install', { installCommand: undefined }, "NotReady/-1: 'installCommand'"],
    ['install', { installCommand: null }, "NotReady/-1: 'NoneType' object has no attribute 'lstrip'"],
    ['enable', { enableCommand: undefined }, "NotReady/-1: 'enableCommand'"],
  ];
  it.each(faulty)(
    'reports a manifest whose %s command is %j with code -1',
    async (_operation, manifest, text) => {
      const packageFile = await vm.pack('1.0.0', { manifest });
      await vm.apply(await vm.want('1.0.0', { packageFile }));
      expect(await vm.noted('1.0.0')).toBe(text);
    },
  );

  it('is not the fault of a command that is null and never due', async () => {
    const packageFile = await vm.pack('1.0.0', {
      manifest: { updateCommand: null, disableCommand: undefined },
    });
    await vm.apply(await vm.want('1.0.0', { packageFile }));
    expect(await vm.state('1.0.0')).toBe('Enabled');
  });
});

describe('other versions of a handler that is in the goal state', () => {
  it('are left alone by the cleanup, also one whose upgrade failed', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await vm.failOn('2.0.0', 'update', 1);
    await vm.apply(await vm.want('2.0.0', { sequence: 1 }));
    await vm.apply(await vm.want('1.0.0', { sequence: 2 }));
    expect(existsSync(vm.path('2.0.0'))).toBe(true);
    expect(await vm.state('2.0.0')).toBe('FailedUpgrade');
    await vm.apply();
    expect([existsSync(vm.path('1.0.0')), existsSync(vm.path('2.0.0'))]).toEqual([false, false]);
  });
});

describe('a handler that is gone from the goal state', () => {
  it('loses its folders without a call, and nothing else in the agent folder is touched', async () => {
    await vm.apply(await vm.want('1.0.0'));
    const { libFolder } = vm.machine;
    for (const name of ['WALinuxAgent-2.15.0.1', `${HANDLER}.data`, 'history'])
      await mkdir(join(libFolder, name));
    await vm.calls();
    await vm.apply(await vm.want('2.0.0', { handlerName: 'Contoso.Other' }));
    expect(await vm.calls()).toEqual(['install 2.0.0', 'enable 2.0.0']);
    expect((await readdir(libFolder)).filter((name) => !/^(env|trace)/.test(name)).sort()).toEqual(
      ['Contoso.Other-2.0.0', `${HANDLER}.data`, 'WALinuxAgent-2.15.0.1', 'history'].sort(),
    );
  });

  it('is deleted although a process of its own keeps writing into the folder', async () => {
    await runIn(
      vm,
      '1.0.0',
      'enable',
      '(i=0; while [ -d "$base" ] && [ $i -lt 20000 ]; do : > "$base/status/$i.tmp"; i=$((i+1)); done 2>/dev/null) > /dev/null 2>&1 &\n',
    );
    await vm.apply(await vm.want('1.0.0'));
    await vm.apply();
    expect(existsSync(vm.path('1.0.0'))).toBe(false);
  });
});

describe('an agent that starts', () => {
  it('writes the handler environment of every handler anew and runs nothing', async () => {
    await vm.apply(await vm.want('1.0.0'));
    const file = vm.path('1.0.0', 'HandlerEnvironment.json');
    const text = await readFile(file, 'utf8');
    await writeFile(file, '');
    await vm.calls();
    await vm.newAgent().start();
    expect(await readFile(file, 'utf8')).toBe(text);
    expect(await vm.calls()).toEqual([]);
  });
});

describe('an aborted goal state', () => {
  it('kills the command that runs, rejects with the reason and notes no failure', async () => {
    await runIn(vm, '1.0.0', 'enable', ': > "$lib/running"; sleep 600\n');
    const controller = new AbortController();
    const reason = new Error('stopped by the user');
    const extensions = [await vm.want('1.0.0'), await vm.want('2.0.0', { handlerName: 'Contoso.Other' })];
    const done = vm.agent.processGoalState({ id: 'incarnation_1', extensions }, controller.signal);
    const running = join(vm.machine.libFolder, 'running');
    while (!existsSync(running)) await new Promise((resolve) => setImmediate(resolve));
    await vm.calls();
    controller.abort(reason);
    await expect(done).rejects.toBe(reason);
    expect(await vm.state('1.0.0')).toBe('Installed');
    expect(await vm.noted('1.0.0')).toBe('NotReady/0: Plugin installed but not enabled');
    expect(await vm.calls()).toEqual([]);
  });
});

describe('what the agent tells', () => {
  it('names each operation with its command, exit code and output', async () => {
    await vm.failOn('1.0.0', 'enable', 3);
    await vm.apply(await vm.want('1.0.0'));
    const commandLine = `${vm.path('1.0.0')}/bin/handler.sh enable`;
    const event = { handlerName: HANDLER, version: '1.0.0', operation: 'enable', commandLine };
    expect(vm.events).toContainEqual({ kind: 'operation-started', ...event });
    expect(vm.events).toContainEqual({
      kind: 'operation-ended',
      ...event,
      exitCode: 3,
      timedOut: false,
      durationMs: expect.any(Number),
      output: '[stdout]\nout of enable\n\n\n[stderr]\nerr of enable\n',
    });
  });

  it('keeps config and status for the owner only and leaves no file of its own in the folder', async () => {
    await vm.apply(await vm.want('1.0.0'));
    for (const name of ['config', 'status'])
      expect((await stat(vm.path('1.0.0', name))).mode & 0o777).toBe(0o700);
    expect((await readdir(vm.path('1.0.0'))).sort()).toEqual(
      ['HandlerEnvironment.json', 'HandlerManifest.json', 'bin', 'config', 'mrseq', 'status'].sort(),
    );
    expect((await readdir(vm.path('1.0.0', 'config'))).sort()).toEqual([
      '0.settings',
      'HandlerState',
      'HandlerStatus',
    ]);
  });
});
