/**
 * Where things are in the zip, in the handler's folder and beside it.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` get_full_name, get_base_dir, get_extension_package_zipfile_name,
 * get_conf_dir, get_status_dir, copy_status_files; `common/conf.py`; agent-contract 1.1, 4.1, 8.1.
 * Paths are plain strings with `/`; nothing here touches a disk.
 */

/** Default of the agent's `Lib.Dir`. */
export const LIB_FOLDER = '/var/lib/waagent';
/** Default of the agent's `Extension.LogDir`. */
export const LOG_FOLDER = '/var/log/azure';

/** Handler manifest, at the root of the package. */
export const HANDLER_MANIFEST_FILE = 'HandlerManifest.json';
/** Handler environment, which the agent writes into the handler's folder. */
export const HANDLER_ENVIRONMENT_FILE = 'HandlerEnvironment.json';
/** Description for the publisher's route; Microsoft's packages carry it in the zip. */
export const PUBLISHER_MANIFEST_FILE = 'manifest.xml';
/** Folder of the settings, in the handler's folder. */
export const CONFIG_FOLDER = 'config';
/** Folder of the statuses, in the handler's folder. */
export const STATUS_FOLDER = 'status';
/** Folder of the telemetry events, in the handler's log folder. */
export const EVENTS_FOLDER = 'events';
/** Heartbeat, in the handler's folder. */
export const HEARTBEAT_FILE = 'heartbeat.log';
/** Empty file that the agent leaves when a package passed both of its signature checks. */
export const PACKAGE_VALIDATED_FILE = 'package_validated';
/** The agent's own files in `config/`. */
export const HANDLER_STATE_FILE = 'HandlerState';
/** What the agent last reported of the handler, in `config/`. */
export const HANDLER_STATUS_FILE = 'HandlerStatus';
/** Policy for what a handler may run, put into `config/` by the platform. */
export const RUNTIME_POLICY_FILE = 'waagent_runtime_policy.json';
/** The agent's log of the commands it ran, in the handler's log folder. */
export const COMMAND_LOG_FILE = 'CommandExecution.log';
/** The agent cuts the head off a command log of more bytes than this. Source: EH:__truncate_file_head. */
export const COMMAND_LOG_LIMIT_BYTES = 10 * 1024 * 1024;
/** The agent's own log, in the folder above {@link LOG_FOLDER}. */
export const AGENT_LOG_FILE = 'waagent.log';
/** Folders of the agent itself beside the handlers' ones; no handlers, though they have a version too. */
export const AGENT_FOLDER_PREFIX = 'WALinuxAgent-';

/** States of a handler that the agent keeps in {@link HANDLER_STATE_FILE}. A missing file means `NotInstalled`. */
export const HANDLER_STATES = ['NotInstalled', 'Installed', 'Enabled', 'FailedUpgrade'] as const;
/** One of {@link HANDLER_STATES}. */
export type HandlerState = (typeof HANDLER_STATES)[number];

/** States of one of several configurations, in `name.HandlerState`. A missing file means `disabled`. */
export const EXTENSION_STATES = ['enabled', 'disabled'] as const;
/** One of {@link EXTENSION_STATES}. */
export type ExtensionState = (typeof EXTENSION_STATES)[number];

/** `Publisher.Type`, the handler's name everywhere in the contract. */
export function formatHandlerName(publisher: string, type: string): string {
  return `${publisher}.${type}`;
}

/** The name of the handler's folder: `Publisher.Type-1.2.3`. */
export function formatHandlerFolder(handlerName: string, version: string): string {
  return `${handlerName}-${version}`;
}

/**
 * Splits a folder name at the last `-`; `undefined` for what the agent takes for no handler: the right side is no
 * version, the name begins with `-`, or it is a folder of the agent itself.
 */
export function parseHandlerFolder(folder: string): { handlerName: string; version: string } | undefined {
  const at = folder.lastIndexOf('-');
  const version = folder.slice(at + 1);
  if (at < 0 || folder.startsWith('-') || folder.startsWith(AGENT_FOLDER_PREFIX)) return undefined;
  if (!isVersion(version)) return undefined;
  return { handlerName: folder.slice(0, at), version };
}

/** The zip as the agent caches it: `Publisher.Type__1.2.3.zip`. */
export function formatPackageFile(handlerName: string, version: string): string {
  return `${handlerName}__${version}.zip`;
}

