/**
 * `handlerkit vm set`: what `az vm extension set` does, on the local VM. The goal state changes, the agent processes all of it, and
 * the command waits until the extension has finished. As with `az`, the call replaces the whole extension: settings that
 * are not given are gone (`--keep-settings` keeps them).
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { formatHandlerName, type Operation } from '@handlerkit/sdk/contract';
import { ToolError, usageError } from '../errors.ts';
import type { PackResult } from '../pack/pack.ts';
import type { CommandContext } from '../tool-deps.ts';
import { firstLine } from '../ui.ts';
import type { GivenSettings } from '../vm/apply-extension.ts';
import { applyExtension } from '../vm/apply-extension.ts';
import { checkExtensionName, readExtensionNames } from '../vm/extension-name.ts';
import { clearStopOrder, type Inspection, type InspectRequest, openInspection } from '../vm/inspection.ts';
import { formatInstanceView, provisioningState } from '../vm/instance-view.ts';
import type { LocalVm, ViewedExtension, VmChoice } from '../vm/local-vm.ts';
import { sayExplanations, sayLimits, viewExtensions, withLocalVm } from '../vm/local-vm.ts';
import type { StatedIdentity } from '../vm/package-identity.ts';
import { readPackageIdentity } from '../vm/package-identity.ts';
import type { SettingsObject } from '../vm/settings-argument.ts';
import { describeExposure, readSettingsArgument, settingsSource } from '../vm/settings-argument.ts';
import type { StoredExtension } from '../vm/store.ts';
import { readStore } from '../vm/store.ts';
import { describeLoopbackOnly } from '../vm/vm-network.ts';
import { relayWords } from './vm-relay.ts';
import { printViews, waitUntilFinal } from './vm-set-wait.ts';

export interface VmSetOptions {
  readonly vm: VmChoice;
  /** Path of a zip or of an extension's folder. */
  readonly package: string;
  /** JSON or `@FILE`. */
  readonly settings: string | undefined;
  readonly protectedSettings: string | undefined;
  readonly keepSettings: boolean;
  readonly name: string | undefined;
  readonly forceUpdateTag: string | undefined;
  /** Names of extensions, with commas between. */
  readonly provisionAfter?: string | undefined;
  readonly suppressFailures?: boolean | undefined;
  readonly identity: StatedIdentity;
  readonly wait: boolean;
  readonly timeoutMinutes: string;
  /** True: again after every change of the folder, until Ctrl-C. */
  readonly watch?: boolean | undefined;
  /** Port for a debugger, empty for the usual one; `undefined`: no debugger. */
  readonly inspect?: string | undefined;
  /** The operation that stops for it. */
  readonly inspectOperation?: Operation | undefined;
}

/** What goes on around one application of the extension. */
export interface SetRound {
  /** Called with the sources that a folder was packed from. */
  noteInputs(inputs: readonly string[]): Promise<void>;
  /** A true answer ends the waiting for the extension. */
  isOver(): boolean;
}

/**
 * Applies the extension, prints the VM's instance view, and throws `EXTENSION_FAILED` when the extension failed,
 * `TIMED_OUT` when it did not finish, `SUPERSEDED` when another command changed it meanwhile. With `watch` it goes on until
 * the signal.
 */
export async function vmSet(options: VmSetOptions, context: CommandContext): Promise<void> {
  parseTimeout(options.timeoutMinutes);
  // As Azure: what it would not take should fail here, too.
  if (options.name !== undefined) checkExtensionName('name', options.name);
  if (options.watch !== true) {
    await setOnce(options, { noteInputs: async () => {}, isOver: () => false }, context);
    return;
  }
  const source = resolve(context.deps.cwd, options.package);
  checkFolderOptions(options, statSync(source).isDirectory(), context);
  const { watchAndSet } = await import('./vm-set-watch.ts');
  await watchAndSet(options, source, setOnce, context);
}

async function setOnce(options: VmSetOptions, round: SetRound, context: CommandContext): Promise<void> {
  const given = readGivenSettings(options, context);
  const source = resolve(context.deps.cwd, options.package);
  const isFolder = statSync(source).isDirectory();
  checkFolderOptions(options, isFolder, context);
  await checkPackage(source, isFolder, options.identity);
  const inspect = parseInspect(options);
  const choice = { ...options.vm, hasTimeLimits: inspect === undefined };
  await withLocalVm(choice, context, async (vm) => {
    sayLimits(vm, context);
    const { keepSettings, name, forceUpdateTag, suppressFailures } = options;
    const provisionAfter =
      options.provisionAfter === undefined
        ? undefined
        : readExtensionNames('provision-after', options.provisionAfter);
    const request = { keepSettings, name, forceUpdateTag, provisionAfter, suppressFailures };
    await withInspection(vm, inspect, context, async (inspection) => {
      const apply = async (file: string): Promise<StoredExtension> => {
        const identity = await readPackageIdentity(file, options.identity);
        return await vm.exclusively(async () => {
          const { publisher, type } = identity;
          clearStopOrder(vm);
          inspection?.order(formatHandlerName(publisher, type), name ?? type);
          return await applyExtension(vm, { ...request, file, identity, given }, context);
        });
      };
      const applyPacked = async ({ file, inputs }: PackResult): Promise<StoredExtension> => {
        await round.noteInputs(inputs);
        return await apply(file);
      };
      const stored = isFolder
        ? await packAndApply(source, vm, inspect !== undefined, context, applyPacked)
        : await apply(source);
      const timeoutMs =
        inspect === undefined ? parseTimeout(options.timeoutMinutes) : Number.POSITIVE_INFINITY;
      const views = options.wait
        ? await waitUntilFinal(vm, stored, { timeoutMs, isOver: round.isOver }, context)
        : await viewExtensions(vm, readStore(vm.folder));
      sayExplanations(views, context);
      printViews(views, context);
      refuseFailure(views, stored, options.wait && !round.isOver(), vm.machine);
    });
  });
}

