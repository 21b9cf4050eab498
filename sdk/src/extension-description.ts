/**
 * `extension.json`: the one description of an extension that is written by hand. The packager generates the handler
 * manifest, the launcher and the publisher's manifest from it, and the handler itself reads its defaults from it.
 * Source: agent-contract 1.1 and 2 (names, manifest); sdk-anchors 5 (what registration refuses).
 */
import { UPDATE_WITH_INSTALL, UPDATE_WITHOUT_INSTALL } from './contract/handler-manifest.ts';
import {
  ContractError,
  decodeArray,
  decodeBoolean,
  decodeNumber,
  decodeObject,
  decodeText,
  element,
  isAbsent,
  type Located,
  member,
  optional,
} from './contract/json.ts';
import {
  formatHandlerFolder,
  formatHandlerName,
  formatPackageFile,
  isVersion,
  parseHandlerFolder,
} from './contract/package-layout.ts';
import { nearestName } from './near-miss.ts';

/** Name of the file, in the extension's folder. */
export const EXTENSION_FILE = 'extension.json';

/** What runs an extension's code: a compiled bun executable, or the official Node binary with one bundled file. */
export const RUNTIMES = ['bun', 'node'] as const;
/** One of {@link RUNTIMES}. */
export type Runtime = (typeof RUNTIMES)[number];

/** Processors that a package can hold an executable for. */
export const ARCHITECTURES = ['x64', 'arm64'] as const;
/** One of {@link ARCHITECTURES}. */
export type Architecture = (typeof ARCHITECTURES)[number];

/** Whether a sequence number that was finished before runs again: never, or at each enable (a daemon). */
export const RERUNS = ['once-per-sequence', 'always'] as const;
export type Rerun = (typeof RERUNS)[number];

/** What becomes of a run that died half-way: a final error status, or another run. */
export const ON_INTERRUPTED = ['fail', 'rerun'] as const;
export type OnInterrupted = (typeof ON_INTERRUPTED)[number];

export const UPDATE_MODES = [UPDATE_WITH_INSTALL, UPDATE_WITHOUT_INSTALL] as const;
export type UpdateMode = (typeof UPDATE_MODES)[number];

/** An extension's description with every default filled in. */
export interface ExtensionDescription {
  readonly publisher: string;
  readonly type: string;
  readonly version: string;
  readonly label: string;
  readonly description: string;
  /** The program's main module, relative to the extension's folder. */
  readonly entry: string;
  /** Name of the folder, beside the handler's versioned folders, whose content outlives a version. */
  readonly dataFolder: string;
  readonly enable: EnableDescription;
  readonly manifest: ManifestDescription;
  readonly runtime: Runtime;
  readonly architectures: readonly Architecture[];
  /** Patterns of the files that are packed as they are, relative to the extension's folder. */
  readonly files: readonly string[];
  readonly company: string | undefined;
  readonly eula: string | undefined;
  readonly privacy: string | undefined;
  readonly homepage: string | undefined;
}

/** How enable runs: the section `enable`. */
export interface EnableDescription {
  /** True: the agent gets its answer at once, and enable goes on by itself. */
  readonly detached: boolean;
  readonly timeoutMinutes: number;
  readonly rerun: Rerun;
  readonly onInterrupted: OnInterrupted;
}

/** What the handler manifest says beside the commands: the section `manifest`. */
export interface ManifestDescription {
  readonly updateMode: UpdateMode;
  readonly reportHeartbeat: boolean;
  readonly continueOnUpdateFailure: boolean;
  readonly supportsMultipleExtensions: boolean;
  readonly supportsPolicy: boolean;
}

/** Every key that the file may have; anything else is refused. `$schema` is for editors and is not read. */
export const EXTENSION_KEYS = [
  '$schema',
  'publisher',
  'type',
  'version',
  'label',
  'description',
  'entry',
  'dataFolder',
  'enable',
  'manifest',
  'runtime',
  'architectures',
  'files',
  'company',
  'eula',
  'privacy',
  'homepage',
] as const;
/** Every key of the section `enable`. */
export const ENABLE_KEYS = ['detached', 'timeoutMinutes', 'rerun', 'onInterrupted'] as const;
/** Every key of the section `manifest`. */
export const MANIFEST_KEYS = [
  'updateMode',
  'reportHeartbeat',
  'continueOnUpdateFailure',
  'supportsMultipleExtensions',
  'supportsPolicy',
] as const;

