/**
 * `handlerkit vm set`: what `az vm extension set` does, on the local VM. The goal state changes, the agent processes all of it, and
 * the command waits until the extension has finished. As with `az`, the call replaces the whole extension: settings that
 * are not given are gone (`--keep-settings` keeps them).
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { ToolError, usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { findFormer, planExtension } from '../vm/extension-change.ts';
import type { ExtensionInstanceView } from '../vm/instance-view.ts';
import { formatInstanceView, provisioningState } from '../vm/instance-view.ts';
import type { LocalVm, ViewedExtension } from '../vm/local-vm.ts';
import { reportOf, sayExplanations, sayLimits, viewExtensions, withLocalVm } from '../vm/local-vm.ts';
import type { MachineOptions } from '../vm/machine.ts';
import type { PackageIdentity, StatedIdentity } from '../vm/package-identity.ts';
import { readPackageIdentity } from '../vm/package-identity.ts';
import type { SettingsObject } from '../vm/settings-argument.ts';
import { readSettingsArgument } from '../vm/settings-argument.ts';
import type { KeptPackage, StoredExtension, StoredSettings, VmStore } from '../vm/store.ts';
import { formatGoalState, handlerNameOf, keepPackage, readStore, writeStore } from '../vm/store.ts';
import { ensureCertificate, sealProtectedSettings } from '../vm/vm-certificate.ts';

export interface VmSetOptions {
  readonly folder: string;
  /** Path of a zip or of an extension's folder. */
  readonly package: string;
  /** JSON or `@FILE`. */
  readonly settings: string | undefined;
  readonly protectedSettings: string | undefined;
  readonly keepSettings: boolean;
  readonly name: string | undefined;
  readonly forceUpdateTag: string | undefined;
  readonly identity: StatedIdentity;
  readonly wait: boolean;
  readonly timeoutMinutes: string;
  readonly isolation: MachineOptions['isolation'];
}

/**
 * Applies the extension, prints the VM's instance view, and throws `EXTENSION_FAILED` when the extension failed,
 * `TIMED_OUT` when it did not finish, `SUPERSEDED` when another command changed it meanwhile.
 */
export async function vmSet(options: VmSetOptions, context: CommandContext): Promise<void> {
  const timeoutMs = parseTimeout(options.timeoutMinutes);
  const given = readGivenSettings(options, context);
  const source = resolve(context.deps.cwd, options.package);
  const isFolder = statSync(source).isDirectory();
  await withLocalVm(options.folder, options.isolation, context, async (vm) => {
    sayLimits(vm, context);
    const apply = async (file: string): Promise<StoredExtension> => {
      const identity = await readPackageIdentity(file, options.identity);
      return await vm.exclusively(() => applyExtension(vm, { file, identity, given, options }, context));
    };
    const stored = isFolder ? await packAndApply(source, vm, context, apply) : await apply(source);
    const views = options.wait
      ? await waitUntilFinal(vm, stored, timeoutMs, context)
      : await viewExtensions(vm, readStore(vm.folder));
    sayExplanations(views, context);
    printViews(views, context);
    refuseFailure(views, stored, options.wait);
  });
}

/** Milliseconds between two looks at the report. A real agent reports every 6 s; an author should not wait for that. */
const POLL_MS = 150;

interface GivenSettings {
  readonly publicSettings: SettingsObject | undefined;
  readonly protectedSettings: SettingsObject | undefined;
}

