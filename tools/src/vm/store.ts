/**
 * What the platform's side of a local VM remembers: the extensions of the goal state, as Azure keeps them for a VM, and the
 * packages. It lies beside the machine in the VM's folder; the file is replaced whole and decoded strictly.
 * Protected settings are here as the envelope only, as Azure sends it; their digest is keyed with the VM's private key.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { readTextIfThere, writeWholeFile } from '@handlerkit/sdk';
import type { Located } from '@handlerkit/sdk/contract';
import {
  ContractError,
  decodeArray,
  decodeBoolean,
  decodeNumber,
  decodeObject,
  decodeString,
  decodeText,
  element,
  formatHandlerName,
  isAbsent,
  member,
  optional,
  parseJson,
} from '@handlerkit/sdk/contract';
import type { GoalState, GoalStateExtension, RequestedState } from '../agent/agent.ts';
import { ToolError } from '../errors.ts';
import { dependencyLevels } from './dependency-levels.ts';

/** The two halves of an extension's settings, as they are in the goal state. */
export interface StoredSettings {
  readonly public: Readonly<Record<string, unknown>> | null;
  /** Base64 of the envelope. */
  readonly protected: string | null;
  readonly thumbprint: string | null;
  /** Tells whether given protected settings are the same as these; says nothing without the VM's private key. */
  readonly protectedDigest: string | null;
}

export interface StoredExtension {
  /** Name of the instance; the type unless the user chose another one. */
  readonly name: string;
  readonly publisher: string;
  readonly type: string;
  readonly version: string;
  /** File name in the packages folder, and SHA-256 of its bytes. */
  readonly packageFile: string;
  readonly packageDigest: string;
  /** `null`: the goal state has no settings block for it. */
  readonly settings: StoredSettings | null;
  readonly sequence: number;
  readonly forceUpdateTag: string | null;
  /** True for one of several configurations of its handler, or one that can get others beside it. */
  readonly isConfiguration?: boolean;
  /** Names of the extensions that have to succeed before this one starts; none when it is left out. */
  readonly provisionAfter?: readonly string[];
  /** True: a failure of the extension does not fail its deployment. */
  readonly suppressFailures?: boolean;
  /** True: it is being deleted, and stays here until the agent has uninstalled it. */
  readonly leaving?: boolean;
}

export interface VmStore {
  /** Number of the last goal state; 0 before the first one. */
  readonly incarnation: number;
  /** The VM's own certificate, to which protected settings are encrypted. Its private key lies in the VM only. */
  readonly certificate: { readonly thumbprint: string; readonly pem: string } | null;
  readonly extensions: readonly StoredExtension[];
}

export const EMPTY_STORE: VmStore = { incarnation: 0, certificate: null, extensions: [] };

/** Name of the file that the tools of one VM lock while they change it. */
export const STORE_LOCK_FILE = 'extensions.lock';

/** Reads the store of the VM in `folder`; an empty one when there is none. Throws `VM_STATE_INVALID`, naming the file. */
export function readStore(folder: string): VmStore {
  const file = join(folder, STORE_FILE);
  const text = readTextIfThere(file);
  if (text === undefined) return EMPTY_STORE;
  try {
    return decodeStore(parseJson(text, file));
  } catch (thrown) {
    if (!(thrown instanceof ContractError)) throw thrown;
    const what = thrown.path === '' ? 'The file' : thrown.path;
    throw new ToolError('VM_STATE_INVALID', `${what} ${thrown.problem}.`, {
      file,
      hint: 'Run `handlerkit vm reset`, and set the extensions again.',
      cause: thrown,
    });
  }
}

/** Replaces the store, durably, and deletes packages that no extension needs any more. */
export function writeStore(folder: string, store: VmStore): void {
  const text = `${JSON.stringify({ format: FORMAT, ...store }, null, 2)}\n`;
  writeWholeFile(join(folder, STORE_FILE), text);
  const needed = new Set(store.extensions.map((extension) => extension.packageFile));
  for (const name of listPackages(folder)) {
    if (!needed.has(name)) rmSync(join(folder, PACKAGES_FOLDER, name), { force: true });
  }
}