/** End of the name of a settings file. */
export const SETTINGS_SUFFIX = '.settings';
/** End of the name of a status file. */
export const STATUS_SUFFIX = '.status';

/** `7.settings`, or `name.7.settings` for one of several configurations. */
export function formatSettingsFile(sequence: number, extensionName?: string): string {
  return `${prefix(extensionName)}${sequence}${SETTINGS_SUFFIX}`;
}

/** `7.status`, or `name.7.status` for one of several configurations. */
export function formatStatusFile(sequence: number, extensionName?: string): string {
  return `${prefix(extensionName)}${sequence}${STATUS_SUFFIX}`;
}

/**
 * Sequence number and configuration name of a settings file, `undefined` for any other file. Any name is read, as the
 * platform chooses it; the agent itself finds on disk only names of letters, digits and `_`.
 */
export function parseSettingsFile(
  file: string,
): { sequence: number; extensionName: string | undefined } | undefined {
  return parseNumbered(file, SETTINGS_SUFFIX);
}

/** Sequence number and configuration name of a status file, `undefined` for any other file. */
export function parseStatusFile(
  file: string,
): { sequence: number; extensionName: string | undefined } | undefined {
  return parseNumbered(file, STATUS_SUFFIX);
}

/** `mrseq`, or `name.mrseq`. The agent copies `mrseq`, and only that, to a new version's folder. */
export function formatSequenceFile(extensionName?: string): string {
  return `${prefix(extensionName)}mrseq`;
}

/** `CommandExecution.log`, or `CommandExecution_name.log` for one of several configurations. */
export function formatCommandLogFile(extensionName?: string): string {
  return extensionName === undefined
    ? COMMAND_LOG_FILE
    : COMMAND_LOG_FILE.replace('.', () => `_${extensionName}.`);
}

/** `HandlerState`, or `name.HandlerState` for one of several configurations. */
export function formatHandlerStateFile(extensionName?: string): string {
  return `${prefix(extensionName)}${HANDLER_STATE_FILE}`;
}

/** Files of a certificate in the agent's folder: `<THUMBPRINT>.crt` and `<THUMBPRINT>.prv`. */
export function formatCertificateFiles(thumbprint: string): { certificate: string; privateKey: string } {
  return { certificate: `${thumbprint}.crt`, privateKey: `${thumbprint}.prv` };
}

/** Dotted integers, with an optional pre-release. Source: `common/utils/flexible_version.py` _parse. */
export function isVersion(text: string): boolean {
  return VERSION.test(text);
}

/**
 * Negative, zero or positive as `a` is older than, the same as, or newer than `b`. `1.0` equals `1.0.0`, a pre-release
 * comes before its release, alpha before beta before rc. What is no version counts as 0.
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [versionParts(a), versionParts(b)];
  const length = Math.max(left.numbers.length, right.numbers.length);
  for (let i = 0; i < length; i++) {
    const difference = compareNumbers(left.numbers[i] ?? 0n, right.numbers[i] ?? 0n);
    if (difference !== 0) return difference;
  }
  return left.stage - right.stage || compareNumbers(left.stageNumber, right.stageNumber);
}

const STAGES: readonly string[] = ['alpha', 'beta', 'rc'];
const VERSION = /^(\d+(?:\.\d+)*)(?:[.-]?(alpha|beta|rc)(\d*))?$/;

interface VersionParts {
  readonly numbers: readonly bigint[];
  readonly stage: number;
  readonly stageNumber: bigint;
}

function versionParts(text: string): VersionParts {
  const [, numbers = '0', stage, stageNumber = ''] = VERSION.exec(text) ?? [];
  const index = stage === undefined ? -1 : STAGES.indexOf(stage);
  return {
    numbers: numbers.split('.').map(BigInt),
    stage: index < 0 ? STAGES.length : index,
    // `rc` without a number comes before `rc0`.
    stageNumber: stageNumber === '' ? -1n : BigInt(stageNumber),
  };
}

function compareNumbers(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function prefix(extensionName: string | undefined): string {
  return extensionName === undefined ? '' : `${extensionName}.`;
}

function parseNumbered(
  file: string,
  suffix: string,
): { sequence: number; extensionName: string | undefined } | undefined {
  if (!file.endsWith(suffix)) return undefined;
  const match = /^(?:(.+)\.)?(\d{1,15})$/s.exec(file.slice(0, -suffix.length));
  if (match === null) return undefined;
  return { sequence: Number(match[2]), extensionName: match[1] };
}