/**
 * Decodes the parsed JSON of `extension.json` and fills in the defaults. `file` names it in errors. Throws
 * {@link ContractError} for an unknown key (with the key that was probably meant), a wrong type, and a name or version
 * that the agent or the platform would misread. Does not look at the disk.
 */
export function parseExtensionDescription(value: unknown, file: string): ExtensionDescription {
  const root: Located = { file, path: '', value };
  refuseUnknownKeys(root, EXTENSION_KEYS);
  const publisher = decodeName(member(root, 'publisher'));
  const type = decodeName(member(root, 'type'));
  const version = decodeVersion(member(root, 'version'), formatHandlerName(publisher, type));
  const enable = decodeEnable(member(root, 'enable'));
  const manifest = decodeManifest(member(root, 'manifest'));
  checkHeartbeat(file, enable, manifest);
  const label = optional(member(root, 'label'), decodeText, type);
  return {
    publisher,
    type,
    version,
    label,
    description: optional(member(root, 'description'), decodeText, label),
    entry: optional(member(root, 'entry'), decodeInnerPath, 'src/main.ts'),
    dataFolder: optional(
      member(root, 'dataFolder'),
      decodeDataFolder,
      `${formatHandlerName(publisher, type)}.data`,
    ),
    enable,
    manifest,
    runtime: optional(member(root, 'runtime'), oneOf(RUNTIMES), 'bun'),
    architectures: optional(member(root, 'architectures'), decodeArchitectures, ARCHITECTURES),
    files: optional(member(root, 'files'), listOf(decodeInnerPath), []),
    company: optional(member(root, 'company'), decodeText, undefined),
    eula: optional(member(root, 'eula'), decodeUrl, undefined),
    privacy: optional(member(root, 'privacy'), decodeUrl, undefined),
    homepage: optional(member(root, 'homepage'), decodeUrl, undefined),
  };
}

function decodeEnable(at: Located): EnableDescription {
  const enable: Located = isAbsent(at) ? { ...at, value: {} } : at;
  refuseUnknownKeys(enable, ENABLE_KEYS);
  return {
    detached: optional(member(enable, 'detached'), decodeBoolean, false),
    timeoutMinutes: optional(member(enable, 'timeoutMinutes'), decodeMinutes, 90),
    rerun: optional(member(enable, 'rerun'), oneOf(RERUNS), 'once-per-sequence'),
    onInterrupted: optional(member(enable, 'onInterrupted'), oneOf(ON_INTERRUPTED), 'fail'),
  };
}

function decodeManifest(at: Located): ManifestDescription {
  const manifest: Located = isAbsent(at) ? { ...at, value: {} } : at;
  refuseUnknownKeys(manifest, MANIFEST_KEYS);
  const flag = (key: (typeof MANIFEST_KEYS)[number]): boolean =>
    optional(member(manifest, key), decodeBoolean, false);
  return {
    updateMode: optional(member(manifest, 'updateMode'), oneOf(UPDATE_MODES), UPDATE_WITH_INSTALL),
    reportHeartbeat: flag('reportHeartbeat'),
    continueOnUpdateFailure: flag('continueOnUpdateFailure'),
    supportsMultipleExtensions: flag('supportsMultipleExtensions'),
    supportsPolicy: flag('supportsPolicy'),
  };
}

/** A heartbeat needs a process that goes on, and there is one file for the whole handler. */
function checkHeartbeat(file: string, enable: EnableDescription, manifest: ManifestDescription): void {
  if (!manifest.reportHeartbeat) return;
  if (!enable.detached || enable.rerun !== 'always') {
    throw new ContractError(
      file,
      'manifest.reportHeartbeat',
      'needs a daemon, because without a process that goes on nobody refreshes the heartbeat: set enable.detached to true and enable.rerun to "always", or leave reportHeartbeat out',
    );
  }
  if (manifest.supportsMultipleExtensions) {
    throw new ContractError(
      file,
      'manifest.reportHeartbeat',
      'cannot be combined with supportsMultipleExtensions, because the agent reads one heartbeat for all configurations',
    );
  }
}

