/** Faults in real VMs; an overlay is skipped with the reason in the title where there can be none. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CliResult } from '../fixtures/run-cli.ts';
import { runCli } from '../fixtures/run-cli.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';
import { readFault } from '../vm/fault.ts';
import { VM_KINDS } from '../vm/fixtures/vm-kinds.ts';
import { isAlive } from '../vm/linux-process.ts';
import { findState, readKeeper } from '../vm/machine-state.ts';

let folder: string;
useVmFolder((made) => {
  folder = made;
});

const vm = (...words: string[]): Promise<CliResult> => runCli(['vm', ...words], { cwd: folder });
const operationsOf = ({ stderr }: CliResult): string[] =>
  [...stderr.matchAll(/^ {2}(\w+) +bin\/handler \1 {3}(exit \d+)/gm)].map(
    (match) => `${match[1]} ${match[2]}`,
  );
const settings = (value: unknown): string[] => ['--settings', JSON.stringify(value)];

describe.each(VM_KINDS)('a kill in a VM that is $kind', ({ kind, skip, because }) => {
  const test = it.skipIf(skip !== undefined);

  test(`comes when a detached handler has said that it works, and a reboot goes on${because}`, async () => {
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    const go = join(kind === 'overlay' ? '/tmp' : folder, 'handlerkit-go');
    const armed = await vm('kill-at', 'enable:transitioning', '--isolation', kind);
    expect(armed.stdout).toBe('The VM will be killed at enable:transitioning, once.\n');
    const result = await vm('set', zip, ...settings({ mode: 'slow', until: go }));
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain('error VM_KILLED: The VM was killed at enable:transitioning');
    expect(result.stderr).toContain(
      'Try: Start it again, and see how the extension goes on: handlerkit vm reboot',
    );
    const keeper = readKeeper(findState(join(folder, '.handlerkit/vm')) ?? fail());
    expect(keeper !== undefined && isAlive(keeper)).toBe(false);
    if (kind === 'overlay') await vm('exec', '--json', '--', 'touch', go);
    else await writeFile(go, '');
    const after = await vm('reboot');
    expect(operationsOf(after)).toEqual(['enable exit 0']);
    expect(JSON.parse(after.stdout)[0].statuses[0].message).toBe('late');
  });

  test(`comes behind the final status, which stays when enable is called again${because}`, async () => {
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    await vm('kill-at', 'enable:final', '--isolation', kind);
    const result = await vm('set', zip);
    expect(result.stderr).toContain('error VM_KILLED: The VM was killed at enable:final');
    expect(result.stderr).toContain('Try: The final status is written');
    const after = await vm('reboot');
    expect(operationsOf(after)).toEqual(['enable exit 0']);
    expect(JSON.parse(after.stdout)[0].statuses[0].code).toBe('ProvisioningState/succeeded');
  });

  test(`comes before the agent has noted the end of a command, which then runs again${because}`, async () => {
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    await vm('kill-at', 'install:exit', '--isolation', kind);
    expect(operationsOf(await vm('set', zip))).toEqual(['install exit 0']);
    const after = await vm('reboot');
    expect(operationsOf(after)).toEqual(['install exit 0', 'enable exit 0']);
    expect(after.exitCode).toBe(0);
  });

  test(`comes some time after the start of a command that does not end${because}`, async () => {
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    await vm('kill-at', 'enable+100ms', '--isolation', kind);
    const result = await vm('set', zip, '--json', ...settings({ mode: 'stuck' }));
    expect(JSON.parse(result.stdout).error).toMatchObject({ code: 'VM_KILLED' });
    expect(readFault(join(folder, '.handlerkit/vm'))).toBeUndefined();
  });
});

describe('a deletion that is cut off', () => {
  const cutOff = async (step: string): Promise<void> => {
    await vm('set', await writeScriptExtension(folder, { version: '1.0.0' }), '--isolation', 'relocated');
    await vm('kill-at', step);
    const result = await vm('delete', 'Greeter');
    expect(result.stderr).toContain('VM_KILLED');
    expect(JSON.parse((await vm('show', 'Greeter')).stdout).provisioningState).toBe('Deleting');
  };
  const names = async (): Promise<unknown> => JSON.parse((await vm('list', '--json')).stdout);

  it.each([
    ['disable', ['disable exit 0', 'uninstall exit 0']],
    ['disable:exit', ['disable exit 0', 'uninstall exit 0']],
    ['uninstall', ['uninstall exit 0']],
    ['uninstall:exit', ['uninstall exit 0']],
  ])('at %s goes on with a reboot', async (step, operations) => {
    await cutOff(step);
    const after = await vm('reboot');
    expect(operationsOf(after)).toEqual(operations);
    expect(after.exitCode).toBe(0);
    expect(await names()).toEqual([]);
  });

  it('goes on with vm delete', async () => {
    await cutOff('disable');
    expect(operationsOf(await vm('delete', 'Greeter'))).toEqual(['disable exit 0', 'uninstall exit 0']);
    expect(await names()).toEqual([]);
  });

  it('goes on with vm set, which then sets the extension as a new one', async () => {
    await cutOff('disable');
    const result = await vm('set', await writeScriptExtension(folder, { version: '1.1.0' }));
    expect(result.stderr).toContain('Going on with the deletion of Greeter');
    const all = ['disable exit 0', 'uninstall exit 0', 'install exit 0', 'enable exit 0'];
    expect(operationsOf(result)).toEqual(all);
    expect(await names()).toMatchObject([{ provisioningState: 'Succeeded', typeHandlerVersion: '1.1.0' }]);
  });
});

it('is shown, replaced and taken back, and stays as long as no command reaches it', async () => {
  await vm('kill-at', 'disable', '--isolation', 'relocated');
  await vm('set', await writeScriptExtension(folder, { version: '1.0.0' }));
  expect(JSON.parse((await vm('kill-at', '--json')).stdout)).toEqual({ killAt: 'disable' });
  const result = await vm('delete', 'Greeter');
  expect(result.stderr).toContain('VM_KILLED');
  await vm('kill-at', 'update+2s');
  expect((await vm('kill-at', '--clear')).stdout).toBe('No kill is set.\n');
  expect((await vm('kill-at', 'sometimes')).exitCode).toBe(2);
});

function fail(): never {
  throw new Error('There is no VM.');
}