interface Application {
  readonly file: string;
  readonly identity: PackageIdentity;
  readonly given: GivenSettings;
  readonly options: VmSetOptions;
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

/** Under the lock: stores the new goal state, then has the agent process it, as a new goal state is. */
async function applyExtension(
  vm: LocalVm,
  application: Application,
  context: CommandContext,
): Promise<StoredExtension> {
  const { file, identity, given, options } = application;
  let store = readStore(vm.folder);
  let former = findFormer(store, identity, options.name);
  const kept = keepPackage(vm.folder, file, `${identity.publisher}.${identity.type}`, identity.version);
  const { certificate, settings } = sealSettings(vm, store, former, given);
  store = { ...store, certificate };
  const requested = {
    identity,
    name: options.name ?? former?.name,
    settings: options.keepSettings ? ('keep' as const) : settings,
    forceUpdateTag: options.forceUpdateTag,
  };
  if (former !== undefined && isRebuilt(former, identity, kept)) {
    context.ui.warning(
      `${handlerNameOf(former)} ${identity.version} is installed from another build, and the agent never unpacks a version twice: deleting it and installing it anew. To rehearse an update, raise the version.`,
    );
    const before = planExtension(former, requested, kept);
    store = await removeExtension(vm, store, former, context);
    requested.settings = before.settings;
    former = undefined;
  }
  const next = planExtension(former, requested, kept);
  sayChange(former, next, context);
  store = {
    ...store,
    incarnation: store.incarnation + 1,
    extensions: replaceExtension(store.extensions, next),
  };
  writeStore(vm.folder, store);
  await vm.agent.processGoalState(formatGoalState(vm.folder, store), context.signal);
  return next;
}

/**
 * Has the agent uninstall an extension, and takes it out of the goal state. Call it under the lock. Throws
 * `DELETE_FAILED` when the agent gave up because `disable` failed; the extension then stays.
 */
export async function removeExtension(
  vm: LocalVm,
  store: VmStore,
  extension: StoredExtension,
  context: CommandContext,
): Promise<VmStore> {
  const current = { ...store, incarnation: store.incarnation + 1 };
  writeStore(vm.folder, current);
  const goalState = formatGoalState(vm.folder, current, extension.name);
  await vm.agent.processGoalState(goalState, context.signal);
  const left = reportOf(await vm.agent.report(goalState), extension);
  if (left !== undefined) {
    throw new ToolError(
      'DELETE_FAILED',
      `The agent could not remove "${extension.name}": ${firstLine(left.message)}`,
      {
        hint: `Look into the logs: handlerkit vm logs ${extension.name}. To start anew: handlerkit vm reset.`,
      },
    );
  }
  const extensions = current.extensions.filter((one) => one.name !== extension.name);
  const next = { ...current, extensions };
  writeStore(vm.folder, next);
  return next;
}

function sealSettings(
  vm: LocalVm,
  store: VmStore,
  former: StoredExtension | undefined,
  given: GivenSettings,
): { certificate: VmStore['certificate']; settings: StoredSettings | null } {
  const { publicSettings, protectedSettings } = given;
  // Azure gives every VM its certificate, whether or not a setting is protected.
  const certificate = ensureCertificate(vm.machine, store.certificate);
  if (publicSettings === undefined && protectedSettings === undefined) return { certificate, settings: null };
  const sealed =
    protectedSettings === undefined
      ? { protectedSettings: null, thumbprint: null, protectedDigest: null }
      : sealProtectedSettings(vm.machine, certificate, protectedSettings, former?.settings ?? null);
  return { certificate, settings: { publicSettings: publicSettings ?? null, ...sealed } };
}

function replaceExtension(
  extensions: readonly StoredExtension[],
  next: StoredExtension,
): readonly StoredExtension[] {
  const isThere = extensions.some((extension) => extension.name === next.name);
  if (!isThere) return [...extensions, next];
  return extensions.map((extension) => (extension.name === next.name ? next : extension));
}

function isRebuilt(former: StoredExtension, identity: PackageIdentity, kept: KeptPackage): boolean {
  return former.version === identity.version && former.packageDigest !== kept.packageDigest;
}

/** Looks at the report until the extension has succeeded or failed. */
async function waitUntilFinal(
  vm: LocalVm,
  extension: StoredExtension,
  timeoutMs: number,
  context: CommandContext,
): Promise<readonly ViewedExtension[]> {
  const { deps, ui, signal } = context;
  const deadline = deps.elapsedMs() + timeoutMs;
  let said: string | undefined;
  for (;;) {
    const store = readStore(vm.folder);
    const views = await viewExtensions(vm, store);
    const view = views.find((one) => one.name === extension.name);
    if (view === undefined || view.stored.sequence !== extension.sequence) {
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
    await deps.sleep(POLL_MS, signal);
  }
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
): void {
  const view = views.find((one) => one.name === extension.name);
  if (view === undefined) return;
  const state = provisioningState(view.report);
  if (state === 'Succeeded' || (state === 'Updating' && !isFinal)) return;
  const message = formatInstanceView(view).statuses[0]?.message;
  throw new ToolError('EXTENSION_FAILED', `"${extension.name}" failed: ${firstLine(message)}`, {
    hint: `Look into its logs: handlerkit vm logs ${extension.name}`,
  });
}

function sayChange(
  former: StoredExtension | undefined,
  next: StoredExtension,
  context: CommandContext,
): void {
  const { ui } = context;
  const versions =
    former === undefined || former.version === next.version
      ? next.version
      : `${former.version} to ${next.version}`;
  ui.progress(`${next.name}: ${handlerNameOf(next)} ${versions}, sequence number ${next.sequence}`);
  const isDropped =
    (former?.settings?.publicSettings != null && next.settings?.publicSettings == null) ||
    (former?.settings?.protectedSettings != null && next.settings?.protectedSettings == null);
  if (isDropped) {
    ui.warning(
      `${next.name} had settings that were not given now, so they are gone, as with az. To leave them as they are: --keep-settings`,
    );
  }
}

function readGivenSettings(options: VmSetOptions, context: CommandContext): GivenSettings {
  const read = (option: string, value: string | undefined): SettingsObject | undefined =>
    value === undefined ? undefined : readSettingsArgument(option, value, context.deps.cwd);
  return {
    publicSettings: read('settings', options.settings),
    protectedSettings: read('protected-settings', options.protectedSettings),
  };
}

function parseTimeout(text: string): number {
  const minutes = Number(text);
  if (text.trim() === '' || !Number.isFinite(minutes) || minutes <= 0) {
    throw usageError('--timeout-minutes must be a number above 0.', 'For instance: --timeout-minutes 10');
  }
  return minutes * 60_000;
}

function firstLine(message: string | null | undefined): string {
  return (message ?? '').split('\n', 1)[0] || 'no message';
}
