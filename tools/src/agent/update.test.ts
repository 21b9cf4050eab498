import { existsSync } from 'node:fs';
import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import type { HandlerState, Operation } from '@handlerkit/sdk/contract';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm, runIn } from './fixtures/test-vm.ts';

const [OLD, NEW] = ['1.0.0', '2.0.0'];
const UNINSTALL_CODE = 'AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE';
const DISABLE_CODE = 'AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODE';

let vm: TestVm;
beforeEach(async () => {
  vm = await createTestVm();
});
afterEach(() => vm.dispose());

async function enableOld(version = OLD): Promise<void> {
  await vm.apply(await vm.want(version));
  await vm.calls();
}

async function packageWith(version: string, manifest: Record<string, unknown>) {
  return vm.want(version, { sequence: 1, packageFile: await vm.pack(version, { manifest }) });
}

describe('an update', () => {
  it('disables and leaves the old version, updates, installs and enables the new one', async () => {
    await enableOld();
    await vm.apply(await vm.want(NEW, { sequence: 1 }));
    expect(await vm.calls()).toEqual([
      'disable 1.0.0',
      'update 2.0.0',
      'uninstall 1.0.0',
      'install 2.0.0',
      'enable 2.0.0',
    ]);
    expect(existsSync(vm.path(OLD))).toBe(false);
    expect(await vm.state(NEW)).toBe('Enabled');
    expect(await vm.noted(NEW)).toBe('Ready/0: Plugin enabled');
  });

  it('deletes the old folder before the new version is installed', async () => {
    await enableOld();
    await runIn(vm, NEW, 'install', `[ -e "$lib/Contoso.Test-${OLD}" ] && code=9\n`);
    await vm.apply(await vm.want(NEW, { sequence: 1 }));
    expect(await vm.state(NEW)).toBe('Enabled');
  });

  it('tells each command what the contract says, and the old version the new sequence number', async () => {
    await enableOld();
    await vm.apply(await vm.want(NEW, { sequence: 1 }));
    const disable = await vm.environment(OLD, 'disable');
    expect(disable).toMatchObject({
      AZURE_GUEST_AGENT_EXTENSION_PATH: vm.path(OLD),
      AZURE_GUEST_AGENT_EXTENSION_VERSION: OLD,
      ConfigSequenceNumber: '1',
    });
    const uninstall = await vm.environment(OLD, 'uninstall');
    for (const env of [disable, uninstall]) {
      for (const name of [UNINSTALL_CODE, DISABLE_CODE, 'VERSION']) expect(env).not.toHaveProperty(name);
    }
    const update = await vm.environment(NEW, 'update');
    expect(update).toMatchObject({
      AZURE_GUEST_AGENT_EXTENSION_PATH: vm.path(NEW),
      VERSION: NEW,
      AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: OLD,
      [DISABLE_CODE]: '0',
    });
    expect(update).not.toHaveProperty(UNINSTALL_CODE);
    for (const operation of ['install', 'enable'] as const) {
      expect((await vm.environment(NEW, operation))[UNINSTALL_CODE]).toBe('0');
    }
    await vm.apply(await vm.want(NEW, { sequence: 2 }));
    expect((await vm.environment(NEW, 'enable'))[UNINSTALL_CODE]).toBe('NOT_RUN');
  });

  it('says None for the disable of a version that was not enabled', async () => {
    await enableOld();
    await vm.apply(await vm.want(OLD, { requestedState: 'disabled' }));
    await vm.calls();
    await vm.apply(await vm.want(NEW, { sequence: 1 }));
    expect(await vm.calls()).toEqual(['update 2.0.0', 'uninstall 1.0.0', 'install 2.0.0', 'enable 2.0.0']);
    expect((await vm.environment(NEW, 'update'))[DISABLE_CODE]).toBe('None');
  });

  it('copies mrseq and the statuses with their times before update runs, but no settings', async () => {
    await enableOld();
    const time = new Date(Date.UTC(2020, 1, 2));
    await writeFile(vm.path(OLD, 'status', 'note.txt'), 'kept');
    await utimes(vm.path(OLD, 'mrseq'), time, time);
    await utimes(vm.path(OLD, 'status', '0.status'), time, time);
    await runIn(
      vm,
      NEW,
      'update',
      'ls "$base/status" "$base/config" > "$lib/listing"; cat "$base/mrseq" >> "$lib/listing"\n',
    );
    await vm.failOn(NEW, 'enable', 1);
    await vm.apply(await vm.want(NEW, { sequence: 1 }));
    const listing = await readFile(`${vm.machine.libFolder}/listing`, 'utf8');
    expect(listing).toContain('0.status\nnote.txt\n');
    expect(listing).toContain('1.settings');
    expect(listing).not.toContain('0.settings');
    expect(listing.endsWith('\n0')).toBe(true);
    expect((await stat(vm.path(NEW, 'mrseq'))).mtime).toEqual(time);
    expect((await stat(vm.path(NEW, 'status', '0.status'))).mtime).toEqual(time);
  });

  it('is none between two spellings of one version: the agent only enables the other', async () => {
    await enableOld('1.0');
    await vm.apply(await vm.want('1.0.0', { sequence: 1 }));
    expect(await vm.calls()).toEqual(['enable 1.0.0']);
    expect(await vm.state('1.0')).toBe('Enabled');
  });

  it('of a handler without settings tells install, but not enable, of the old version’s uninstall', async () => {
    await vm.apply(await vm.want(OLD, { settings: undefined }));
    await vm.calls();
    await vm.apply(await vm.want(NEW, { settings: undefined }));
    expect((await vm.environment(NEW, 'install'))[UNINSTALL_CODE]).toBe('0');
    expect((await vm.environment(NEW, 'enable'))[UNINSTALL_CODE]).toBe('NOT_RUN');
  });

  it('to a manifest whose updateMode is no text fails after the old version is gone', async () => {
    await enableOld();
    await vm.apply(await packageWith(NEW, { updateMode: 7 }));
    expect(await vm.calls()).toEqual(['disable 1.0.0', 'update 2.0.0', 'uninstall 1.0.0']);
    expect(await vm.noted(NEW)).toBe("NotReady/-1: 'int' object has no attribute 'lower'");
    expect(existsSync(vm.path(OLD))).toBe(false);
  });

  const installModes: readonly [unknown, boolean][] = [
    [undefined, true],
    [null, true],
    ['UpdateWithInstall', true],
    ['updatewithinstall', true],
    ['UpdateWithoutInstall', false],
    ['anything', false],
  ];
  it.each(installModes)('with updateMode %j runs install: %j', async (updateMode, runs) => {
    await enableOld();
    await vm.apply(await packageWith(NEW, { updateMode }));
    expect((await vm.calls()).includes('install 2.0.0')).toBe(runs);
    expect(await vm.state(NEW)).toBe('Enabled');
  });
});

