/** From state to state, and what a failure of one operation leaves. Source: agent-contract 2, 4.1, 7.2, 7.3, 7.8. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { CaseGroup } from './agent-cases.ts';
import { planned } from './observer-package.ts';

export const describeStates: CaseGroup = (vm) => {
  // The next goal state does without what a case has left.
  afterEach(() => vm().forget());

  it('gives a handler without settings an empty file and the number 0, and reads no status of it', async () => {
    const zip = vm().pack({ type: 'Bare', version: '1.0.0' });
    const fresh = await vm().apply(zip, {});
    expect(fresh.brief).toEqual(['install 1.0.0', 'enable 1.0.0']);
    for (const command of fresh.commands) {
      expect([command.settings, command.environment.ConfigSequenceNumber]).toEqual(['', '0']);
    }
    expect(vm().handlerStatus('Bare', '1.0.0')).toEqual({
      status: 'Ready',
      code: 0,
      message: 'Plugin enabled',
    });
    expect(fresh.status).toMatchObject({ code: 'ProvisioningState/succeeded', message: 'Plugin enabled' });
    expect(vm().handlerState('Bare', '1.0.0')).toBe('Enabled');

    const gone = await vm().run(['delete', 'Bare']);
    expect(gone.exitCode).toBe(0);
    expect(gone.brief).toEqual(['disable 1.0.0', 'uninstall 1.0.0']);
    for (const command of gone.commands) {
      expect(command.environment.ConfigSequenceNumber).toBe('0');
      // Neither gets an exit code of anything.
      expect(Object.keys(command.environment).filter((name) => name.endsWith('EXIT_CODE'))).toEqual([]);
    }
    expect(vm().versions('Bare')).toEqual([]);
    expect(existsSync(join(vm().vm.logFolder(), 'Observer.Bare', 'CommandExecution.log'))).toBe(true);
  });

  it('starts anew after an install that failed, and does not enable before', async () => {
    const zip = vm().pack({
      type: 'Install',
      version: '1.0.0',
      behaviour: '[ $operation = install ] && once fail 4',
    });
    const failed = await vm().apply(zip);
    expect(failed.brief).toEqual(['install 1.0.0']);
    expect(vm().handlerStatus('Install', '1.0.0')).toMatchObject({
      status: 'NotReady',
      code: 1007,
      message: expect.stringContaining('Non-zero exit code: 4, '),
    });
    expect(vm().handlerState('Install', '1.0.0')).toBe('NotInstalled');
    expect(failed.status?.code).toBe('ProvisioningState/failed/1007');
    const again = await vm().apply(zip);
    expect(again.brief).toEqual(['install 1.0.0', 'enable 1.0.0']);
    expect(
      again.commands.map(({ environment }) => environment.AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE),
    ).toEqual(['NOT_RUN', 'NOT_RUN']);
    expect(again.exitCode).toBe(0);
  });

  it('only enables after an enable that failed, and keeps the state', async () => {
    const zip = vm().pack({ type: 'Enable', version: '1.0.0' });
    const failed = await vm().apply(zip, planned('fail 51'));
    expect(failed.brief).toEqual(['install 1.0.0', 'enable 1.0.0']);
    expect(vm().handlerStatus('Enable', '1.0.0')).toMatchObject({
      code: 1009,
      message: expect.stringContaining('Non-zero exit code: 51, '),
    });
    expect(vm().handlerState('Enable', '1.0.0')).toBe('Installed');
    const good = await vm().apply(zip);
    expect(good.brief).toEqual(['enable 1.0.0']);
    const worse = await vm().apply(zip, planned('fail 1'));
    expect(worse.brief).toEqual(['enable 1.0.0']);
    expect(vm().handlerState('Enable', '1.0.0')).toBe('Enabled');
    expect(vm().handlerStatus('Enable', '1.0.0')).toMatchObject({ status: 'NotReady', code: 1009 });
  });

  it('keeps a handler that cannot be disabled, and removes one that cannot be uninstalled (trap 14)', async () => {
    const zip = vm().pack({
      type: 'Leave',
      version: '1.0.0',
      behaviour: '[ $operation = disable ] && once exit 6\n[ $operation = uninstall ] && exit 7',
    });
    await vm().apply(zip);
    const kept = await vm().run(['delete', 'Leave']);
    expect(kept.exitCode).toBe(1);
    expect(kept.brief).toEqual(['disable 1.0.0']);
    expect(vm().handlerStatus('Leave', '1.0.0')).toMatchObject({
      status: 'NotReady',
      code: 1010,
      message: expect.stringContaining('Non-zero exit code: 6, '),
    });
    expect(vm().handlerState('Leave', '1.0.0')).toBe('Enabled');
    const gone = await vm().run(['delete', 'Leave']);
    expect(gone.exitCode).toBe(0);
    expect(gone.brief).toEqual(['disable 1.0.0', 'uninstall 1.0.0']);
    expect(vm().versions('Leave')).toEqual([]);
  });

  it('deletes a handler that vanishes from the goal state without a call of it (trap 13)', async () => {
    const vanishing = vm().pack({ type: 'Vanishing', version: '1.0.0' });
    await vm().apply(vanishing);
    vm().forget();
    const other = await vm().apply(vm().pack({ type: 'Staying', version: '1.0.0' }));
    expect(other.commands.map(({ handlerName, operation }) => `${operation} ${handlerName}`)).toEqual([
      'install Observer.Staying',
      'enable Observer.Staying',
    ]);
    expect(vm().versions('Vanishing')).toEqual([]);
    expect(existsSync(join(vm().vm.logFolder(), 'Observer.Vanishing'))).toBe(true);
  });

  it('fails with the name of a command that the manifest does not have, when it comes to it', async () => {
    const zip = vm().pack({ type: 'Lacking', version: '1.0.0', manifest: { installCommand: null } });
    const failed = await vm().apply(zip);
    expect(failed.brief).toEqual([]);
    expect(vm().handlerStatus('Lacking', '1.0.0')).toEqual({
      status: 'NotReady',
      code: -1,
      message: "'installCommand'",
    });
  });

  it('says what the shell says of a command that is not there', async () => {
    const zip = vm().pack({ type: 'Absent', version: '1.0.0', manifest: { installCommand: 'bin/none' } });
    await vm().apply(zip);
    const { code, message } = vm().handlerStatus('Absent', '1.0.0');
    expect([code, message]).toEqual([
      1007,
      expect.stringMatching(/Non-zero exit code: 127, .*\/bin\/none\n/),
    ]);
  });

  it('enables everything again after a restart, with the numbers that there were', async () => {
    const zip = vm().pack({ type: 'Restart', version: '1.0.0' });
    await vm().apply(zip);
    await vm().apply(zip, { public: { other: true } });
    const again = await vm().run(['reboot']);
    expect(again.brief).toEqual(['enable 1.0.0']);
    expect(again.commands[0]?.environment.ConfigSequenceNumber).toBe('1');
  });
};
