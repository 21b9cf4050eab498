/**
 * From one version of a handler to another, and what the failure of each step leads to, with and without
 * continueOnUpdateFailure. Source: agent-contract 7.4, 7.5.
 */
import { afterEach, expect, it } from 'vitest';
import type { CaseGroup } from './agent-cases.ts';
import { contractVariables } from './observer-record.ts';
import { differs } from './version-differences.ts';

/** One step of an update that fails, and what follows. */
interface Row {
  readonly step: 'disable' | 'update' | 'uninstall' | 'install' | 'enable';
  /** Commands of the goal state in which the step fails, for each value of the flag. */
  readonly brief: Readonly<Record<'stop' | 'continue', readonly string[]>>;
  /** Code of the new version's status then; 0 where the update goes on. */
  readonly code: Readonly<Record<'stop' | 'continue', number>>;
  /** State of the new version, and of the old one where it is still there. */
  readonly states: Readonly<Record<'stop' | 'continue', readonly [string, string | undefined]>>;
  /** Commands of the next goal state. */
  readonly next: Readonly<Record<'stop' | 'continue', readonly string[]>>;
}

const WHOLE = ['disable 1.0.0', 'update 1.1.0', 'uninstall 1.0.0', 'install 1.1.0', 'enable 1.1.0'];
const both = <T>(value: T): Readonly<Record<'stop' | 'continue', T>> => ({ stop: value, continue: value });

const ROWS: readonly Row[] = [
  {
    step: 'disable',
    brief: { stop: WHOLE.slice(0, 1), continue: WHOLE },
    code: { stop: 1008, continue: 0 },
    states: { stop: ['NotInstalled', 'Enabled'], continue: ['Enabled', undefined] },
    next: { stop: WHOLE, continue: WHOLE.slice(4) },
  },
  {
    step: 'update',
    brief: both(WHOLE.slice(0, 2)),
    code: both(1008),
    states: both(['FailedUpgrade', 'Installed']),
    next: both(WHOLE.slice(1)),
  },
  {
    step: 'uninstall',
    brief: { stop: WHOLE.slice(0, 3), continue: WHOLE },
    code: { stop: 1008, continue: 0 },
    states: { stop: ['NotInstalled', 'Installed'], continue: ['Enabled', undefined] },
    next: { stop: WHOLE.slice(1), continue: WHOLE.slice(4) },
  },
  {
    step: 'install',
    brief: both(WHOLE.slice(0, 4)),
    code: both(1007),
    states: both(['NotInstalled', undefined]),
    next: both(WHOLE.slice(3)),
  },
  {
    step: 'enable',
    brief: both(WHOLE),
    code: both(1009),
    states: both(['Installed', undefined]),
    next: both(WHOLE.slice(4)),
  },
];

export type Step = Row['step'];

/**
 * @param goesOn what the new version's manifest says of continueOnUpdateFailure.
 * @param steps those whose failure is tried.
 */
export function describeFailingSteps(goesOn: boolean, steps: readonly Step[]): CaseGroup {
  return (vm) => {
    afterEach(() => vm().forget());
    const column = goesOn ? 'continue' : 'stop';
    const manifest = { continueOnUpdateFailure: goesOn };

    for (const row of ROWS.filter(({ step }) => steps.includes(step))) {
      const { step } = row;
      const [code, states] = [row.code[column], row.states[column]];
      const end = code === 0 ? 'goes on' : `stops with ${code}`;
      it(`${end} when ${step} fails (continueOnUpdateFailure ${goesOn}), and the next goal state brings ${row.next[column].join(', ')}`, async () => {
        const type = `Fails${step}`;
        const behaviour = `[ $operation = ${step} ] && [ $version = ${isOfOld(step) ? '1.0.0' : '1.1.0'} ] && once fail 9`;
        await vm().apply(vm().pack({ type, version: '1.0.0', behaviour }));
        const next = vm().pack({ type, version: '1.1.0', behaviour, manifest });
        const failed = await vm().apply(next, { public: { other: true } });
        expect(failed.brief).toEqual(row.brief[column]);
        expect([vm().handlerState(type, '1.1.0'), vm().handlerState(type, '1.0.0')]).toEqual([...states]);
        const isError = code === 1008 && isOfOld(step) && differs(vm().agent, 'update-error-code');
        expect(vm().handlerStatus(type, '1.1.0').code).toBe(isError ? -1 : code);
        expect(failed.exitCode).toBe(code === 0 ? 0 : 1);
        if (code === 1008) {
          const text = isOfOld(step) ? '[ExtensionUpdateError] ' : '[ExtensionOperationError] ';
          const { message } = vm().handlerStatus(type, '1.1.0');
          expect(message.startsWith(text)).toBe(true);
          expect(message).toContain('Non-zero exit code: 9, ');
          expect(message.includes('; ContinueOnUpdate: False')).toBe(isOfOld(step));
        }
        if (code === 0) {
          const told = (operation: string, name: string) =>
            failed.commands.find((command) => command.operation === operation)?.environment[
              `AZURE_GUEST_AGENT_${name}_CMD_EXIT_CODE`
            ];
          expect(told('update', 'DISABLE')).toBe(step === 'disable' ? '9' : '0');
          expect([told('install', 'UNINSTALL'), told('enable', 'UNINSTALL')]).toEqual(
            step === 'uninstall' ? ['9', '9'] : ['0', '0'],
          );
        }
        const retried = await vm().apply(next, {}, ['--keep-settings']);
        expect(retried.brief).toEqual(row.next[column]);
        expect(retried.exitCode).toBe(0);
        const update = retried.commands.find(({ operation }) => operation === 'update');
        // A version that is disabled already was not disabled now: the agent says None (trap 5).
        if (update !== undefined) {
          expect(update.environment.AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODE).toBe(
            step === 'disable' ? '0' : 'None',
          );
        }
        if (code === 1007 || code === 1009) {
          const codes = retried.commands.map(
            ({ environment }) => environment.AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE,
          );
          expect(new Set(codes)).toEqual(new Set(['NOT_RUN']));
        }
        expect(vm().versions(type)).toEqual(['1.1.0']);
      });
    }
  };
}

