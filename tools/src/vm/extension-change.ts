/**
 * What one `vm set` changes in the goal state, decided as Azure decides it: which instance it is, whether it may be changed
 * so, and the sequence number. Pure.
 * Source: docs-and-reliability 1.9 (names, forceUpdateTag); `az vm extension set` replaces the whole resource, so
 * settings that are not given are gone afterwards.
 */
import { formatHandlerName, SUPPORTS_MULTIPLE_KEY } from '@handlerkit/sdk/contract';
import { ToolError } from '../errors.ts';
import type { PackageIdentity } from './package-identity.ts';
import { canonicalJson } from './settings-argument.ts';
import type { KeptPackage, StoredExtension, StoredSettings, VmStore } from './store.ts';
import { extensionsOf, findExtension, handlerNameOf } from './store.ts';

/** What the user asks for, with protected settings encrypted already. */
export interface RequestedExtension {
  readonly identity: PackageIdentity;
  /** `undefined`: the instance that this handler has, else the type. */
  readonly name: string | undefined;
  /** `keep`: those of the last time; `null`: none were given. */
  readonly settings: StoredSettings | 'keep' | null;
  /** `undefined`: the tag of the last time. */
  readonly forceUpdateTag: string | undefined;
  /** Names of the extensions that have to succeed before; default: none, or with `keep` those of the last time. */
  readonly provisionAfter?: readonly string[] | undefined;
  /** Default: false, or with `keep` as the last time. */
  readonly suppressFailures?: boolean | undefined;
}

/**
 * The extension that this handler, or an instance of this name, has in the goal state already.
 * Throws `TYPE_CHANGED` when the name belongs to another handler, `ALREADY_SET` when the handler has another name and the
 * package does not support several, `NAME_NEEDED` when it has several and none was said, `NAME_INVALID` for a name that
 * the agent could not find again.
 */
export function findFormer(
  store: VmStore,
  identity: PackageIdentity,
  name: string | undefined,
): StoredExtension | undefined {
  const handlerName = formatHandlerName(identity.publisher, identity.type);
  const all = extensionsOf(store, handlerName);
  const ofHandler = all[0];
  if (all.length > 1 && (name === undefined || identity.supportsMultiple !== true)) {
    const names = all.map((one) => `"${one.name}"`).join(', ');
    throw identity.supportsMultiple === true
      ? new ToolError('NAME_NEEDED', `${handlerName} is on this VM as ${names}.`, {
          hint: 'Say with --name which one is meant, or give a new name.',
        })
      : new ToolError(
          'ALREADY_SET',
          `${handlerName} is on this VM as ${names}, and this package supports only one: its manifest.${SUPPORTS_MULTIPLE_KEY} is not true.`,
          { hint: 'Delete all but one of them with handlerkit vm delete.' },
        );
  }
  const ofName = findExtension(store, name ?? ofHandler?.name ?? identity.type);
  if (ofName !== undefined && !sameName(handlerNameOf(ofName), handlerName)) {
    throw new ToolError(
      'TYPE_CHANGED',
      `The extension "${ofName.name}" is a ${handlerNameOf(ofName)}; Azure does not let it become a ${handlerName}.`,
      { hint: `Choose another name with --name, or run: handlerkit vm delete ${ofName.name}` },
    );
  }
  if (identity.supportsMultiple === true && !/^\w+$/.test(ofName?.name ?? name ?? identity.type)) {
    throw new ToolError(
      'NAME_INVALID',
      `"${name ?? identity.type}" cannot be the name of one of several configurations.`,
      {
        hint: 'Choose a name of letters, digits and "_" with --name: the agent finds no others on the disk.',
      },
    );
  }
  if (ofHandler !== undefined && ofName === undefined && identity.supportsMultiple !== true) {
    throw new ToolError(
      'ALREADY_SET',
      `${handlerName} is on this VM already, as "${ofHandler.name}"; Azure allows it once per VM, because it does not say manifest.${SUPPORTS_MULTIPLE_KEY}.`,
      { hint: `Leave out --name, or run: handlerkit vm delete ${ofHandler.name}` },
    );
  }
  return ofName;
}

/**
 * The extension as it will be. Its sequence number is 0 at first, stays when settings and tag are the same, and is one
 * more when they are not; a new version alone changes nothing.
 */
export function planExtension(
  former: StoredExtension | undefined,
  requested: RequestedExtension,
  kept: KeptPackage,
): StoredExtension {
  const { identity } = requested;
  const isConfiguration = identity.supportsMultiple === true;
  const settings = nextSettings(former, requested.settings) ?? (isConfiguration ? NO_VALUES : null);
  const forceUpdateTag = requested.forceUpdateTag ?? former?.forceUpdateTag ?? null;
  const plan = {
    name: former?.name ?? requested.name ?? identity.type,
    publisher: former?.publisher ?? identity.publisher,
    type: former?.type ?? identity.type,
    version: identity.version,
    ...kept,
    forceUpdateTag,
    ...(isConfiguration && { isConfiguration }),
    ...planRest(former, requested),
  };
  if (former === undefined) return { ...plan, settings, sequence: 0 };
  if (sameSettings(former.settings, settings)) {
    // The agent gives an extension without settings the number 0, whatever happens.
    const isForced = forceUpdateTag !== former.forceUpdateTag && settings !== null;
    const sequence = isForced ? former.sequence + 1 : former.sequence;
    return { ...plan, settings: former.settings, sequence };
  }
  return { ...plan, settings, sequence: former.sequence + 1 };
}

function planRest(
  former: StoredExtension | undefined,
  requested: RequestedExtension,
): Pick<StoredExtension, 'provisionAfter' | 'suppressFailures'> {
  const kept = requested.settings === 'keep' ? former : undefined;
  const provisionAfter = requested.provisionAfter ?? kept?.provisionAfter ?? [];
  const suppressFailures = requested.suppressFailures ?? kept?.suppressFailures ?? false;
  return {
    ...(provisionAfter.length > 0 && { provisionAfter }),
    ...(suppressFailures && { suppressFailures }),
  };
}

const NO_VALUES: StoredSettings = {
  public: null,
  protected: null,
  thumbprint: null,
  protectedDigest: null,
};

/** The other configurations of a handler that gets another version: there is one version for all of them. */
export function followVersion(other: StoredExtension, next: StoredExtension): StoredExtension {
  const { version, packageFile, packageDigest } = next;
  const isConfiguration = next.isConfiguration === true;
  return {
    ...other,
    version,
    packageFile,
    packageDigest,
    settings: other.settings ?? (isConfiguration ? NO_VALUES : null),
    ...(isConfiguration && { isConfiguration }),
  };
}

function nextSettings(
  former: StoredExtension | undefined,
  requested: RequestedExtension['settings'],
): StoredSettings | null {
  if (requested === 'keep') return former?.settings ?? null;
  if (requested !== null) return requested;
  // Once there was a block, it stays, with null values: otherwise the numbers would start again at 0.
  return former === undefined || former.settings === null ? null : NO_VALUES;
}

function sameSettings(a: StoredSettings | null, b: StoredSettings | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    canonicalJson(a.public) === canonicalJson(b.public) &&
    a.protectedDigest === b.protectedDigest &&
    a.thumbprint === b.thumbprint
  );
}

function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
