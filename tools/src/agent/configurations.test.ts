/** A handler with several configurations: agent-contract 7.7. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GoalStateExtension, HandlerReport } from './agent.ts';
import { readExtensionState } from './configuration-store.ts';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm, HANDLER, runIn } from './fixtures/test-vm.ts';
import { handlerInstance } from './handler-instance.ts';

let vm: TestVm;
beforeEach(async () => {
  vm = await createTestVm();
});
afterEach(() => vm.dispose());

/** An entry for one configuration of a package that supports several. */
async function want(
  version: string,
  extensionName: string,
  changes: Partial<GoalStateExtension> = {},
): Promise<GoalStateExtension> {
  const manifest = { supportsMultipleExtensions: true };
  const packageFile = await vm.pack(version, { manifest });
  return await vm.want(version, { packageFile, extensionName, ...changes });
}

const stateOf = (name: string, version = '1.0.0') =>
  readExtensionState(handlerInstance(vm.machine, HANDLER, version), name);
const report = (...extensions: readonly GoalStateExtension[]): Promise<readonly HandlerReport[]> =>
  vm.agent.report({ id: 'report', extensions });
const gone = { extensionState: 'disabled' } as const;

describe('several configurations', () => {
  it('are installed once and enabled one by one, each with its name, settings, state and log', async () => {
    await runIn(
      vm,
      '1.0.0',
      'enable',
      'echo "$ConfigExtensionName $ConfigSequenceNumber" >> "$lib/enabled"\n',
    );
    await vm.apply(await want('1.0.0', 'web', { sequence: 3 }), await want('1.0.0', 'db'));
    expect(await vm.calls()).toEqual(['install 1.0.0', 'enable 1.0.0', 'enable 1.0.0']);
    expect(await readFile(join(vm.machine.libFolder, 'enabled'), 'utf8')).toBe('web 3\ndb 0\n');
    expect((await vm.environment('1.0.0', 'install')).ConfigExtensionName).toBe('web');
    expect(await readdir(vm.path('1.0.0', 'config'))).toEqual(
      expect.arrayContaining(['web.3.settings', 'db.0.settings', 'web.HandlerState', 'db.HandlerState']),
    );
    expect([await stateOf('web'), await stateOf('db'), await vm.state('1.0.0')]).toEqual([
      'enabled',
      'enabled',
      'Enabled',
    ]);
    const logs = await readdir(join(vm.machine.logFolder, HANDLER));
    expect(logs.filter((name) => name.endsWith('.log')).sort()).toEqual([
      'CommandExecution_db.log',
      'CommandExecution_web.log',
    ]);
  });

  it('are reported one by one, with the name and the handler’s status', async () => {
    await runIn(
      vm,
      '1.0.0',
      'enable',
      'printf \'[{"status":{"status":"success","formattedMessage":{"lang":"en","message":"of %s"}}}]\' "$ConfigExtensionName" > "$base/status/$ConfigExtensionName.$ConfigSequenceNumber.status"\n',
    );
    const entries = [await want('1.0.0', 'web', { sequence: 3 }), await want('1.0.0', 'db')];
    await vm.apply(...entries);
    expect(await report(...entries)).toMatchObject([
      {
        extensionName: 'web',
        status: 'Ready',
        message: 'Plugin enabled',
        extension: { name: 'web', sequence: 3, verdict: { reported: { message: 'of web' } } },
      },
      { extensionName: 'db', status: 'Ready', extension: { name: 'db', sequence: 0 } },
    ]);
  });

  it('fail by themselves: the handler stays ready, and a status is written where the handler wrote none', async () => {
    await vm.apply(await want('1.0.0', 'web'));
    await runIn(vm, '1.0.0', 'enable', 'if [ "$ConfigExtensionName" = db ]; then code=7; fi\n');
    const entries = [await want('1.0.0', 'web'), await want('1.0.0', 'db')];
    await vm.apply(...entries);
    expect(await vm.noted('1.0.0')).toBe('Ready/0: Plugin enabled');
    expect([await stateOf('web'), await stateOf('db')]).toEqual(['enabled', 'disabled']);
    const reported = (await report(...entries))[1]?.extension?.verdict.reported;
    expect(reported).toMatchObject({ status: 'error', code: -1 });
    expect(reported?.message).toMatch(
      /^Error processing MultiConfig extension Contoso\.Test\.db: \[MultiConfigExtensionEnableError\] \[ExtensionOperationError\] Non-zero exit code: 7, /,
    );
  });

  it('keep the status that the handler wrote before it failed', async () => {
    const script = `printf '[{"status":{"status":"error","code":5}}]' > "$base/status/web.0.status"; code=7\n`;
    await runIn(vm, '1.0.0', 'enable', script);
    const entry = await want('1.0.0', 'web');
    await vm.apply(entry);
    expect((await report(entry))[0]?.extension?.verdict.reported).toMatchObject({ status: 'error', code: 5 });
    // The handler as a whole was never enabled.
    expect(await vm.noted('1.0.0')).toBe('NotReady/0: Plugin installed but not enabled');
  });

  it('that fail have a status in the agent’s own words, and the handler’s note says that there are several', async () => {
    await runIn(vm, '1.0.0', 'enable', 'code=7\n');
    await vm.apply(await want('1.0.0', 'web'));
    const [status] = JSON.parse(await readFile(vm.path('1.0.0', 'status', 'web.0.status'), 'utf8'));
    expect(status).toMatchObject({
      version: 1,
      status: { name: `${HANDLER}.web`, operation: 'Enable', status: 'error', code: -1 },
    });
    expect(Object.keys(status.status)).toEqual(['name', 'operation', 'status', 'code', 'formattedMessage']);
    const noted = JSON.parse(await readFile(vm.path('1.0.0', 'config', 'HandlerStatus'), 'utf8'));
    expect(noted.supports_multi_config).toBe(true);
  });

  it('keep one that was disabled for an update in the old version, with its files', async () => {
    await vm.apply(await want('1.0.0', 'web'), await want('1.0.0', 'db'));
    await vm.failOn('2.0.0', 'update', 7);
    await vm.apply(await want('2.0.0', 'web', { sequence: 1 }), await want('2.0.0', 'db'));
    expect([await stateOf('web'), await stateOf('db'), await vm.state('1.0.0')]).toEqual([
      'disabled',
      'disabled',
      'Installed',
    ]);
    expect(await readdir(vm.path('1.0.0', 'config'))).toEqual(
      expect.arrayContaining(['web.0.settings', 'db.0.settings']),
    );
  });

  it('with an unknown state are an error of the configuration', async () => {
    await vm.apply(await want('1.0.0', 'web', { extensionState: 'paused' }));
    expect(await vm.noted('1.0.0')).toBe(
      'NotReady/-1: Ran into config errors: [ExtensionsGoalStateError] Unknown requested state for Extension web: paused. \nPlease retry again as another operation with updated settings',
    );
  });

  it('each say why, when the handler cannot be installed', async () => {
    await vm.failOn('1.0.0', 'install', 3);
    const entries = [await want('1.0.0', 'web'), await want('1.0.0', 'db')];
    await vm.apply(...entries);
    expect(await vm.noted('1.0.0')).toMatch(/^NotReady\/1007: /);
    for (const one of await report(...entries)) {
      expect(one.extension?.verdict.reported).toMatchObject({ status: 'error', code: 1007 });
    }
  });

  it('are refused for a package that does not support them', async () => {
    const entry = await vm.want('1.0.0', { extensionName: 'web' });
    await vm.apply(entry);
    expect(await vm.calls()).toEqual([]);
    const text =
      'Ran into config errors: [ExtensionsGoalStateError] Handler Contoso.Test does not support MultiConfig but CRP expects it, failing due to inconsistent data. \nPlease retry again as another operation with updated settings';
    expect(await vm.noted('1.0.0')).toBe(`NotReady/-1: ${text}`);
    expect((await report(entry))[0]?.extension?.verdict.reported).toMatchObject({
      status: 'error',
      code: -1,
    });
  });

  it('that wait for one that failed say so themselves', async () => {
    await runIn(vm, '1.0.0', 'enable', 'if [ "$ConfigExtensionName" = web ]; then code=7; fi\n');
    const entries = [await want('1.0.0', 'web'), await want('1.0.0', 'db', { dependencyLevel: 1 })];
    await vm.apply(...entries);
    const skipped =
      'Skipping processing of extensions since execution of dependent extension Contoso.Test.web failed';
    expect((await report(...entries))[1]?.extension?.verdict.reported).toMatchObject({
      status: 'error',
      code: -1,
      message: skipped,
    });
    expect(await vm.noted('1.0.0')).toBe('NotReady/0: Plugin installed but not enabled');
  });
});

