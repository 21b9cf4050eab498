/**
 * `handlerkit vm set`: what `az vm extension set` does, on the local VM. The goal state changes, the agent processes all of it, and
 * the command waits until the extension has finished. As with `az`, the call replaces the whole extension: settings that
 * are not given are gone (`--keep-settings` keeps them).
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { interruptedError, ToolError, usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { firstLine } from '../ui.ts';
import type { GivenSettings } from '../vm/apply-extension.ts';
import { applyExtension } from '../vm/apply-extension.ts';
import type { ExtensionInstanceView } from '../vm/instance-view.ts';
import { formatInstanceView, provisioningState } from '../vm/instance-view.ts';
import type { LocalVm, ViewedExtension, VmChoice } from '../vm/local-vm.ts';
import { sayExplanations, sayLimits, viewExtensions, withLocalVm } from '../vm/local-vm.ts';
import type { Network } from '../vm/machine.ts';
import type { StatedIdentity } from '../vm/package-identity.ts';
import { readPackageIdentity } from '../vm/package-identity.ts';
import type { SettingsObject } from '../vm/settings-argument.ts';
import { readSettingsArgument } from '../vm/settings-argument.ts';
import type { StoredExtension } from '../vm/store.ts';
import { readStore } from '../vm/store.ts';

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
}

/**
 * Applies the extension, prints the VM's instance view, and throws `EXTENSION_FAILED` when the extension failed,
 * `TIMED_OUT` when it did not finish, `SUPERSEDED` when another command changed it meanwhile.
 */
export async function vmSet(options: VmSetOptions, context: CommandContext): Promise<void> {
  const timeoutMs = parseTimeout(options.timeoutMinutes);
  checkName(options.name);
  const given = readGivenSettings(options, context);
  const source = resolve(context.deps.cwd, options.package);
  const isFolder = statSync(source).isDirectory();
  await checkPackage(source, isFolder, options.identity);
  await withLocalVm(options.vm, context, async (vm) => {
    sayLimits(vm, context);
    const { keepSettings, name, forceUpdateTag, suppressFailures } = options;
    const provisionAfter = parseNames(options.provisionAfter);
    const request = { keepSettings, name, forceUpdateTag, provisionAfter, suppressFailures };
    const apply = async (file: string): Promise<StoredExtension> => {
      const identity = await readPackageIdentity(file, options.identity);
      return await vm.exclusively(() => applyExtension(vm, { ...request, file, identity, given }, context));
    };
    const stored = isFolder ? await packAndApply(source, vm, context, apply) : await apply(source);
    const views = options.wait
      ? await waitUntilFinal(vm, stored, timeoutMs, context)
      : await viewExtensions(vm, readStore(vm.folder));
    sayExplanations(views, context);
    printViews(views, context);
    refuseFailure(views, stored, options.wait, vm.machine.network);
  });
}

const NO_NETWORK_HINT =
  '. The VM has no network but loopback: if the extension needs one, add --network host.';

/** Milliseconds between two looks at the report. A real agent reports every 6 s; an author should not wait for that. */
const POLL_MS = 150;

/** Before a VM is made: a slip of the finger should leave nothing behind. */
async function checkPackage(source: string, isFolder: boolean, stated: StatedIdentity): Promise<void> {
  if (isFolder) await (await import('../project.ts')).readProject(source, {});
  else await readPackageIdentity(source, stated);
}

/** The packer is large, so a zip does not load it. */
async function packAndApply<T>(
  project: string,
  vm: LocalVm,
  context: CommandContext,
  apply: (zip: string) => Promise<T>,
): Promise<T> {
  const { withPackedProject } = await import('./vm-pack.ts');
  return await withPackedProject(project, vm.folder, context, apply);
}