interface FailureRow {
  readonly step: Operation;
  readonly of: string;
  readonly proceed: boolean;
  readonly calls: readonly string[];
  readonly noted: RegExp;
  readonly states: readonly [old: HandlerState | 'gone', target: HandlerState];
  /** Calls of the next goal state, once nothing fails any more. */
  readonly next: readonly string[];
  /** Variables of a call afterwards. */
  readonly tells: readonly [version: string, operation: Operation, name: string, value: string];
}

const ALL_CALLS = ['disable 1.0.0', 'update 2.0.0', 'uninstall 1.0.0', 'install 2.0.0', 'enable 2.0.0'];

/** For a step whose failure has the same effect whatever continueOnUpdateFailure is. */
function eitherWay(row: Omit<FailureRow, 'proceed'>): readonly FailureRow[] {
  return [false, true].map((proceed) => ({ ...row, proceed }));
}

/** A failure of the old version that does not stop the update. */
const GOES_ON: Omit<FailureRow, 'step' | 'tells'> = {
  of: OLD,
  proceed: true,
  calls: ALL_CALLS,
  noted: /^Ready\/0: /,
  states: ['gone', 'Enabled'],
  next: ['enable 2.0.0'],
};

const FAILURES: readonly FailureRow[] = [
  {
    step: 'disable',
    of: OLD,
    proceed: false,
    calls: ALL_CALLS.slice(0, 1),
    noted:
      /^NotReady\/1008: \[ExtensionUpdateError\] \[ExtensionOperationError\] Non-zero exit code: 7, .*; ContinueOnUpdate: False$/s,
    states: ['Enabled', 'NotInstalled'],
    next: ALL_CALLS,
    tells: [NEW, 'update', DISABLE_CODE, '0'],
  },
  { ...GOES_ON, step: 'disable', tells: [NEW, 'update', DISABLE_CODE, '7'] },
  ...eitherWay({
    step: 'update',
    of: NEW,
    calls: ALL_CALLS.slice(0, 2),
    noted: /^NotReady\/1008: \[ExtensionOperationError\] Non-zero exit code: 7, /,
    states: ['Installed', 'FailedUpgrade'],
    next: ALL_CALLS.slice(1),
    tells: [NEW, 'update', DISABLE_CODE, 'None'],
  }),
  {
    step: 'uninstall',
    of: OLD,
    proceed: false,
    calls: ALL_CALLS.slice(0, 3),
    noted: /^NotReady\/1008: \[ExtensionUpdateError\] .*ContinueOnUpdate: False$/s,
    states: ['Installed', 'NotInstalled'],
    next: ALL_CALLS.slice(1),
    tells: [NEW, 'enable', UNINSTALL_CODE, '0'],
  },
  { ...GOES_ON, step: 'uninstall', tells: [NEW, 'install', UNINSTALL_CODE, '7'] },
  ...eitherWay({
    step: 'install',
    of: NEW,
    calls: ALL_CALLS.slice(0, 4),
    noted: /^NotReady\/1007: /,
    states: ['gone', 'NotInstalled'],
    next: ['install 2.0.0', 'enable 2.0.0'],
    tells: [NEW, 'install', UNINSTALL_CODE, 'NOT_RUN'],
  }),
  ...eitherWay({
    step: 'enable',
    of: NEW,
    calls: ALL_CALLS,
    noted: /^NotReady\/1009: /,
    states: ['gone', 'Installed'],
    next: ['enable 2.0.0'],
    tells: [NEW, 'enable', UNINSTALL_CODE, 'NOT_RUN'],
  }),
];