describe('a configuration that is removed', () => {
  beforeEach(async () => {
    const status = 'printf "[]" > "$base/status/$ConfigExtensionName.$ConfigSequenceNumber.status"\n';
    await runIn(vm, '1.0.0', 'enable', status);
    await vm.apply(await want('1.0.0', 'web'), await want('1.0.0', 'db'));
    await vm.calls();
  });

  const filesOf = async (name: string): Promise<string[]> => {
    const files = [
      ...(await readdir(vm.path('1.0.0', 'config'))),
      ...(await readdir(vm.path('1.0.0', 'status'))),
    ];
    return files.filter((file) => file.startsWith(`${name}.`));
  };

  it('is disabled once, before others are enabled; its files go and the handler stays', async () => {
    const entries = [await want('1.0.0', 'db'), await want('1.0.0', 'web', { ...gone, sequence: 1 })];
    await vm.apply(...entries);
    expect(await vm.calls()).toEqual(['disable 1.0.0', 'enable 1.0.0']);
    expect(await vm.environment('1.0.0', 'disable')).toMatchObject({
      ConfigExtensionName: 'web',
      ConfigSequenceNumber: '1',
    });
    expect([await filesOf('web'), (await filesOf('db')).length]).toEqual([[], 3]);
    expect([await vm.state('1.0.0'), await vm.noted('1.0.0')]).toEqual([
      'Enabled',
      'Ready/0: Plugin enabled',
    ]);
    expect((await report(...entries)).map((one) => one.extensionName)).toEqual(['db']);
    await vm.apply(...entries);
    expect(await vm.calls()).toEqual(['enable 1.0.0']);
  });

  it('goes also when its disable fails', async () => {
    await vm.failOn('1.0.0', 'disable', 9);
    await vm.apply(await want('1.0.0', 'web', gone), await want('1.0.0', 'db'));
    expect(await filesOf('web')).toEqual([]);
    expect(await vm.noted('1.0.0')).toBe('Ready/0: Plugin enabled');
  });

  it('leaves the handler disabled when it was the last', async () => {
    await vm.apply(await want('1.0.0', 'web', gone), await want('1.0.0', 'db', gone));
    expect(await vm.calls()).toEqual(['disable 1.0.0', 'disable 1.0.0']);
    expect([await vm.state('1.0.0'), await vm.noted('1.0.0')]).toEqual([
      'Installed',
      'NotReady/0: Plugin disabled',
    ]);
  });

  it('does not take the files of one whose name begins in the same way', async () => {
    await vm.apply(await want('1.0.0', 'we', gone), await want('1.0.0', 'web'), await want('1.0.0', 'db'));
    expect(await filesOf('web')).toHaveLength(3);
  });
});