const DEFAULT_PORT = 9229;

/** Before a VM is made: a slip of the finger should leave nothing behind. */
async function checkPackage(source: string, isFolder: boolean, stated: StatedIdentity): Promise<void> {
  if (isFolder) await (await import('../project.ts')).readProject(source, {});
  else await readPackageIdentity(source, stated);
}

/** The packer is large, so a zip does not load it. */
async function packAndApply<T>(
  project: string,
  vm: LocalVm,
  inspectable: boolean,
  context: CommandContext,
  apply: (packed: PackResult) => Promise<T>,
): Promise<T> {
  const { withPackedProject } = await import('./vm-pack.ts');
  return await withPackedProject({ project, vmFolder: vm.folder, inspectable }, context, apply);
}

async function withInspection<T>(
  vm: LocalVm,
  request: InspectRequest | undefined,
  context: CommandContext,
  action: (inspection: Inspection | undefined) => Promise<T>,
): Promise<T> {
  if (request === undefined) return await action(undefined);
  const inspection = await openInspection(vm, request, relayWords, context);
  try {
    return await action(inspection);
  } finally {
    await inspection.close();
  }
}

/** A zip was built somewhere else, from sources that are not at hand. */
function checkFolderOptions(options: VmSetOptions, isFolder: boolean, { ui, deps }: CommandContext): void {
  if (options.watch === true && ui.isJson) {
    throw usageError('--watch never ends, so there is no one JSON document.', 'Leave out --json or --watch.');
  }
  const given = [options.settings, options.protectedSettings];
  const isStream = (value: string | undefined): boolean =>
    value !== undefined && settingsSource(value, deps.cwd).kind === 'stream';
  if (options.watch === true && given.some(isStream)) {
    throw usageError(
      '--watch reads the settings each time, and a pipe gives them only once.',
      'Put them into a file: --settings @settings.json',
    );
  }
  parseInspect(options);
  const option = options.watch === true ? '--watch' : options.inspect === undefined ? undefined : '--inspect';
  if (isFolder || option === undefined) return;
  throw usageError(
    `${option} needs the folder of an extension, not a zip.`,
    `Name the folder: handlerkit vm set . ${option}`,
  );
}

function parseInspect({ inspect, inspectOperation, wait }: VmSetOptions): InspectRequest | undefined {
  if (inspect === undefined) {
    if (inspectOperation === undefined) return undefined;
    throw usageError(
      '--inspect-operation says where --inspect stops.',
      `handlerkit vm set . --inspect --inspect-operation ${inspectOperation}`,
    );
  }
  if (!wait) {
    throw usageError('--inspect has to wait for the debugger.', 'Leave out --no-wait or --inspect.');
  }
  const port = inspect === '' ? DEFAULT_PORT : Number(inspect);
  if (/^\d*$/.test(inspect) && port <= MAX_PORT) return { operation: inspectOperation ?? 'enable', port };
  throw usageError(
    `--inspect=${inspect} names no port.`,
    'Give a number from 0 (any free port) to 65535: --inspect=9230, or --inspect last, for 9229.',
  );
}

const MAX_PORT = 65_535;

function refuseFailure(
  views: readonly ViewedExtension[],
  extension: StoredExtension,
  isFinal: boolean,
  { network, agent }: LocalVm['machine'],
): void {
  const view = views.find((one) => one.name === extension.name);
  if (view === undefined) return;
  const state = provisioningState(view.report, extension);
  if (state === 'Succeeded' || (state === 'Updating' && !isFinal)) return;
  const message = formatInstanceView(view).statuses[0]?.message;
  throw new ToolError('EXTENSION_FAILED', `"${extension.name}" failed: ${firstLine(message)}`, {
    hint: `Look into its logs: handlerkit vm logs ${extension.name}${network === 'loopback' ? `. ${describeLoopbackOnly(agent)}` : ''}`,
  });
}

function readGivenSettings(options: VmSetOptions, context: CommandContext): GivenSettings {
  const { protectedSettings } = options;
  const exposed =
    protectedSettings === undefined ? undefined : describeExposure(protectedSettings, context.deps.cwd);
  if (exposed !== undefined) context.ui.warning(exposed);
  const read = (option: string, value: string | undefined): SettingsObject | undefined =>
    value === undefined ? undefined : readSettingsArgument(option, value, context.deps.cwd);
  return {
    publicSettings: read('settings', options.settings),
    protectedSettings: read('protected-settings', protectedSettings),
  };
}

function parseTimeout(text: string): number {
  const minutes = Number(text);
  if (text.trim() === '' || !Number.isFinite(minutes) || minutes <= 0) {
    throw usageError('--timeout-minutes must be a number above 0.', 'For instance: --timeout-minutes 10');
  }
  return minutes * 60_000;
}
