/** Changes the goal state of a local VM by one extension that is set, and has the agent bring it about. Call it under the VM's lock. */

import { formatHandlerName } from '@handlerkit/sdk/contract';
import { interruptedError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { checkOrder } from './dependency-levels.ts';
import { findFormer, followVersion, planExtension } from './extension-change.ts';
import type { LocalVm } from './local-vm.ts';
import type { PackageIdentity } from './package-identity.ts';
import { bringAbout, finishRemovals, uninstallBuild } from './remove-extension.ts';
import type { SettingsObject } from './settings-argument.ts';
import type { KeptPackage, StoredExtension, StoredSettings, VmStore } from './store.ts';
import {
  dropPackage,
  extensionsOf,
  handlerNameOf,
  keepPackage,
  readStore,
  takePackage,
  writeStore,
} from './store.ts';
import { ensureCertificate, sealProtectedSettings } from './vm-certificate.ts';

/** What the user gave; `undefined`: nothing. */
export interface GivenSettings {
  readonly publicSettings: SettingsObject | undefined;
  readonly protectedSettings: SettingsObject | undefined;
}

/** What one `vm set` asks for. */
export interface Application {
  /** Path of the zip. */
  readonly file: string;
  readonly identity: PackageIdentity;
  readonly given: GivenSettings;
  /** True: `given` is not looked at. */
  readonly keepSettings: boolean;
  readonly name: string | undefined;
  readonly forceUpdateTag: string | undefined;
  /** Names of the extensions that have to succeed before this one starts. */
  readonly provisionAfter?: readonly string[] | undefined;
  readonly suppressFailures?: boolean | undefined;
}

/**
 * Stores the new goal state, then has the agent process all of it, as a new goal state is. Throws what `findFormer` throws, and
 * what `finishRemovals` does when a deletion had been cut off.
 * An extension that fails is no error here; its failure is in the agent's report.
 */
export async function applyExtension(
  vm: LocalVm,
  application: Application,
  context: CommandContext,
): Promise<StoredExtension> {
  try {
    return await changeGoalState(vm, application, context);
  } finally {
    dropPackage(vm.folder);
  }
}

async function changeGoalState(
  vm: LocalVm,
  application: Application,
  context: CommandContext,
): Promise<StoredExtension> {
  const { file, identity, given, keepSettings, forceUpdateTag, provisionAfter, suppressFailures } =
    application;
  let store = await finishRemovals(vm, readStore(vm.folder), context);
  let former = findFormer(store, identity, application.name);
  const handlerName = formatHandlerName(identity.publisher, identity.type);
  const kept = takePackage(vm.folder, file, handlerName, identity.version);
  const { certificate, settings } = sealSettings(vm, store, former, given);
  store = { ...store, certificate };
  const requested = {
    identity,
    name: application.name ?? former?.name,
    settings: keepSettings ? ('keep' as const) : settings,
    forceUpdateTag,
    provisionAfter,
    suppressFailures,
  };
  const others = extensionsOf(store, handlerName).filter((one) => one.name !== former?.name);
  const before = planExtension(former, requested, kept);
  // Before anything is changed, and among what will be there.
  checkOrder(before, replaceExtension(store.extensions, before));
  const rebuilt = [...(former === undefined ? [] : [former]), ...others].find((one) =>
    isRebuilt(one, identity, kept),
  );
  if (rebuilt !== undefined) {
    context.ui.warning(
      `${handlerNameOf(rebuilt)} ${identity.version} is installed from another build, and the agent never unpacks a version twice: deleting it and installing it anew. To rehearse an update, raise the version.`,
    );
    const leaving = former === undefined ? others : [former, ...others];
    store = await uninstallBuild(vm, store, leaving, context);
    requested.settings = before.settings;
    requested.provisionAfter = before.provisionAfter;
    requested.suppressFailures = before.suppressFailures;
    former = undefined;
  }
  const next = asSpelt(planExtension(former, requested, kept), others[0]);
  keepPackage(vm.folder, kept);
  sayChange(former, next, context);
  store = {
    ...store,
    incarnation: store.incarnation + 1,
    extensions: [...others.map((other) => followVersion(other, next)), next].reduce(
      replaceExtension,
      store.extensions,
    ),
  };
  writeStore(vm.folder, store);
  try {
    await bringAbout(vm, store, context);
  } catch (thrown) {
    if (!context.signal.aborted) throw thrown;
    throw interruptedError(
      `"${next.name}" is in the goal state already: the next handlerkit vm set goes on with it, and handlerkit vm delete ${next.name} takes it out.`,
    );
  }
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
      ? { protected: null, thumbprint: null, protectedDigest: null }
      : sealProtectedSettings(vm.machine, certificate, protectedSettings, former?.settings ?? null);
  return { certificate, settings: { public: publicSettings ?? null, ...sealed } };
}

/** One handler has one spelling of its name, which is the first configuration's. */
function asSpelt(extension: StoredExtension, first: StoredExtension | undefined): StoredExtension {
  return first === undefined ? extension : { ...extension, publisher: first.publisher, type: first.type };
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
    (former?.settings?.public != null && next.settings?.public == null) ||
    (former?.settings?.protected != null && next.settings?.protected == null);
  if (isDropped) {
    ui.warning(
      `${next.name} had settings that were not given now, so they are gone, as with az. To leave them as they are: --keep-settings`,
    );
  }
}