function refuseUnknownKeys(at: Located, known: readonly string[]): void {
  for (const key of Object.keys(decodeObject(at))) {
    if (known.includes(key)) continue;
    const near = nearestName(key, known);
    const path = at.path === '' ? key : `${at.path}.${key}`;
    throw new ContractError(
      at.file,
      path,
      near === undefined
        ? `is not a known key; known are ${known.join(', ')}`
        : `is not a known key; did you mean "${near}"?`,
    );
  }
}

/** The agent splits folder names at `-`, the platform refuses `_`, and both names become part of a shell command. */
function decodeName(at: Located): string {
  const name = decodeText(at);
  if (!/^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)*$/.test(name) || name.length > 100) {
    throw new ContractError(
      at.file,
      at.path,
      'must be letters, digits and single dots, begin with a letter, and have at most 100 characters (no "-", "_" or spaces)',
    );
  }
  return name;
}

function decodeVersion(at: Located, handlerName: string): string {
  const version = decodeText(at);
  const folder = isVersion(version)
    ? parseHandlerFolder(formatHandlerFolder(handlerName, version))
    : undefined;
  if (folder?.handlerName !== handlerName || version.includes('-')) {
    throw new ContractError(
      at.file,
      at.path,
      'must be whole numbers with dots between, such as 1.2.3 (the agent does not find other versions)',
    );
  }
  if (formatPackageFile(handlerName, version).length > 255) {
    throw new ContractError(at.file, at.path, 'is too long: the agent could not name its folder');
  }
  return version;
}

/** A folder beside the handlers' own: the agent takes any name that ends in `-<version>` for a handler. */
function decodeDataFolder(at: Located): string {
  const name = decodeText(at);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/.test(name)) {
    throw new ContractError(at.file, at.path, 'must be one folder name of letters, digits, ".", "_" and "-"');
  }
  if (parseHandlerFolder(name) !== undefined || name.endsWith('.zip')) {
    throw new ContractError(
      at.file,
      at.path,
      'must not look like a handler: the agent would take it for one',
    );
  }
  return name;
}

function decodeInnerPath(at: Located): string {
  const path = decodeText(at);
  if (path.startsWith('/') || path.includes('\\') || path.split('/').some((part) => part === '..')) {
    throw new ContractError(
      at.file,
      at.path,
      "must be a path inside the extension's folder, with / between names",
    );
  }
  return path;
}

function decodeMinutes(at: Located): number {
  const minutes = decodeNumber(at);
  // setTimeout takes at most 2^31 - 1 milliseconds, which is a little more than 24 days.
  if (minutes <= 0 || minutes > 24 * 24 * 60) {
    throw new ContractError(at.file, at.path, 'must be more than 0 and at most 34560 (24 days)');
  }
  return minutes;
}

function decodeArchitectures(at: Located): readonly Architecture[] {
  const list = listOf(oneOf(ARCHITECTURES))(at);
  if (list.length === 0 || new Set(list).size !== list.length) {
    throw new ContractError(at.file, at.path, 'must name at least one architecture, and each one once');
  }
  return list;
}

function decodeUrl(at: Located): string {
  const text = decodeText(at);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') {
    throw new ContractError(at.file, at.path, 'must be a web address that begins with https://');
  }
  return text;
}

function oneOf<const T extends string>(values: readonly T[]): (at: Located) => T {
  return (at) => {
    const text = decodeText(at);
    const known = values.find((value) => value === text);
    if (known === undefined) throw new ContractError(at.file, at.path, `must be one of ${values.join(', ')}`);
    return known;
  };
}

function listOf<T>(decode: (at: Located) => T): (at: Located) => readonly T[] {
  return (at) => decodeArray(at).map((_, index) => decode(element(at, index)));
}
