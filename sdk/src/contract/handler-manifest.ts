/**
 * `HandlerManifest.json`: which command runs for which operation.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` HandlerManifest, load_manifest, _parse_boolean_value; agent-contract 2.
 */

import type { Located } from './json.ts';
import { ContractError, decodeArray, decodeObject, element, isAbsent, member, parseJson } from './json.ts';
import type { Operation } from './operations.ts';
import { formatPythonValue, pythonTypeName } from './python-values.ts';

/** The mode in which the agent runs `install` as part of an update; null or absent means the same. */
export const UPDATE_WITH_INSTALL = 'UpdateWithInstall';
/** The update mode in which the new version is not installed. */
export const UPDATE_WITHOUT_INSTALL = 'UpdateWithoutInstall';

/** Keys of the manifest that messages to authors name; `extension.json` has them too. */
export const REPORT_HEARTBEAT_KEY = 'reportHeartbeat';
/** The manifest's key for a handler whose update goes on when the old version's commands fail. */
export const CONTINUE_KEY = 'continueOnUpdateFailure';
/** The manifest's key for a handler that can have several configurations. */
export const SUPPORTS_MULTIPLE_KEY = 'supportsMultipleExtensions';

/** What the agent reads from a handler manifest, with its defaults. */
export interface HandlerManifest {
  /** Command line per operation, relative to the handler's folder; `undefined` where the manifest has none. */
  readonly commands: Readonly<Record<Operation, string | undefined>>;
  /**
   * What the agent says when it comes to run an operation whose command is missing or no text; `undefined` where there is
   * a command. Until that operation is due, the fault has no effect.
   */
  readonly commandFaults: Readonly<Record<Operation, string | undefined>>;
  /** True unless `updateMode` is a text other than `UpdateWithInstall` (any case). */
  readonly installOnUpdate: boolean;
  /** What the agent says, in the middle of an update, of an `updateMode` that is no text; `undefined` for any other. */
  readonly updateModeFault: string | undefined;
  readonly reportHeartbeat: boolean;
  readonly continueOnUpdateFailure: boolean;
  readonly supportsMultipleExtensions: boolean;
  readonly cpuQuotaPercentage: number | undefined;
  /** What an agent that controls groups of processes is to limit; `undefined` when the manifest says nothing. */
  readonly resourceLimits: ResourceLimits | undefined;
  /** What the agent would log about booleans that are none: the key names. */
  readonly nonBooleanKeys: readonly string[];
  /** The agent's own words about each of {@link nonBooleanKeys}. */
  readonly nonBooleanWarnings: readonly string[];
}

/** Limits of a handler's commands and of its services. The agent enforces those of the processor only. */
export interface ResourceLimits {
  readonly cpuQuotaPercentage: number | undefined;
  readonly memoryQuotaInMB: number | undefined;
  readonly services: readonly { readonly name: string; readonly cpuQuotaPercentage: number | undefined }[];
}

/** The manifest's key of each operation's command. */
export const COMMAND_KEYS: Readonly<Record<Operation, string>> = {
  install: 'installCommand',
  enable: 'enableCommand',
  disable: 'disableCommand',
  update: 'updateCommand',
  uninstall: 'uninstallCommand',
};

/** The manifest's key of the section that all of the above stand in. */
export const HANDLER_MANIFEST_KEY = 'handlerManifest';
/** The manifest's key of how an update is done. */
export const UPDATE_MODE_KEY = 'updateMode';
/** The manifest's key of the limits for processor and memory; it stands beside the section. */
export const RESOURCE_LIMITS_KEY = 'resourceLimits';
/** The manifest's key of the names that a signed package repeats; it stands beside the section. */
export const SIGNING_INFO_KEY = 'signingInfo';
/** Keys that the agent reads in {@link SIGNING_INFO_KEY}. */
export const SIGNING_INFO_KEYS = ['type', 'publisher', 'version'] as const;
/** Keys that the registration of a handler asks for and that the agent never reads. */
export const REGISTRATION_KEYS = ['rebootAfterInstall', REPORT_HEARTBEAT_KEY] as const;

