/**
 * What the platform wants of a VM: which handlers, in which version and state, with which settings.
 * Source: WALinuxAgent 2.15 `common/protocol/restapi.py` Extension, ExtensionSettings; agent-contract 7.1, 12.3.
 */
import { NO_SETTINGS_SEQUENCE } from '@handlerkit/sdk/contract';

export interface GoalState {
  /** Tells one goal state from the next in the agent's log, for instance `incarnation_3`. */
  readonly id: string;
  readonly extensions: readonly GoalStateExtension[];
  /** True: the agent leaves everything as it is, and only reports. Default false. */
  readonly onHold?: boolean;
  /** What the agent must be able to do; one feature that it does not know makes it refuse the goal state. Default none. */
  readonly requiredFeatures?: readonly string[];
}

/** One settings block of one handler. */
export interface GoalStateExtension {
  /** `Publisher.Type`. */
  readonly handlerName: string;
  /** The wanted version; the agent takes the newest in `packages` that begins with its numbers. */
  readonly version: string;
  /** A {@link RequestedState}. With any other text the agent gives up on the whole goal state. */
  readonly requestedState: string;
  /** The package of `version` as a zip file on this machine; read only when the agent has to unpack it. */
  readonly packageFile: string;
  /** All versions that can be had, as the version manifest lists them. Default: `version`, in `packageFile`. */
  readonly packages?: readonly GoalStatePackage[] | undefined;
  readonly sequence: number;
  /** `undefined` when the goal state has no settings block: the handler then gets an empty settings file, number 0. */
  readonly settings: GoalStateSettings | undefined;
  /** The settings block as the platform words it, faults included; takes the place of `sequence` and `settings`. */
  readonly settingsNode?: SettingsNode | undefined;
  /** 0 comes first; every extension of a lower level has to succeed before the next level starts. */
  readonly dependencyLevel: number;
  /** Name of one of several configurations of the handler; absent for a handler that has only one. */
  readonly extensionName?: string | undefined;
  /** An `ExtensionState`: what becomes of a named configuration while its handler stays; default: `enabled`. */
  readonly extensionState?: string | undefined;
  /** Why the agent can do nothing with this entry, in its own words; found by {@link readSettingsNodes}. */
  readonly configurationFault?: string | undefined;
}

export const REQUESTED_STATES = ['enabled', 'disabled', 'uninstall'] as const;
export type RequestedState = (typeof REQUESTED_STATES)[number];

/** One version of a handler that can be had. */
export interface GoalStatePackage {
  readonly version: string;
  /** Zip file on this machine. */
  readonly packageFile: string;
}

/** One `RuntimeSettings` of `PluginSettings`. */
export interface SettingsNode {
  /** Version that stands beside the settings; default: the extension's, as it must be. */
  readonly version?: string | undefined;
  /** The attribute `seqNo`; `undefined` when it is missing. */
  readonly sequence: string | undefined;
  /** What should be JSON. */
  readonly text: string;
}

export interface GoalStateSettings {
  readonly publicSettings: Readonly<Record<string, unknown>> | null;
  /** Base64 of the CMS envelope. */
  readonly protectedSettings: string | null;
  readonly thumbprint: string | null;
}

/**
 * The extensions in the order in which the agent works on them: first all that are to be disabled or uninstalled, in
 * reverse order of their levels, then the enabled ones from level 0 up; stable. Source: RA:dependency_level_sort_key.
 */
export function orderExtensions(goalState: GoalState): readonly GoalStateExtension[] {
  return goalState.extensions.toSorted((a, b) => orderKey(a) - orderKey(b));
}

/** An enabled extension's level; below zero for one that is to go. */
export function orderKey(extension: GoalStateExtension): number {
  const isToStay = extension.requestedState === 'enabled' && !isToBeDisabled(extension);
  return isToStay ? extension.dependencyLevel : -extension.dependencyLevel - 1;
}

/** True for one of several configurations that is to go while its handler stays. */
export function isToBeDisabled(extension: GoalStateExtension): boolean {
  return extension.extensionName !== undefined && extension.extensionState === 'disabled';
}

/** The entries of the same handler, in the order of the goal state. */
export function entriesOf(
  goalState: GoalState,
  { handlerName }: GoalStateExtension,
): readonly GoalStateExtension[] {
  return goalState.extensions.filter((one) => one.handlerName === handlerName);
}

/** The name in the agent's texts: the handler's, and for one of several configurations its own after a dot. */
export function fullNameOf({ handlerName, extensionName }: GoalStateExtension): string {
  return extensionName === undefined ? handlerName : `${handlerName}.${extensionName}`;
}

/** The number that the agent goes by: the goal state's, or 0 when there are no settings. */
export function sequenceOf(extension: GoalStateExtension): number {
  return extension.settings === undefined ? NO_SETTINGS_SEQUENCE : extension.sequence;
}