describe('a handler with several configurations', () => {
  it('is uninstalled once, after each has been disabled', async () => {
    await vm.apply(await want('1.0.0', 'web'), await want('1.0.0', 'db'));
    await vm.calls();
    const requestedState = 'uninstall';
    await vm.apply(
      await want('1.0.0', 'web', { requestedState }),
      await want('1.0.0', 'db', { requestedState }),
    );
    expect(await vm.calls()).toEqual(['disable 1.0.0', 'disable 1.0.0', 'uninstall 1.0.0']);
    expect(existsSync(vm.path('1.0.0'))).toBe(false);
  });

  it('is updated once: each enabled one is disabled, and update gets the exit code of every one', async () => {
    await vm.apply(await want('1.0.0', 'web'), await want('1.0.0', 'db'));
    await vm.calls();
    const entries = [
      await want('2.0.0', 'web', { sequence: 1 }),
      await want('2.0.0', 'db'),
      await want('2.0.0', 'new'),
    ];
    await vm.apply(...entries);
    expect(await vm.calls()).toEqual([
      'disable 1.0.0',
      'disable 1.0.0',
      'update 2.0.0',
      'uninstall 1.0.0',
      'install 2.0.0',
      'enable 2.0.0',
      'enable 2.0.0',
      'enable 2.0.0',
    ]);
    const environment = await vm.environment('2.0.0', 'update');
    expect(
      JSON.parse(environment.AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODES_MULTIPLE_EXTENSIONS ?? ''),
    ).toEqual([
      { extensionName: 'web', exitCode: '0' },
      { extensionName: 'db', exitCode: '0' },
      { extensionName: 'new', exitCode: 'None' },
    ]);
    expect(environment.AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODE).toBeUndefined();
    expect(await stateOf('new', '2.0.0')).toBe('enabled');
  });
});