export const describeUpdates: CaseGroup = (vm) => {
  afterEach(() => vm().forget());

  it('updates in the order disable, copy, update, uninstall, delete, install, enable (traps 3 and 6)', async () => {
    const type = 'Order';
    const remember =
      '[ $operation = enable ] && echo "$ConfigSequenceNumber" >mrseq; [ -d ../Observer.Order-1.0.0 ] && echo old >"$record/old"';
    await vm().apply(vm().pack({ type, version: '1.0.0', behaviour: remember }));
    const updated = await vm().apply(vm().pack({ type, version: '1.1.0', behaviour: 'true' }), {
      public: { n: 1 },
    });
    expect(updated.brief).toEqual(WHOLE);
    const [disable, update, uninstall, install, enable] = updated.commands;
    // The old version is told the number of settings that it does not have.
    for (const command of [disable, uninstall]) {
      expect([command?.environment.ConfigSequenceNumber, command?.settings]).toEqual(['1', undefined]);
      expect(command?.environment.AZURE_GUEST_AGENT_EXTENSION_VERSION).toBe('1.0.0');
      expect(command?.files.has('config/0.settings')).toBe(true);
    }
    expect(update === undefined ? {} : contractVariables(update)).toMatchObject({
      VERSION: '1.1.0',
      AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0',
      AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODE: '0',
      AZURE_GUEST_AGENT_EXTENSION_VERSION: '1.1.0',
      ConfigSequenceNumber: '1',
    });
    // Number and statuses are there before update, the settings are the new ones only.
    const carried = ['mrseq', 'status/0.status', 'config/0.settings', 'config/1.settings'];
    expect(carried.map((name) => update?.files.has(name))).toEqual([true, true, false, true]);
    for (const command of [install, enable]) {
      expect(command?.environment.AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE).toBe('0');
      expect(command?.environment.VERSION).toBeUndefined();
    }
    expect(vm().versions(type)).toEqual(['1.1.0']);
    expect(vm().read(type, '1.1.0', 'mrseq')).toBe('0\n');
  });

  it('does not install in an update without install', async () => {
    const type = 'Uninstalled';
    await vm().apply(vm().pack({ type, version: '1.0.0' }));
    const manifest = { updateMode: 'UpdateWithoutInstall' };
    const updated = await vm().apply(vm().pack({ type, version: '1.1.0', manifest }), {}, [
      '--keep-settings',
    ]);
    expect(updated.brief).toEqual(WHOLE.filter((command) => command !== 'install 1.1.0'));
    expect(updated.exitCode).toBe(0);
  });

  it('runs the update of a downgrade in the old, higher version, and names the lower one twice (trap 4)', async () => {
    const type = 'Down';
    await vm().apply(vm().pack({ type, version: '1.1.0' }));
    const down = await vm().apply(vm().pack({ type, version: '1.0.0' }), {}, ['--keep-settings']);
    expect(down.brief).toEqual([
      'disable 1.1.0',
      'update 1.1.0',
      'uninstall 1.1.0',
      'install 1.0.0',
      'enable 1.0.0',
    ]);
    expect(down.commands[1]?.environment).toMatchObject({
      VERSION: '1.0.0',
      AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0',
      AZURE_GUEST_AGENT_EXTENSION_VERSION: '1.1.0',
    });
    expect(vm().versions(type)).toEqual(['1.0.0']);
  });

  it('leaves the higher version behind when the update of a downgrade fails', async () => {
    const type = 'Stuck';
    const behaviour = '[ $operation = update ] && fail 9';
    await vm().apply(vm().pack({ type, version: '1.1.0', behaviour }));
    const lower = vm().pack({ type, version: '1.0.0' });
    const failed = await vm().apply(lower, {}, ['--keep-settings']);
    expect(failed.brief).toEqual(['disable 1.1.0', 'update 1.1.0']);
    expect([vm().handlerState(type, '1.1.0'), vm().handlerState(type, '1.0.0')]).toEqual([
      'FailedUpgrade',
      'NotInstalled',
    ]);
    expect(vm().handlerStatus(type, '1.0.0').code).toBe(1008);
    const again = await vm().apply(lower, {}, ['--keep-settings']);
    expect(again.brief).toEqual(['install 1.0.0', 'enable 1.0.0']);
    expect(vm().versions(type)).toEqual(['1.0.0', '1.1.0']);
  });
};

function isOfOld(step: Row['step']): boolean {
  return step === 'disable' || step === 'uninstall';
}
