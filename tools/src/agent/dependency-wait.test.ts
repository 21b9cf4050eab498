import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GoalStateExtension } from './agent.ts';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm } from './fixtures/test-vm.ts';
import { orderExtensions } from './goal-state.ts';
import { handlerInstance } from './handler-instance.ts';

const [FIRST, SECOND, OTHER] = ['Contoso.First', 'Contoso.Second', 'Contoso.Other'];
const SECOND_CALLS = ['install 2.0.0', 'enable 2.0.0'];

let vm: TestVm;
beforeEach(async () => {
  vm = await createTestVm();
});
afterEach(() => vm.dispose());

const first = (changes: Partial<GoalStateExtension> = {}) =>
  vm.want('1.0.0', { handlerName: FIRST, dependencyLevel: 0, ...changes });
const second = () => vm.want('2.0.0', { handlerName: SECOND, dependencyLevel: 1 });

async function writeStatus(status: string): Promise<void> {
  const { folder } = handlerInstance(vm.machine, FIRST, '1.0.0');
  await writeFile(join(folder, 'status', '0.status'), JSON.stringify([{ status: { status } }]));
}

describe('the order of a goal state', () => {
  it('has what is to go first, from the highest level down, and then what is to come, from level 0 up', async () => {
    const row = async (
      handlerName: string,
      dependencyLevel: number,
      requestedState: GoalStateExtension['requestedState'],
    ) => vm.want('1.0.0', { handlerName, dependencyLevel, requestedState });
    const extensions = [
      await row('D.D', 1, 'enabled'),
      await row('C.C', 0, 'enabled'),
      await row('B.B', 1, 'disabled'),
      await row('A.A', 2, 'uninstall'),
      await row('E.E', 0, 'enabled'),
    ];
    const names = orderExtensions({ id: 'x', extensions }).map((extension) => extension.handlerName);
    expect(names).toEqual(['A.A', 'B.B', 'C.C', 'E.E', 'D.D']);
  });
});

describe('an extension of a higher dependency level', () => {
  it('starts at once when those below have succeeded', async () => {
    await vm.apply(await second(), await first());
    expect(await vm.calls()).toEqual(['install 1.0.0', 'enable 1.0.0', ...SECOND_CALLS]);
    expect(vm.pauses).toEqual([]);
  });

  it('waits, looking every five seconds, while there is no status or a transitioning one', async () => {
    await writeFile(join(vm.machine.libFolder, 'no-status'), '');
    vm.onSleep = async () => {
      expect(await vm.state('2.0.0', SECOND)).toBe('NotInstalled');
      await writeStatus(vm.pauses.length < 4 ? 'transitioning' : 'success');
    };
    await vm.apply(await first(), await second());
    expect(vm.pauses).toEqual([5000, 5000, 5000, 5000]);
    expect((await vm.calls()).slice(-2)).toEqual(SECOND_CALLS);
  });

  it('gets no command and a status that says why when one below ends in error, related or not', async () => {
    await writeFile(join(vm.machine.libFolder, 'no-status'), '');
    vm.onSleep = () => writeStatus('error');
    const other = await vm.want('3.0.0', { handlerName: OTHER, dependencyLevel: 0 });
    await vm.apply(await first(), other, await second());
    expect(await vm.calls()).toEqual(['install 1.0.0', 'enable 1.0.0']);
    const text = `NotReady/-1: Dependent Extension ${FIRST} did not succeed. Status was error`;
    expect(await vm.noted('2.0.0', SECOND)).toBe(text);
    expect(await vm.noted('3.0.0', OTHER)).toBe(text);
  });

  it('gets no command when a command of one below fails', async () => {
    await vm.failOn('1.0.0', 'install', 1);
    await vm.apply(await first(), await second());
    expect(await vm.calls()).toEqual(['install 1.0.0']);
    expect(await vm.noted('2.0.0', SECOND)).toBe(
      `NotReady/-1: Skipping processing of extensions since execution of dependent extension ${FIRST} failed`,
    );
  });

  it('gets no command when one below is not done 90 minutes after the beginning', async () => {
    await writeFile(join(vm.machine.libFolder, 'no-status'), '');
    await vm.apply(await first(), await second());
    expect(vm.pauses.length).toBe((90 * 60) / 5 + 1);
    expect(await vm.noted('2.0.0', SECOND)).toBe(
      `NotReady/-1: Dependent Extension ${FIRST} did not reach a terminal state within the allowed timeout. Last status was warning`,
    );
  });

  it('does not wait for one without settings', async () => {
    await writeFile(join(vm.machine.libFolder, 'no-status'), '');
    await vm.apply(await first({ settings: undefined }), await second());
    expect(vm.pauses).toEqual([]);
    expect((await vm.calls()).slice(-2)).toEqual(SECOND_CALLS);
  });

  it('does not wait for one of the same level', async () => {
    await writeFile(join(vm.machine.libFolder, 'no-status'), '');
    await vm.apply(await first({ dependencyLevel: 1 }), await second());
    expect(vm.pauses).toEqual([]);
  });
});