describe('an update in which an operation fails', () => {
  it.each(FAILURES)(
    'goes on as the agent does when $step of $of fails and continueOnUpdateFailure is $proceed',
    async (row) => {
      await enableOld();
      await vm.failOn(row.of, row.step, 7);
      const wanted = await packageWith(NEW, { continueOnUpdateFailure: row.proceed });
      await vm.apply(wanted);
      expect(await vm.calls()).toEqual(row.calls);
      expect(await vm.noted(NEW)).toMatch(row.noted);
      expect(existsSync(vm.path(OLD)) ? await vm.state(OLD) : 'gone').toBe(row.states[0]);
      expect(await vm.state(NEW)).toBe(row.states[1]);
      await vm.failOn(row.of, row.step, 0);
      await vm.apply(wanted);
      expect(await vm.calls()).toEqual(row.next);
      expect(await vm.state(NEW)).toBe('Enabled');
      const [version, operation, name, value] = row.tells;
      expect((await vm.environment(version, operation))[name]).toBe(value);
    },
  );

  it('passes the code 1011 on when the old version did not end in time', async () => {
    await enableOld();
    await runIn(vm, OLD, 'uninstall', 'sleep 600\n');
    const extensions = [await packageWith(NEW, { continueOnUpdateFailure: true })];
    const agent = vm.newAgent({
      operationTimeoutMs: (operation) => (operation === 'uninstall' ? 300 : 20_000),
    });
    await agent.processGoalState({ id: 'incarnation_2', extensions });
    expect((await vm.environment(NEW, 'enable'))[UNINSTALL_CODE]).toBe('1011');
    expect(await vm.state(NEW)).toBe('Enabled');
  });

  it('reports 1008 when the old version did not end in time and the update may not go on', async () => {
    await enableOld();
    await runIn(vm, OLD, 'disable', 'sleep 600\n');
    const extensions = [await vm.want(NEW, { sequence: 1 })];
    const agent = vm.newAgent({ operationTimeoutMs: () => 300 });
    await agent.processGoalState({ id: 'incarnation_2', extensions });
    expect(await vm.noted(NEW)).toMatch(
      /^NotReady\/1008: \[ExtensionUpdateError\] \[ExtensionError\] Timeout\(0\.3\): /,
    );
  });

  it('reports the extension as transitioning after a failed update, because only old statuses were copied', async () => {
    await enableOld();
    await vm.failOn(NEW, 'update', 7);
    const wanted = await vm.want(NEW, { sequence: 1 });
    await vm.apply(wanted);
    const [report] = await vm.agent.report({ id: 'incarnation_2', extensions: [wanted] });
    expect(report).toMatchObject({
      handlerVersion: NEW,
      status: 'NotReady',
      code: 1008,
      extension: { sequence: 1, verdict: { reported: { status: 'transitioning', code: 0 } } },
    });
    expect(await readdir(vm.path(NEW, 'status'))).toEqual(['0.status']);
  });
});

