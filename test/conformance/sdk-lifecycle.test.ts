/**
 * The operations of a packed handler in the order in which an agent brings them about: what each one is told, what an
 * update that goes well or wrong leaves, and what the agent shows of a failure. On the local VM.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Operation } from '@handlerkit/sdk/contract';
import {
  AGENT_ERROR_CODES,
  AGENT_VARIABLES,
  CONFIG_FOLDER,
  DISABLE_NOT_RUN,
  EXIT_CODES,
  formatHandlerFolder,
  formatSequenceFile,
  HANDLER_STATUS_FILE,
  LIB_FOLDER,
  NOT_RUN,
  parseHandlerStatus,
  UPDATE_WITHOUT_INSTALL,
  WIRE_SERVER_ADDRESS,
} from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import type { InstanceView, LocalVm } from '../local-vm.ts';
import { createLocalVm, NO_OVERLAY } from '../local-vm.ts';
import { writePackageVersion } from '../newer-package.ts';
import type { TraceLine } from '../probe-trace.ts';
import { brief, readTrace } from '../probe-trace.ts';

const HANDLER = 'Handlerkit.Tests.Probe';

/** A step that lets the next operation of that name fail, once. */
const plan = (operation: Operation, error: Readonly<Record<string, unknown>>) => ({
  do: 'plan',
  operation,
  steps: [{ do: 'fail', ...error }],
});

