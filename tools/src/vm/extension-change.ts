/**
 * What one `vm set` changes in the goal state, decided as Azure decides it: which instance it is, whether it may be changed
 * so, and the sequence number. Pure.
 * Source: docs-and-reliability 1.9 (names, forceUpdateTag); `az vm extension set` replaces the whole resource, so
 * settings that are not given are gone afterwards.
 */
import { formatHandlerName } from '@handlerkit/sdk/contract';
import { ToolError } from '../errors.ts';
import type { PackageIdentity } from './package-identity.ts';
import { canonicalJson } from './settings-argument.ts';
import type { KeptPackage, StoredExtension, StoredSettings, VmStore } from './store.ts';
import { findExtension, handlerNameOf } from './store.ts';

/** What the user asks for, with protected settings encrypted already. */
export interface RequestedExtension {
  readonly identity: PackageIdentity;
  /** `undefined`: the instance that this handler has, else the type. */
  readonly name: string | undefined;
  /** `keep`: those of the last time; `null`: none were given. */
  readonly settings: StoredSettings | 'keep' | null;
  /** `undefined`: the tag of the last time. */
  readonly forceUpdateTag: string | undefined;
}

/**
 * The extension that this handler, or an instance of this name, has in the goal state already.
 * Throws `TYPE_CHANGED` when the name belongs to another handler, `ALREADY_SET` when the handler has another name.
 */
export function findFormer(
  store: VmStore,
  identity: PackageIdentity,
  name: string | undefined,
): StoredExtension | undefined {
  const handlerName = formatHandlerName(identity.publisher, identity.type);
  const ofHandler = store.extensions.find((extension) => sameName(handlerNameOf(extension), handlerName));
  const ofName = findExtension(store, name ?? ofHandler?.name ?? identity.type);
  if (ofName !== undefined && !sameName(handlerNameOf(ofName), handlerName)) {
    throw new ToolError(
      'TYPE_CHANGED',
      `The extension "${ofName.name}" is a ${handlerNameOf(ofName)}; Azure does not let it become a ${handlerName}.`,
      { hint: `Choose another name with --name, or run: handlerkit vm delete ${ofName.name}` },
    );
  }
  if (ofHandler !== undefined && ofName === undefined) {
    throw new ToolError(
      'ALREADY_SET',
      `${handlerName} is on this VM already, as "${ofHandler.name}"; Azure allows it once per VM.`,
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
  const settings = nextSettings(former, requested.settings);
  const forceUpdateTag = requested.forceUpdateTag ?? former?.forceUpdateTag ?? null;
  const plan = {
    name: former?.name ?? requested.name ?? identity.type,
    publisher: former?.publisher ?? identity.publisher,
    type: former?.type ?? identity.type,
    version: identity.version,
    ...kept,
    forceUpdateTag,
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

const NO_VALUES: StoredSettings = {
  public: null,
  protected: null,
  thumbprint: null,
  protectedDigest: null,
};

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