/** Keys that the agent, or the registration of a handler, knows: of the element, and of its section. */
export const KNOWN_MANIFEST_KEYS = {
  element: ['name', 'version', HANDLER_MANIFEST_KEY, RESOURCE_LIMITS_KEY, SIGNING_INFO_KEY],
  section: [
    ...Object.values(COMMAND_KEYS),
    UPDATE_MODE_KEY,
    CONTINUE_KEY,
    SUPPORTS_MULTIPLE_KEY,
    'supportsPolicy',
    ...REGISTRATION_KEYS,
  ],
  resourceLimits: ['cpuQuotaPercentage', 'memoryQuotaInMB', 'services'],
} as const;

const BOOLEAN_KEYS = [REPORT_HEARTBEAT_KEY, CONTINUE_KEY, SUPPORTS_MULTIPLE_KEY] as const;

/**
 * Reads the manifest as the agent does: an array whose first element counts; real booleans and the text "true" in any
 * case are true, everything else is false. A command that is missing or no text fails its own operation only, see
 * `commandFaults`. Throws {@link ContractError} where the agent gives up on the whole manifest; its own words are those
 * of {@link findManifestFault}.
 */
export function parseHandlerManifest(text: string, file: string): HandlerManifest {
  const root = parseJson(text, file);
  if (decodeArray(root).length === 0) throw new ContractError(file, '', 'must be an array with one element');
  const entry = element(root, 0);
  const manifest = member(entry, HANDLER_MANIFEST_KEY);
  decodeObject(manifest);
  const command = (operation: Operation): string | undefined => {
    const at = member(manifest, COMMAND_KEYS[operation]);
    return typeof at.value === 'string' ? at.value : undefined;
  };
  const fault = (operation: Operation): string | undefined => {
    const { value } = member(manifest, COMMAND_KEYS[operation]);
    if (value === undefined) return `'${COMMAND_KEYS[operation]}'`;
    return typeof value === 'string'
      ? undefined
      : `'${pythonTypeName(value)}' object has no attribute 'lstrip'`;
  };
  const nonBooleans = BOOLEAN_KEYS.map((key) => ({ key, value: member(manifest, key).value })).filter(
    ({ value }) => value !== undefined && typeof value !== 'boolean',
  );
  const updateMode = member(manifest, 'updateMode');
  const resourceLimits = readLimits(member(entry, 'resourceLimits').value);
  return {
    commands: {
      install: command('install'),
      enable: command('enable'),
      disable: command('disable'),
      update: command('update'),
      uninstall: command('uninstall'),
    },
    commandFaults: {
      install: fault('install'),
      enable: fault('enable'),
      disable: fault('disable'),
      update: fault('update'),
      uninstall: fault('uninstall'),
    },
    installOnUpdate:
      typeof updateMode.value !== 'string' ||
      updateMode.value.toLowerCase() === UPDATE_WITH_INSTALL.toLowerCase(),
    updateModeFault:
      isAbsent(updateMode) || typeof updateMode.value === 'string'
        ? undefined
        : `'${pythonTypeName(updateMode.value)}' object has no attribute 'lower'`,
    reportHeartbeat: agentBoolean(member(manifest, 'reportHeartbeat')),
    continueOnUpdateFailure: agentBoolean(member(manifest, 'continueOnUpdateFailure')),
    supportsMultipleExtensions: agentBoolean(member(manifest, 'supportsMultipleExtensions')),
    cpuQuotaPercentage: resourceLimits?.cpuQuotaPercentage,
    resourceLimits,
    nonBooleanKeys: nonBooleans.map(({ key }) => key),
    nonBooleanWarnings: nonBooleans.map(
      ({ key, value }) =>
        `In the handler manifest: '${key}' has a non-boolean value [${formatPythonValue(value, 1024)}] for boolean type. Please change it to a boolean value.`,
    ),
  };
}

/** What the agent says of a manifest that is JSON and yet none; `isExtensionError`: with its class name in front. */
export interface ManifestFault {
  readonly text: string;
  readonly isExtensionError: boolean;
}