/**
 * Copies a package into the VM's folder unless it is there, so that the author may build the next one meanwhile, and gives the
 * name and digest of the copy. {@link keepPackage} or {@link dropPackage} has to follow, under the same lock.
 */
export function takePackage(folder: string, file: string, handlerName: string, version: string): KeptPackage {
  const name = (digest: string): KeptPackage => ({
    packageFile: `${handlerName}-${version}-${digest.slice(0, 16)}.zip`,
    packageDigest: digest,
  });
  // Most calls bring other settings for a package that is here already; then one of those has its size.
  const { size } = statSync(file);
  if (listPackages(folder).some((one) => statSync(join(folder, PACKAGES_FOLDER, one)).size === size)) {
    const known = name(digestFile(file));
    if (existsSync(join(folder, PACKAGES_FOLDER, known.packageFile))) return known;
  }
  const copy = join(folder, TAKEN_PACKAGE);
  copyFileSync(file, copy);
  sync(copy);
  // Of the copy: the file may have changed meanwhile.
  return name(digestFile(copy));
}

/**
 * Puts the package that was taken among the others, durably. It is named by its content: the same bytes are kept once, and
 * a package in use is never overwritten. The next {@link writeStore} deletes it unless an extension names it.
 */
export function keepPackage(folder: string, { packageFile }: KeptPackage): void {
  const packages = join(folder, PACKAGES_FOLDER);
  if (existsSync(join(packages, packageFile))) return;
  mkdirSync(packages, { recursive: true, mode: 0o700 });
  renameSync(join(folder, TAKEN_PACKAGE), join(packages, packageFile));
  sync(packages);
}

/** Deletes the package that was taken, unless it was kept. */
export function dropPackage(folder: string): void {
  rmSync(join(folder, TAKEN_PACKAGE), { force: true });
}

export interface KeptPackage {
  readonly packageFile: string;
  readonly packageDigest: string;
}

/** True while the extension is being deleted. */
export function isLeaving(extension: StoredExtension): boolean {
  return extension.leaving === true;
}

/** The store with these extensions being deleted, and those that were before. */
export function markLeaving(store: VmStore, names: readonly string[]): VmStore {
  const extensions = store.extensions.map((one) =>
    names.includes(one.name) ? { ...one, leaving: true } : one,
  );
  return { ...store, extensions };
}

/**
 * The goal state that the agent is to bring about. Of the extensions that leave, one of several configurations is disabled as
 * long as another one of its handler stays; with the last the handler is uninstalled.
 */
export function formatGoalState(folder: string, store: VmStore): GoalState {
  const staying = new Set(store.extensions.filter((one) => !isLeaving(one)).map(handlerNameOf));
  const levels = dependencyLevels(store.extensions);
  return {
    id: `incarnation_${store.incarnation}`,
    extensions: store.extensions.map((extension) => {
      const isHandlerStaying = extension.isConfiguration === true && staying.has(handlerNameOf(extension));
      const requestedState = isLeaving(extension) && !isHandlerStaying ? 'uninstall' : 'enabled';
      return {
        ...toGoalState(folder, extension, requestedState),
        dependencyLevel: levels.get(extension.name) ?? 0,
        ...(extension.isConfiguration === true && {
          extensionName: extension.name,
          extensionState: isLeaving(extension) ? 'disabled' : 'enabled',
        }),
      };
    }),
  };
}

/** The extensions that are configurations of one handler, or its only one; names of handlers are compared in any case. */
export function extensionsOf(store: VmStore, handlerName: string): readonly StoredExtension[] {
  const name = handlerName.toLowerCase();
  return store.extensions.filter((extension) => handlerNameOf(extension).toLowerCase() === name);
}

/** The extension of that name, in any case, as resource names on Azure are compared. */
export function findExtension(store: VmStore, name: string): StoredExtension | undefined {
  return store.extensions.find((extension) => extension.name.toLowerCase() === name.toLowerCase());
}

/** `Publisher.Type` of a stored extension. */
export function handlerNameOf(extension: StoredExtension): string {
  return formatHandlerName(extension.publisher, extension.type);
}

const STORE_FILE = 'extensions.json';
const PACKAGES_FOLDER = 'packages';
const TAKEN_PACKAGE = 'package.tmp';
const FORMAT = 'handlerkit-vm-extensions/1';