/** Looks at the report until the extension has succeeded or failed. */
async function waitUntilFinal(
  vm: LocalVm,
  extension: StoredExtension,
  timeoutMs: number,
  context: CommandContext,
): Promise<readonly ViewedExtension[]> {
  const { deps, ui } = context;
  const deadline = deps.elapsedMs() + timeoutMs;
  let said: string | undefined;
  for (;;) {
    const store = readStore(vm.folder);
    const views = await viewExtensions(vm, store);
    const view = views.find((one) => one.name === extension.name);
    if (view === undefined || isReplaced(view.stored, extension)) {
      throw new ToolError('SUPERSEDED', `Another command changed or deleted "${extension.name}" meanwhile.`, {
        hint: 'See what it is now: handlerkit vm instance-view',
      });
    }
    if (provisioningState(view.report) !== 'Updating') return views;
    if (deps.elapsedMs() >= deadline) {
      sayExplanations(views, context);
      printViews(views, context);
      throw new ToolError('TIMED_OUT', `"${extension.name}" has not finished within the time limit.`, {
        hint: `Look into the logs: handlerkit vm logs ${extension.name}, or wait longer with --timeout-minutes.`,
      });
    }
    const state = describeWaiting(view);
    if (state !== said) ui.progress(state);
    said = state;
    await pause(context, extension.name);
  }
}

/** Waits a moment. Ctrl-C ends the waiting only, and the user should know that. */
async function pause({ deps, signal }: CommandContext, name: string): Promise<void> {
  try {
    await deps.sleep(POLL_MS, signal);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    throw interruptedError(
      `"${name}" goes on in the VM. See how it fares with handlerkit vm instance-view, or end it with handlerkit vm delete ${name}.`,
    );
  }
}

function isReplaced(now: StoredExtension, then: StoredExtension): boolean {
  return now.sequence !== then.sequence || now.packageDigest !== then.packageDigest;
}

function describeWaiting(view: ViewedExtension): string {
  const status = formatInstanceView(view).statuses[0];
  return `  ${status?.displayStatus ?? 'Waiting'}: ${firstLine(status?.message)}`;
}

function printViews(extensions: readonly ViewedExtension[], context: CommandContext): void {
  const views: readonly ExtensionInstanceView[] = extensions.map(formatInstanceView);
  context.ui.result(JSON.stringify(views, null, 2));
  context.ui.json(views);
}

function refuseFailure(
  views: readonly ViewedExtension[],
  extension: StoredExtension,
  isFinal: boolean,
  network: Network,
): void {
  const view = views.find((one) => one.name === extension.name);
  if (view === undefined) return;
  const state = provisioningState(view.report, extension);
  if (state === 'Succeeded' || (state === 'Updating' && !isFinal)) return;
  const message = formatInstanceView(view).statuses[0]?.message;
  throw new ToolError('EXTENSION_FAILED', `"${extension.name}" failed: ${firstLine(message)}`, {
    hint: `Look into its logs: handlerkit vm logs ${extension.name}${network === 'loopback' ? NO_NETWORK_HINT : ''}`,
  });
}

function readGivenSettings(options: VmSetOptions, context: CommandContext): GivenSettings {
  const read = (option: string, value: string | undefined): SettingsObject | undefined =>
    value === undefined ? undefined : readSettingsArgument(option, value, context.deps.cwd);
  return {
    publicSettings: read('settings', options.settings),
    protectedSettings: read('protected-settings', options.protectedSettings),
  };
}

/** As Azure: what it would not take should fail here, too. */
function checkName(name: string | undefined): void {
  if (name === undefined || /^(?!\.+$)[A-Za-z0-9._-]{1,80}$/.test(name)) return;
  throw usageError(
    `--name ${JSON.stringify(name)} cannot be the name of an extension on Azure.`,
    'A name has 1 to 80 letters, digits, "-", "_" and ".": --name CustomScript',
  );
}

/** Names with commas between; `undefined` when none were given. */
function parseNames(text: string | undefined): readonly string[] | undefined {
  const names = text?.split(',').map((name) => name.trim());
  return names?.filter((name) => name !== '');
}

function parseTimeout(text: string): number {
  const minutes = Number(text);
  if (text.trim() === '' || !Number.isFinite(minutes) || minutes <= 0) {
    throw usageError('--timeout-minutes must be a number above 0.', 'For instance: --timeout-minutes 10');
  }
  return minutes * 60_000;
}
