/** What decides about a goal state as a whole, and about entries that cannot be processed: agent-contract 7.1, 7.9, 12.3, 13.1. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Agent, GoalState, GoalStateExtension, HandlerReport } from './agent.ts';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm, HANDLER } from './fixtures/test-vm.ts';

let vm: TestVm;
let agent: Agent;
beforeEach(async () => {
  vm = await createTestVm();
  agent = vm.newAgent();
});
afterEach(() => vm.dispose());

const processAll = (...extensions: readonly GoalStateExtension[]): Promise<void> =>
  agent.processGoalState({ id: 'incarnation_7', extensions });
const report = (extensions: readonly GoalStateExtension[], more: Partial<GoalState> = {}) =>
  agent.report({ id: 'incarnation_7', extensions, ...more });
const configure = (text: string): Promise<void> => writeFile(join(vm.folder, 'etc', 'waagent.conf'), text);
const note = (text: string) => expect.objectContaining({ kind: 'note', text });

describe('a goal state', () => {
  it('that is processed is a success, also when an extension in it fails', async () => {
    expect(agent.outcome?.()).toBeUndefined();
    await vm.failOn('1.0.0', 'install', 1);
    await processAll(await vm.want('1.0.0'));
    expect(agent.outcome?.()).toEqual({
      status: 'Success',
      code: 0,
      message: 'GoalState executed successfully',
    });
  });

  it('on hold is left alone: nothing runs, nothing is deleted, the outcome stays', async () => {
    await processAll(await vm.want('1.0.0'));
    await vm.calls();
    const former = agent.outcome?.();
    await agent.processGoalState({ id: 'incarnation_8', extensions: [], onHold: true });
    expect([await vm.calls(), existsSync(vm.path('1.0.0')), agent.outcome?.()]).toEqual([[], true, former]);
    expect(vm.events).toContainEqual(note('Extension handling is on hold'));
  });

  it('on hold is processed when EnableOverProvisioning is n', async () => {
    await configure('EnableOverProvisioning=n\n');
    await agent.processGoalState({ id: 'i', extensions: [await vm.want('1.0.0')], onHold: true });
    expect(await vm.state('1.0.0')).toBe('Enabled');
  });

  it('with features that the agent lacks fails with 2001, runs and deletes nothing, and reports what is on the disk', async () => {
    await processAll(await vm.want('1.0.0', { sequence: 4 }));
    await vm.calls();
    const requiredFeatures = ['MultipleExtensionsPerHandler', 'Telepathy', 'VersioningGovernance', 'Luck'];
    const extensions = [await vm.want('2.0.0', { handlerName: 'Contoso.Other' })];
    await agent.processGoalState({ id: 'incarnation_9', extensions, requiredFeatures });
    const message = 'Failing GS incarnation_9 as Unsupported features found: Telepathy, Luck';
    expect(agent.outcome?.()).toEqual({ status: 'Failed', code: 2001, message });
    expect(await vm.calls()).toEqual([]);
    const reports = await report(extensions, { requiredFeatures });
    expect(reports).toMatchObject([
      {
        handlerName: HANDLER,
        status: 'Ready',
        extension: { sequence: 4, verdict: { reported: { status: 'success' } } },
      },
    ]);
  });

  it('with features that the agent has is processed', async () => {
    const requiredFeatures = ['MultipleExtensionsPerHandler', 'VersioningGovernance'];
    await agent.processGoalState({ id: 'i', extensions: [await vm.want('1.0.0')], requiredFeatures });
    expect(await vm.state('1.0.0')).toBe('Enabled');
  });

  it('with an unknown requested state fails with -1 and runs nothing', async () => {
    await processAll(
      await vm.want('1.0.0'),
      await vm.want('2.0.0', { handlerName: 'Contoso.Other', requestedState: 'paused' }),
    );
    expect(await vm.calls()).toEqual([]);
    expect(agent.outcome?.()).toMatchObject({ status: 'Failed', code: -1 });
    expect(agent.outcome?.()?.message).toMatch(
      /^Unexpected error when processing goal state:.*Contoso\.Other: the state "paused" is none of enabled, disabled, uninstall/,
    );
  });
});

describe('extensions that the agent’s configuration switches off', () => {
  const message = `Extension 'Contoso.Test' will not be processed since extension processing is disabled. To enable extension processing, set Extensions.Enabled=y in '/etc/waagent.conf'`;

  it('get no command, code 1009, and an error status that replaces the one that is there', async () => {
    const wanted = await vm.want('1.0.0');
    await processAll(wanted);
    await vm.calls();
    await configure('Extensions.Enabled=n\n');
    await processAll(wanted);
    expect(await vm.calls()).toEqual([]);
    expect(await vm.noted('1.0.0')).toBe(`NotReady/1009: ${message}`);
    const [status] = JSON.parse(await readFile(vm.path('1.0.0', 'status', '0.status'), 'utf8'));
    expect(status).toEqual({
      version: 1,
      timestampUTC: '2026-01-02T03:04:05Z',
      status: {
        name: HANDLER,
        operation: null,
        status: 'error',
        code: 1009,
        formattedMessage: { lang: 'en-US', message },
      },
    });
  });

  it('are reported with that status also when they were never installed', async () => {
    await configure('Extensions.Enabled=n\n');
    const wanted = await vm.want('1.0.0', { sequence: 3 });
    await processAll(wanted);
    expect(await vm.state('1.0.0')).toBe('NotInstalled');
    expect(await report([wanted])).toMatchObject([
      { status: 'NotReady', code: 1009, extension: { sequence: 3, verdict: { reported: { code: 1009 } } } },
    ]);
  });

  it('stay when they are to be uninstalled: code 1010 and no status file', async () => {
    await processAll(await vm.want('1.0.0'));
    await vm.calls();
    await configure('Extensions.Enabled=n\n');
    await rm(vm.path('1.0.0', 'status', '0.status'));
    await processAll(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    expect(await vm.calls()).toEqual([]);
    expect(await vm.noted('1.0.0')).toBe(`NotReady/1010: ${message}`);
    expect(await readdir(vm.path('1.0.0', 'status'))).toEqual([]);
  });

  it('without settings get no status file', async () => {
    await configure('Extensions.Enabled=n\n');
    await processAll(await vm.want('1.0.0', { settings: undefined }));
    expect(await vm.noted('1.0.0')).toBe(`NotReady/1009: ${message}`);
    expect(existsSync(vm.path('1.0.0', 'status'))).toBe(false);
  });

  it('keep their last heartbeat in the message only', async () => {
    const packageFile = await vm.pack('1.0.0', {
      manifest: { reportHeartbeat: true },
      files: {
        'heartbeat.log':
          '[{"heartbeat":{"status":"Ready","formattedMessage":{"lang":"en","message":"all is well"}}}]',
      },
    });
    const wanted = await vm.want('1.0.0', { packageFile });
    await processAll(wanted);
    await configure('Extensions.Enabled=n\n');
    await processAll(wanted);
    const [one] = await report([wanted]);
    expect(one).toMatchObject({ status: 'NotReady', code: 1009 });
    expect(one?.message).toBe(
      `${message} Extension was previously enabled and reported the following heartbeat:\nall is well`,
    );
  });
});

describe('a policy', () => {
  const POLICY_FILE = '/etc/waagent_policy.json';
  const policy = async (text: string): Promise<void> => {
    await configure('Debug.EnableExtensionPolicy=y\n');
    await writeFile(join(vm.folder, POLICY_FILE), text);
  };
  const allowing = (...names: readonly string[]): string =>
    JSON.stringify({
      policyVersion: '0.1.0',
      extensionPolicies: {
        allowListedExtensionsOnly: true,
        extensions: Object.fromEntries(names.map((name) => [name, {}])),
      },
    });
  const refused = (verb: string): string =>
    `Extension will not be processed: failed to ${verb} extension 'Contoso.Test' because it is not specified as an allowed extension. To ${verb}, add the extension to the list of allowed extensions in the policy file ('${POLICY_FILE}').`;

  it('lets a listed extension through, whatever the case of its name', async () => {
    await policy(allowing('CONTOSO.test'));
    await processAll(await vm.want('1.0.0'));
    expect(await vm.state('1.0.0')).toBe('Enabled');
  });

  it('stops one that is not listed, to run and to uninstall', async () => {
    await policy(allowing('Contoso.Other'));
    await processAll(await vm.want('1.0.0'));
    expect(await vm.noted('1.0.0')).toBe(`NotReady/1009: ${refused('run')}`);
    await processAll(await vm.want('1.0.0', { requestedState: 'uninstall' }));
    expect(await vm.noted('1.0.0')).toBe(`NotReady/1010: ${refused('uninstall')}`);
    expect(await vm.calls()).toEqual([]);
  });

  it('stops what waits for one that is not listed', async () => {
    await policy(allowing('Contoso.Other'));
    await processAll(
      await vm.want('1.0.0'),
      await vm.want('2.0.0', { handlerName: 'Contoso.Other', dependencyLevel: 1 }),
    );
    expect(await vm.calls()).toEqual([]);
    expect(await vm.noted('2.0.0', 'Contoso.Other')).toBe(
      'NotReady/-1: Skipping processing of extensions since execution of dependent extension Contoso.Test failed',
    );
  });

  it('that is invalid stops every extension and says why', async () => {
    await policy('{"policyVersion":"9"}');
    await processAll(await vm.want('1.0.0'));
    expect(await vm.noted('1.0.0')).toBe(
      `NotReady/1009: Extension will not be processed: [InvalidPolicyError] Customer-provided policy file ('${POLICY_FILE}') is invalid, please correct the following error: policy version '9' is not supported. The agent supports policy versions up to '0.1.0'.`,
    );
  });

  it('has no effect unless the agent’s configuration switches it on', async () => {
    await policy(allowing());
    await configure('');
    await processAll(await vm.want('1.0.0'));
    expect(await vm.state('1.0.0')).toBe('Enabled');
  });
});

describe('settings as the platform words them', () => {
  const config = (text: string): string =>
    `NotReady/-1: Ran into config errors: [ExtensionsGoalStateError] [ExtensionsConfigError] ${text}. \nPlease retry again as another operation with updated settings`;

  it('are used when they are in order', async () => {
    const text = '{"runtimeSettings":[{"handlerSettings":{"publicSettings":{"a":1}}}]}';
    const wanted = await vm.want('1.0.0', { settingsNode: { sequence: '6', text } });
    await processAll(wanted);
    expect(await readFile(vm.path('1.0.0', 'config', '6.settings'), 'utf8')).toBe(
      '{"runtimeSettings": [{"handlerSettings": {"publicSettings": {"a": 1}, "protectedSettings": null, "protectedSettingsCertThumbprint": null}}]}',
    );
    expect(await report([wanted])).toMatchObject([{ extension: { sequence: 6 } }]);
  });

  it('that are no JSON are three nulls, and the handler runs', async () => {
    await processAll(await vm.want('1.0.0', { settingsNode: { sequence: '6', text: '{' } }));
    expect(await readFile(vm.path('1.0.0', 'config', '6.settings'), 'utf8')).toBe(
      '{"runtimeSettings": [{"handlerSettings": {"publicSettings": null, "protectedSettings": null, "protectedSettingsCertThumbprint": null}}]}',
    );
    expect(await vm.state('1.0.0')).toBe('Enabled');
  });

  it.each([undefined, ''])(
    'without a sequence number (%j) are an error of the configuration',
    async (sequence) => {
      const wanted = await vm.want('1.0.0', { settingsNode: { sequence, text: '{}' } });
      await processAll(wanted);
      expect(await vm.calls()).toEqual([]);
      expect(await vm.noted('1.0.0')).toBe(config(`SeqNo not specified for the Extension: ${HANDLER}`));
      expect(await report([wanted])).toMatchObject([{ code: -1, extension: undefined }]);
    },
  );

  it('of another version are an error of the configuration, and other handlers go on', async () => {
    const settingsNode = { version: '1.0.1', sequence: '0', text: '{}' };
    await processAll(
      await vm.want('1.0.0', { settingsNode }),
      await vm.want('2.0.0', { handlerName: 'Contoso.Other' }),
    );
    expect(await vm.calls()).toEqual(['install 2.0.0', 'enable 2.0.0']);
    expect(await vm.noted('1.0.0')).toBe(
      config(
        `Extension PluginSettings Version Mismatch! Expected PluginSettings version: 1.0.0 for Extension: ${HANDLER} but found versions: (1.0.1)`,
      ),
    );
  });
});

describe('the version of a handler', () => {
  const packages = async (...versions: readonly string[]) =>
    Promise.all(versions.map(async (version) => ({ version, packageFile: await vm.pack(version) })));
  let reports: readonly HandlerReport[];

  it('is the newest that begins with the wanted numbers; folders, variables and report have it', async () => {
    const wanted = await vm.want('1.0', { packages: await packages('1.0.2', '1.0.10', '1.1.0', '2.0.0') });
    await processAll(wanted);
    reports = await report([wanted]);
    expect(await vm.calls()).toEqual(['install 1.0.10', 'enable 1.0.10']);
    expect((await vm.environment('1.0.10', 'enable')).AZURE_GUEST_AGENT_EXTENSION_VERSION).toBe('1.0.10');
    expect(reports).toMatchObject([{ handlerVersion: '1.0.10', status: 'Ready' }]);
    expect(existsSync(vm.path('1.0'))).toBe(false);
  });

  it('that cannot be had is an error under the wanted version', async () => {
    const wanted = await vm.want('3.1', { packages: await packages('1.0.0', '3.2.0') });
    await processAll(wanted);
    expect(await vm.noted('3.1')).toBe(
      `NotReady/-1: [ExtensionError] Unable to find version 3.1 in manifest for extension ${HANDLER}`,
    );
    expect(await report([wanted])).toMatchObject([{ handlerVersion: '3.1', code: -1, extension: undefined }]);
  });

  it('need not be had to be uninstalled', async () => {
    await processAll(await vm.want('1.0.0'));
    await vm.calls();
    await processAll(
      await vm.want('2.0.0', { requestedState: 'uninstall', packages: await packages('2.0.0') }),
    );
    expect(await vm.calls()).toEqual(['disable 1.0.0', 'uninstall 1.0.0']);
    expect(vm.events).toContainEqual(
      note(
        `Failed to find installed version: 1.0.0 of Handler: ${HANDLER}  in handler manifest to uninstall.`,
      ),
    );
  });
});

describe('an agent that starts', () => {
  it('takes all rights but the owner’s reading from certificates and keys', async () => {
    const { libFolder } = vm.machine;
    for (const name of [
      'AB.crt',
      'AB.prv',
      'Certificates.xml',
      'note.txt',
      'microsoft_root_certificate.pem',
    ]) {
      await writeFile(join(libFolder, name), '', { mode: 0o644 });
    }
    await mkdir(join(libFolder, 'folder.pem'));
    await agent.start();
    const mode = async (name: string) => ((await stat(join(libFolder, name))).mode & 0o777).toString(8);
    expect([await mode('AB.crt'), await mode('AB.prv'), await mode('Certificates.xml')]).toEqual([
      '400',
      '400',
      '400',
    ]);
    expect([await mode('note.txt'), await mode('microsoft_root_certificate.pem')]).toEqual(['644', '644']);
  });
});