function toGoalState(
  folder: string,
  extension: StoredExtension,
  requestedState: RequestedState,
): Omit<GoalStateExtension, 'dependencyLevel'> {
  const { settings } = extension;
  return {
    handlerName: handlerNameOf(extension),
    version: extension.version,
    requestedState,
    packageFile: join(folder, PACKAGES_FOLDER, extension.packageFile),
    sequence: extension.sequence,
    settings:
      settings === null
        ? undefined
        : {
            publicSettings: settings.public,
            protectedSettings: settings.protected,
            thumbprint: settings.thumbprint,
          },
  };
}

/** In pieces: a package with a runtime has a hundred megabytes. */
function digestFile(file: string): string {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(DIGEST_CHUNK_BYTES);
  const handle = openSync(file, 'r');
  try {
    for (;;) {
      const bytes = readSync(handle, buffer, 0, buffer.length, null);
      if (bytes === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytes));
    }
  } finally {
    closeSync(handle);
  }
}

/** Brings a file, or the names in a folder, to the disk. */
function sync(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

const DIGEST_CHUNK_BYTES = 1024 * 1024;

function listPackages(folder: string): string[] {
  try {
    return readdirSync(join(folder, PACKAGES_FOLDER));
  } catch {
    return [];
  }
}

function decodeStore(root: Located): VmStore {
  const format = member(root, 'format');
  if (decodeString(format) !== FORMAT) {
    throw new ContractError(
      root.file,
      'format',
      `must be "${FORMAT}": another version of handlerkit wrote it`,
    );
  }
  const certificate = member(root, 'certificate');
  const extensions = member(root, 'extensions');
  return {
    incarnation: decodeCount(member(root, 'incarnation')),
    certificate: isAbsent(certificate)
      ? null
      : {
          thumbprint: decodeThumbprint(member(certificate, 'thumbprint')),
          pem: decodeText(member(certificate, 'pem')),
        },
    extensions: decodeArray(extensions).map((_, index) => decodeExtension(element(extensions, index))),
  };
}

function decodeExtension(at: Located): StoredExtension {
  const packageFile = member(at, 'packageFile');
  const name = decodeText(packageFile);
  const provisionAfter = member(at, 'provisionAfter');
  const waitsFor = optional(provisionAfter, decodeArray, []).map((_, index) =>
    decodeText(element(provisionAfter, index)),
  );
  if (name !== basename(name) || name.startsWith('.')) {
    throw new ContractError(at.file, packageFile.path, 'must be the name of a file, without a folder');
  }
  return {
    name: decodeText(member(at, 'name')),
    publisher: decodeText(member(at, 'publisher')),
    type: decodeText(member(at, 'type')),
    version: decodeText(member(at, 'version')),
    packageFile: name,
    packageDigest: decodeText(member(at, 'packageDigest')),
    settings: optional(member(at, 'settings'), () => decodeSettings(member(at, 'settings')), null),
    sequence: decodeCount(member(at, 'sequence')),
    forceUpdateTag: optional(member(at, 'forceUpdateTag'), decodeString, null),
    ...(optional(member(at, 'isConfiguration'), decodeBoolean, false) && { isConfiguration: true }),
    ...(waitsFor.length > 0 && { provisionAfter: waitsFor }),
    ...(optional(member(at, 'suppressFailures'), decodeBoolean, false) && { suppressFailures: true }),
    ...(optional(member(at, 'leaving'), decodeBoolean, false) && { leaving: true }),
  };
}

function decodeSettings(at: Located): StoredSettings {
  return {
    public: optional(member(at, 'public'), decodeObject, null),
    protected: optional(member(at, 'protected'), decodeText, null),
    thumbprint: optional(member(at, 'thumbprint'), decodeThumbprint, null),
    protectedDigest: optional(member(at, 'protectedDigest'), decodeText, null),
  };
}

function decodeCount(at: Located): number {
  const value = decodeNumber(at);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new ContractError(at.file, at.path, 'must be a whole number from 0 up');
  }
  return value;
}

function decodeThumbprint(at: Located): string {
  const text = decodeText(at);
  if (!/^[0-9A-F]{40}$/.test(text)) {
    throw new ContractError(at.file, at.path, 'must be 40 hexadecimal digits in upper case');
  }
  return text;
}