describe('a downgrade', () => {
  it('goes on when the higher version’s commands fail and the lower manifest says so', async () => {
    await enableOld(NEW);
    await vm.failOn(NEW, 'disable', 7);
    await vm.failOn(NEW, 'uninstall', 8);
    await vm.apply(await packageWith(OLD, { continueOnUpdateFailure: true }));
    expect((await vm.environment(NEW, 'update'))[DISABLE_CODE]).toBe('7');
    expect((await vm.environment(OLD, 'install'))[UNINSTALL_CODE]).toBe('8');
    expect((await vm.environment(OLD, 'enable'))[UNINSTALL_CODE]).toBe('8');
    expect(await vm.state(OLD)).toBe('Enabled');
    expect(existsSync(vm.path(NEW))).toBe(false);
  });

  it('stops with 1008 when the higher version cannot be disabled', async () => {
    await enableOld(NEW);
    await vm.failOn(NEW, 'disable', 7);
    await vm.apply(await vm.want(OLD, { sequence: 1 }));
    expect(await vm.calls()).toEqual(['disable 2.0.0']);
    expect(await vm.noted(OLD)).toMatch(/^NotReady\/1008: \[ExtensionUpdateError\] /);
    expect([await vm.state(NEW), await vm.state(OLD)]).toEqual(['Enabled', 'NotInstalled']);
  });

  it('runs update from the old, higher version, which is told the lower one twice', async () => {
    await enableOld(NEW);
    await vm.apply(await vm.want(OLD, { sequence: 1 }));
    expect(await vm.calls()).toEqual([
      'disable 2.0.0',
      'update 2.0.0',
      'uninstall 2.0.0',
      'install 1.0.0',
      'enable 1.0.0',
    ]);
    expect(await vm.environment(NEW, 'update')).toMatchObject({
      AZURE_GUEST_AGENT_EXTENSION_PATH: vm.path(NEW),
      AZURE_GUEST_AGENT_EXTENSION_VERSION: NEW,
      VERSION: OLD,
      AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: OLD,
      [DISABLE_CODE]: '0',
    });
    expect(await readFile(vm.path(OLD, 'mrseq'), 'utf8')).toBe('1');
    expect(existsSync(vm.path(NEW))).toBe(false);
  });

  it('that fails makes the higher version a failed upgrade, and the next goal state installs the lower one afresh', async () => {
    await enableOld(NEW);
    await vm.failOn(NEW, 'update', 7);
    const wanted = await vm.want(OLD, { sequence: 1 });
    await vm.apply(wanted);
    expect(await vm.state(NEW)).toBe('FailedUpgrade');
    expect(await vm.state(OLD)).toBe('NotInstalled');
    expect(await vm.noted(OLD)).toMatch(/^NotReady\/1008: /);
    await vm.calls();
    await vm.apply(wanted);
    expect(await vm.calls()).toEqual(['install 1.0.0', 'enable 1.0.0']);
    expect(existsSync(vm.path(NEW))).toBe(true);
  });
});