/**
 * The agent's words for JSON of another shape than a manifest's, which are Python's and help nobody; `undefined` for a
 * manifest that it can read.
 */
export function findManifestFault(root: unknown): ManifestFault | undefined {
  const python = (text: string): ManifestFault => ({ text, isExtensionError: false });
  if (typeof root === 'string') {
    return python(root === '' ? 'string index out of range' : "string indices must be integers, not 'str'");
  }
  // Python asks an object for the key 0, and its error is the key alone.
  if (typeof root === 'object' && root !== null && !Array.isArray(root)) return python('0');
  if (!Array.isArray(root)) return python(`'${pythonTypeName(root)}' object is not subscriptable`);
  if (root.length === 0) return python('list index out of range');
  const entry: unknown = root[0];
  const malformed: ManifestFault = { text: 'Malformed manifest file.', isExtensionError: true };
  if (entry === null) return malformed;
  if (typeof entry === 'string') return python("string indices must be integers, not 'str'");
  if (Array.isArray(entry)) return python('list indices must be integers or slices, not str');
  if (typeof entry !== 'object') return python(`'${pythonTypeName(entry)}' object is not subscriptable`);
  if (!Object.hasOwn(entry, HANDLER_MANIFEST_KEY)) return python(`'${HANDLER_MANIFEST_KEY}'`);
  const manifest: unknown = Reflect.get(entry, HANDLER_MANIFEST_KEY);
  if (manifest === null) return malformed;
  if (typeof manifest === 'object' && !Array.isArray(manifest)) return undefined;
  return python(`'${pythonTypeName(manifest)}' object has no attribute 'get'`);
}

/** What a handler manifest is made of. */
export interface HandlerManifestInput {
  readonly name: string;
  readonly version: string;
  readonly commands: Readonly<Record<Operation, string>>;
  readonly updateMode: string;
  readonly reportHeartbeat: boolean;
  readonly continueOnUpdateFailure: boolean;
  readonly supportsMultipleExtensions: boolean;
  readonly supportsPolicy: boolean;
  readonly rebootAfterInstall: boolean;
}

/** Formats a manifest with real booleans and every key that registration asks for. */
export function formatHandlerManifest(input: HandlerManifestInput): string {
  const entry = {
    name: input.name,
    version: 1.0,
    handlerManifest: {
      [COMMAND_KEYS.install]: input.commands.install,
      [COMMAND_KEYS.enable]: input.commands.enable,
      [COMMAND_KEYS.disable]: input.commands.disable,
      [COMMAND_KEYS.update]: input.commands.update,
      [COMMAND_KEYS.uninstall]: input.commands.uninstall,
      updateMode: input.updateMode,
      rebootAfterInstall: input.rebootAfterInstall,
      reportHeartbeat: input.reportHeartbeat,
      continueOnUpdateFailure: input.continueOnUpdateFailure,
      supportsMultipleExtensions: input.supportsMultipleExtensions,
      supportsPolicy: input.supportsPolicy,
    },
  };
  return `${JSON.stringify([entry], null, 2)}\n`;
}

/** What has another type is left out, as the agent passes it to systemd, which refuses it. */
function readLimits(value: unknown): ResourceLimits | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const services: unknown = Reflect.get(value, 'services');
  return {
    cpuQuotaPercentage: numberOf(value, 'cpuQuotaPercentage'),
    memoryQuotaInMB: numberOf(value, 'memoryQuotaInMB'),
    services: (Array.isArray(services) ? services : []).flatMap((service: unknown) => {
      if (typeof service !== 'object' || service === null) return [];
      const name: unknown = Reflect.get(service, 'name');
      if (typeof name !== 'string' || name === '') return [];
      return [{ name, cpuQuotaPercentage: numberOf(service, 'cpuQuotaPercentage') }];
    }),
  };
}

function numberOf(object: object, key: string): number | undefined {
  const value: unknown = Reflect.get(object, key);
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function agentBoolean(at: Located): boolean {
  return at.value === true || (typeof at.value === 'string' && at.value.toLowerCase() === 'true');
}
