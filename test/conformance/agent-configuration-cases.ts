/** Several configurations of one handler. Source: agent-contract 7.7, 8.4. */
import { afterEach, expect, it } from 'vitest';
import type { CaseGroup } from './agent-cases.ts';
import { planned } from './observer-package.ts';
import { differs } from './version-differences.ts';

const manifest = { supportsMultipleExtensions: true };

export const describeConfigurations: CaseGroup = (vm) => {
  afterEach(() => vm().forget());

  it('installs once, enables each by name, and disables one that goes while the others stay', async () => {
    const type = 'Several';
    const zip = vm().pack({ type, version: '1.0.0', manifest });
    const first = await vm().apply(zip, { public: {} }, ['--name', 'first']);
    expect(first.brief).toEqual(['install 1.0.0 first', 'enable 1.0.0 first']);
    const second = await vm().apply(zip, { public: {} }, ['--name', 'second']);
    expect(second.brief).toEqual(['enable 1.0.0 first', 'enable 1.0.0 second']);
    const changed = await vm().apply(zip, { public: { n: 1 } }, ['--name', 'second']);
    expect(changed.commands.map(({ environment }) => environment.ConfigSequenceNumber)).toEqual(['0', '1']);
    for (const name of ['first.0.settings', 'first.HandlerState', 'second.0.settings', 'second.1.settings']) {
      expect([name, changed.commands[1]?.files.has(`config/${name}`)]).toEqual([name, true]);
    }
    expect(vm().read(type, '1.0.0', 'config', 'second.HandlerState')).toBe('enabled');
    expect(changed.views.map(({ name, statuses }) => [name, statuses[0]?.code])).toEqual([
      ['first', 'ProvisioningState/succeeded'],
      ['second', 'ProvisioningState/succeeded'],
    ]);

    const gone = await vm().run(['delete', 'second']);
    expect(gone.exitCode).toBe(0);
    expect(gone.brief).toContain('disable 1.0.0 second');
    expect(gone.brief).not.toContain('uninstall 1.0.0 second');
    expect(gone.views.map(({ name }) => name)).toEqual(['first']);
    const left = ['config/second.1.settings', 'config/second.HandlerState', 'status/second.1.status'];
    expect(left.map((name) => vm().read(type, '1.0.0', ...name.split('/')))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(vm().handlerState(type, '1.0.0')).toBe('Enabled');

    const last = await vm().run(['delete', 'first']);
    expect(last.brief).toEqual(['disable 1.0.0 first', 'uninstall 1.0.0 first']);
    expect(vm().versions(type)).toEqual([]);
  });

  it('reports an enable that failed as that configuration’s error, and keeps the handler ready', async () => {
    const type = 'Partial';
    const zip = vm().pack({ type, version: '1.0.0', manifest });
    await vm().apply(zip, { public: {} }, ['--name', 'good']);
    const failed = await vm().apply(zip, planned('exit 8'), ['--name', 'bad']);
    expect(failed.brief).toEqual(['enable 1.0.0 good', 'enable 1.0.0 bad']);
    expect(vm().handlerStatus(type, '1.0.0')).toEqual({
      status: 'Ready',
      code: 0,
      message: 'Plugin enabled',
    });
    const [good, bad] = failed.views.map(({ statuses }) => statuses[0]);
    expect(good?.code).toBe('ProvisioningState/succeeded');
    expect(bad?.code).toBe('ProvisioningState/failed/-1');
    expect(bad?.message).toMatch(
      /^Error processing MultiConfig extension Observer\.Partial\.bad: .*Non-zero exit code: 8, /,
    );
    const text = vm().read(type, '1.0.0', 'status', 'bad.0.status') ?? '[]';
    expect(JSON.parse(text)).toMatchObject([{ status: { status: 'error', code: -1 } }]);
  });

  it('disables all in an update, and tells the new version how each ended', async () => {
    const type = 'Moving';
    const behaviour = '[ $operation = disable ] && [ "$ConfigExtensionName" = two ] && exit 3';
    const zip = vm().pack({ type, version: '1.0.0', manifest, behaviour });
    await vm().apply(zip, { public: {} }, ['--name', 'one']);
    await vm().apply(zip, { public: {} }, ['--name', 'two']);
    const next = vm().pack({
      type,
      version: '1.1.0',
      manifest: { ...manifest, continueOnUpdateFailure: true },
    });
    const updated = await vm().apply(next, {}, ['--name', 'one', '--keep-settings']);
    expect(updated.brief).toEqual([
      'disable 1.0.0 one',
      'disable 1.0.0 two',
      'update 1.1.0 one',
      'uninstall 1.0.0 one',
      'install 1.1.0 one',
      'enable 1.1.0 one',
      'enable 1.1.0 two',
    ]);
    const update = updated.commands[2]?.environment;
    expect(update?.AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODE).toBeUndefined();
    // The status of one that could be disabled has been carried over, or it is gone.
    expect(updated.commands[2]?.files.has('status/one.0.status')).toBe(
      !differs(vm().agent, 'update-forgets-configurations'),
    );
    expect(updated.commands[2]?.files.has('status/two.0.status')).toBe(true);
    expect(
      JSON.parse(update?.AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODES_MULTIPLE_EXTENSIONS ?? 'null'),
    ).toEqual([
      { extensionName: 'one', exitCode: '0' },
      { extensionName: 'two', exitCode: '3' },
    ]);
    expect(
      updated.commands
        .slice(-2)
        .map(({ environment }) => environment.AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE),
    ).toEqual(['0', 'NOT_RUN']);
  });
};