describe('the operations of a packed handler', () => {
  let folder: string;
  let vm: LocalVm;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'handlerkit-versions-'));
    vm = await createLocalVm(NO_OVERLAY === undefined ? 'overlay' : 'relocated');
  });
  afterAll(async () => {
    await vm.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(() => (isInstalled ? remove() : undefined));

  /** A package of that version; `changes` for the handler manifest. */
  const packageOf = (version: string, changes: Readonly<Record<string, unknown>> = {}): string => {
    const zip = join(folder, `${version}.zip`);
    if (!existsSync(zip)) writePackageVersion(inject('probeZip'), zip, version, changes);
    return zip;
  };
  const lines = (): TraceLine[] => readTrace(join(vm.logFolder(), HANDLER));
  let seen = 0;
  let isInstalled = false;
  const remove = async (): Promise<void> => {
    isInstalled = false;
    await vm.delete('Probe');
  };
  /** Applies settings; gives the operations that it brought about, and what the agent reports. */
  const apply = async (zip: string, steps: readonly unknown[] | 'keep') => {
    seen = existsSync(vm.folder) ? lines().length : 0;
    isInstalled = true;
    const { exitCode, stdout } =
      steps === 'keep'
        ? await vm.set(zip, {}, ['--keep-settings'])
        : await vm.set(zip, { public: { steps } });
    const [view] = JSON.parse(stdout) as InstanceView[];
    const operations = lines().slice(seen);
    return { exitCode, message: view?.statuses[0]?.message, operations, brief: operations.map(brief) };
  };
  const variable = (line: TraceLine | undefined, name: keyof typeof AGENT_VARIABLES) =>
    line?.env[AGENT_VARIABLES[name]];
  const handlerFile = (version: string, ...names: string[]): string =>
    join(vm.agentFolder(), formatHandlerFolder(HANDLER, version), ...names);
  const handlerStatus = (version: string) => {
    const file = handlerFile(version, CONFIG_FOLDER, HANDLER_STATUS_FILE);
    return parseHandlerStatus(readFileSync(file, 'utf8'), file);
  };
  const sequence = (version: string): string =>
    readFileSync(handlerFile(version, formatSequenceFile()), 'utf8');
  const data = (): string => join(vm.agentFolder(), `${HANDLER}.data`);
  const versions = (): string[] =>
    readdirSync(vm.agentFolder()).filter((name) => name.startsWith(`${HANDLER}-`));

  it('get every variable of the agent, typed and as it is, through install, update, downgrade and deletion', async () => {
    const fresh = await apply(packageOf('1.0.0'), [{ do: 'write', file: 'kept', text: 'from 1.0.0' }]);
    expect(fresh.brief).toEqual(['install 1.0.0', 'enable 1.0.0']);
    const [install, enable] = fresh.operations;
    for (const line of fresh.operations) {
      expect(variable(line, 'wireProtocolAddress')).toBe(WIRE_SERVER_ADDRESS);
      expect(variable(line, 'sequenceNumber')).toBe('0');
      expect(variable(line, 'extensionVersion')).toBe('1.0.0');
      expect(variable(line, 'extensionPath')).toBe(line.handlerFolder);
      expect(variable(line, 'supportedFeatures')).toContain('"ExtensionTelemetryPipeline"');
      expect(variable(line, 'extensionName')).toBeUndefined();
      expect(variable(line, 'uninstallExitCode')).toBe(NOT_RUN);
      expect(variable(line, 'disableExitCode')).toBeUndefined();
    }
    expect(install).toMatchObject({ sequence: 0, uninstallExitCode: 'not-run' });
    const repeated = await apply(packageOf('1.0.0'), 'keep');
    expect(repeated).toMatchObject({ exitCode: 0, brief: [], message: 'Enable succeeded' });
    expect(enable?.dataFolder).toMatch(new RegExp(`${HANDLER}\\.data$`));
    if (NO_OVERLAY === undefined) expect(enable?.handlerFolder).toBe(`${LIB_FOLDER}/${HANDLER}-1.0.0`);

    const updated = await apply(packageOf('1.1.0'), [{ do: 'end', message: 'second' }]);
    // The old version's uninstall finds its data adopted, and leaves the author's code alone.
    expect(updated.brief).toEqual(['disable 1.0.0', 'update 1.1.0', 'install 1.1.0', 'enable 1.1.0']);
    const [disable, update, again, second] = updated.operations;
    // The old version is disabled with the number of the new settings.
    expect(variable(disable, 'sequenceNumber')).toBe('1');
    expect(variable(disable, 'uninstallExitCode')).toBeUndefined();
    expect(update).toMatchObject({ fromVersion: '1.0.0', toVersion: '1.1.0', disableExitCode: 0 });
    expect([variable(update, 'targetVersion'), variable(update, 'updatingFromVersion')]).toEqual([
      '1.1.0',
      '1.0.0',
    ]);
    expect(variable(update, 'disableExitCode')).toBe('0');
    expect(again).toMatchObject({ uninstallExitCode: 0 });
    expect([again, second].map((line) => variable(line, 'uninstallExitCode'))).toEqual(['0', '0']);
    expect(variable(second, 'targetVersion')).toBeUndefined();
    expect(second).toMatchObject({ sequence: 1, dataFolder: enable?.dataFolder });

    const downgraded = await apply(packageOf('1.0.0'), 'keep');
    // A downgrade's update runs from the old, higher version's folder; enable has nothing to do.
    expect(downgraded.brief).toEqual(['disable 1.1.0', 'update 1.1.0', 'install 1.0.0']);
    const [, down] = downgraded.operations;
    expect(down).toMatchObject({ version: '1.1.0', fromVersion: '1.1.0', toVersion: '1.0.0' });
    expect([variable(down, 'targetVersion'), variable(down, 'updatingFromVersion')]).toEqual([
      '1.0.0',
      '1.0.0',
    ]);
    expect(downgraded.message).toBe('Enable succeeded: second');
    expect(versions()).toEqual([`${HANDLER}-1.0.0`]);
    expect(sequence('1.0.0')).toBe('1');
    expect(readFileSync(join(data(), 'kept'), 'utf8')).toBe('from 1.0.0');

    seen = lines().length;
    await remove();
    expect(lines().slice(seen).map(brief)).toEqual(['disable 1.0.0', 'uninstall 1.0.0']);
    expect(existsSync(data())).toBe(false);
    expect(versions()).toEqual([]);
  });

  it('keep state and data through an update and an install that fail, and the next tries succeed without a second run', async () => {
    await apply(packageOf('1.0.0'), [
      { do: 'write', file: 'kept', text: 'still here' },
      plan('update', { code: 'DEPENDENCY_MISSING', message: 'no tar; install tar' }),
      plan('install', { code: 'PACKAGE_MANAGER_LOCKED', message: 'dpkg is busy; try again' }),
      { do: 'end', message: 'the only run' },
    ]);
    const kept = (): string => readFileSync(join(data(), 'kept'), 'utf8');

    const failed = await apply(packageOf('1.1.0'), 'keep');
    expect(failed.exitCode).toBe(1);
    expect(failed.brief).toEqual(['disable 1.0.0', 'update 1.1.0']);
    expect(failed.message).toContain('Non-zero exit code: 52, ');
    expect(failed.message).toContain('[stderr]\nUpdate failed: DEPENDENCY_MISSING: no tar; install tar');
    expect(handlerStatus('1.1.0').code).toBe(AGENT_ERROR_CODES.update);
    expect([sequence('1.0.0'), kept()]).toEqual(['0', 'still here']);

    const again = await apply(packageOf('1.1.0'), 'keep');
    // The old version is disabled already, which the agent says with a word. Its uninstall works, then install fails.
    expect(again.brief).toEqual(['update 1.1.0', 'install 1.1.0']);
    expect(variable(again.operations[0], 'disableExitCode')).toBe(DISABLE_NOT_RUN);
    expect(again.operations[0]).toMatchObject({ disableExitCode: 'not-run', fromVersion: '1.0.0' });
    expect(again.message).toContain('Non-zero exit code: 56, ');
    expect(again.message).toContain(
      '[stderr]\nInstall failed: PACKAGE_MANAGER_LOCKED: dpkg is busy; try again',
    );
    expect(handlerStatus('1.1.0').code).toBe(AGENT_ERROR_CODES.install);
    expect(versions()).toEqual([`${HANDLER}-1.1.0`]);

    const third = await apply(packageOf('1.1.0'), 'keep');
    expect(third.exitCode).toBe(0);
    expect(third.brief).toEqual(['install 1.1.0']);
    expect(third.operations[0]).toMatchObject({ uninstallExitCode: 'not-run' });
    expect(third.message).toBe('Enable succeeded: the only run');
    expect([sequence('1.1.0'), kept()]).toEqual(['0', 'still here']);
  });

  it('stop at an old version that cannot be disabled, and go on with its exit codes where the manifest allows it', async () => {
    const busy = plan('disable', { code: 'BUSY', message: 'busy', exitCode: 7 });
    await apply(packageOf('1.0.0'), [busy]);
    // An uninstall command that the handler does not know: it fails without the author's code.
    const broken = packageOf('1.2.0', { uninstallCommand: 'bin/handler uninstall now' });
    const failed = await apply(broken, 'keep');
    expect(failed.brief).toEqual(['disable 1.0.0']);
    expect(failed.message).toContain('Non-zero exit code: 7, ');
    expect(failed.message).toContain('Disable failed: BUSY: busy');
    expect(handlerStatus('1.2.0').code).toBe(AGENT_ERROR_CODES.update);
    const retried = await apply(broken, [busy, { do: 'end', message: 'other settings' }]);
    expect(retried.brief).toEqual(['disable 1.0.0', 'update 1.2.0', 'install 1.2.0', 'enable 1.2.0']);
    expect(retried.exitCode).toBe(0);

    const updated = await apply(packageOf('1.3.0', { continueOnUpdateFailure: true }), 'keep');
    expect(updated.exitCode).toBe(0);
    expect(updated.brief).toEqual(['disable 1.2.0', 'update 1.3.0', 'install 1.3.0']);
    expect(updated.operations[1]).toMatchObject({ disableExitCode: 7 });
    expect(updated.operations[2]).toMatchObject({ uninstallExitCode: EXIT_CODES.wrongUsage });

    // An update without install: enable makes the data folder, too.
    rmSync(data(), { recursive: true });
    const plain = packageOf('1.4.0', { updateMode: UPDATE_WITHOUT_INSTALL });
    const last = await apply(plain, [{ do: 'write', file: 'new', text: 'here' }]);
    expect(last.brief).toEqual(['disable 1.3.0', 'update 1.4.0', 'enable 1.4.0']);
    expect(readFileSync(join(data(), 'new'), 'utf8')).toBe('here');
  });

  it('show their exit code and their message through the agent', async () => {
    const rows = [
      ['UNSUPPORTED_SYSTEM', 51],
      ['DEPENDENCY_MISSING', 52],
      ['SETTINGS_INVALID', 53],
      ['PACKAGE_MANAGER_LOCKED', 56],
    ] as const;
    for (const [code, exitCode] of rows) {
      const steps = [{ do: 'fail', code, message: `it is so ${'ü '.repeat(3_000)}; do this` }];
      const { message } = await apply(packageOf('1.0.0'), steps);
      expect(message).toContain(`Non-zero exit code: ${exitCode}, `);
      expect(message).toContain(`[stderr]\nEnable failed: ${code}: it is so ü `);
      // Whole, from the first word to the last.
      expect(message?.trimEnd()).toMatch(/; do this$/);
      expect(handlerStatus('1.0.0').code).toBe(AGENT_ERROR_CODES.enable);
    }
  });
});
