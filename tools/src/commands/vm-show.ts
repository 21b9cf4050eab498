/** `handlerkit vm list`, `vm show` and `vm instance-view`: what `az vm extension` and `az vm get-instance-view` print. */
import type { CommandContext } from '../tool-deps.ts';
import { formatTable } from '../ui.ts';
import { formatInstanceView, provisioningState } from '../vm/instance-view.ts';
import { livingKeeper } from '../vm/keeper.ts';
import type { ViewedExtension } from '../vm/local-vm.ts';
import { requireExtension, sayExplanations, viewExtensions, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import { findState, readMark } from '../vm/machine-state.ts';
import { isLeaving, readStore } from '../vm/store.ts';

export interface VmOptions {
  readonly folder: string;
}

/** Prints the extensions: a table, or with `--json` an array of resources. With `--verbose` says what the VM is, on stderr. */
export async function vmList(options: VmOptions, context: CommandContext): Promise<void> {
  sayMachine(vmFolder(options.folder, context), context);
  const resources = (await readViews(options.folder, context)).map(formatResource);
  context.ui.json(resources);
  const rows = resources.map((resource) => [
    resource.name,
    resource.publisher,
    resource.typePropertiesType,
    resource.typeHandlerVersion,
    resource.provisioningState,
    String(resource.sequenceNumber),
  ]);
  const head = ['Name', 'Publisher', 'Type', 'Version', 'ProvisioningState', 'Sequence'];
  context.ui.result(rows.length === 0 ? 'No extensions.' : formatTable([head, ...rows]));
}

/** Prints one extension as a resource. Throws `NOT_FOUND`. */
export async function vmShow(
  options: VmOptions & { readonly name: string },
  context: CommandContext,
): Promise<void> {
  const { name } = requireExtension(readStore(vmFolder(options.folder, context)), options.name);
  const view = (await readViews(options.folder, context)).find((one) => one.name === name);
  const resource = view === undefined ? null : formatResource(view);
  context.ui.json(resource);
  context.ui.result(JSON.stringify(resource, null, 2));
}

/** Prints the instance view of all extensions, and on stderr why it is what it is. */
export async function vmInstanceView(options: VmOptions, context: CommandContext): Promise<void> {
  const extensions = await readViews(options.folder, context);
  sayExplanations(extensions, context);
  const views = extensions.map(formatInstanceView);
  context.ui.json(views);
  context.ui.result(JSON.stringify(views, null, 2));
}

/** What the VM was made with; nothing when there is none. It is not opened for this. */
function sayMachine(folder: string, { ui }: CommandContext): void {
  const state = findState(folder);
  const mark = state === undefined ? undefined : readMark(state);
  if (state === undefined || mark?.kind === undefined) return;
  const isOverlay = mark.kind === 'overlay';
  const facts = [
    ['Folder', folder],
    ['Agent', mark.agent ?? 'embedded'],
    ['Isolation', mark.kind],
    ['Network', isOverlay ? (mark.network ?? 'loopback') : 'host'],
    ['Root', mark.rootfs ?? "this machine's"],
    ['Running', isOverlay ? (livingKeeper(state) === undefined ? 'no' : 'yes') : 'as this machine'],
  ];
  ui.detail(formatTable(facts));
}

/**
 * An extension as a resource: the keys of `az vm extension show`, in its order, and `sequenceNumber`. What only a resource in
 * Azure has is null. Source: docs-and-reliability 1.9; `VirtualMachineExtension` of Azure's compute API.
 */
interface ExtensionResource {
  /** False: here a package is its exact version, and no other is ever looked for. */
  readonly autoUpgradeMinorVersion: false;
  readonly enableAutomaticUpgrade: false;
  readonly forceUpdateTag: string | null;
  readonly id: null;
  /** As `az` shows it without `--instance-view`; see `vm instance-view`. */
  readonly instanceView: null;
  readonly location: null;
  readonly name: string;
  /** Never given back, as on Azure. */
  readonly protectedSettings: null;
  readonly protectedSettingsFromKeyVault: null;
  /** Names of the extensions that it waits for. */
  readonly provisionAfterExtensions: readonly string[] | null;
  /** `Succeeded`, `Failed`, `Updating`, or `Deleting` after a deletion that was cut off. */
  readonly provisioningState: string;
  readonly publisher: string;
  readonly resourceGroup: null;
  /** Number of the settings file that the handler got last; not of `az`. */
  readonly sequenceNumber: number;
  readonly settings: Readonly<Record<string, unknown>> | null;
  readonly suppressFailures: boolean;
  readonly tags: null;
  /** Type of the resource, always the same. */
  readonly type: string;
  readonly typeHandlerVersion: string;
  /** Type of the extension, as its publisher named it. */
  readonly typePropertiesType: string;
}

const RESOURCE_TYPE = 'Microsoft.Compute/virtualMachines/extensions';

function formatResource({ stored, report }: ViewedExtension): ExtensionResource {
  return {
    autoUpgradeMinorVersion: false,
    enableAutomaticUpgrade: false,
    forceUpdateTag: stored.forceUpdateTag,
    id: null,
    instanceView: null,
    location: null,
    name: stored.name,
    protectedSettings: null,
    protectedSettingsFromKeyVault: null,
    provisionAfterExtensions: stored.provisionAfter ?? null,
    provisioningState: isLeaving(stored) ? 'Deleting' : provisioningState(report, stored),
    publisher: stored.publisher,
    resourceGroup: null,
    sequenceNumber: stored.sequence,
    settings: stored.settings?.public ?? null,
    suppressFailures: stored.suppressFailures === true,
    tags: null,
    type: RESOURCE_TYPE,
    typeHandlerVersion: stored.version,
    typePropertiesType: stored.type,
  };
}

/** A VM without extensions, or none at all, is not opened: looking at it makes nothing. */
async function readViews(folder: string, context: CommandContext): Promise<readonly ViewedExtension[]> {
  const store = readStore(vmFolder(folder, context));
  if (store.extensions.length === 0) return [];
  return await withLocalVm({ folder }, context, (vm) => viewExtensions(vm, store));
}
