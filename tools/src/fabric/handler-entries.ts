/** A goal state's extensions grouped by handler, as both forms of the wire protocol name them: once each, with all configurations. */
import { formatHandlerFolder } from '@handlerkit/sdk/contract';
import type { GoalState, GoalStateExtension } from '../agent/goal-state.ts';

export interface HandlerEntry {
  readonly handlerName: string;
  readonly version: string;
  readonly state: GoalStateExtension['requestedState'];
  /** True when its configurations have names. */
  readonly isMultiConfig: boolean;
  /** At least one. */
  readonly extensions: readonly GoalStateExtension[];
}

/** True for an extension of the handler that has a place for settings in the goal state, empty or not. */
export function hasSettingsNode(
  { settings, settingsNode }: GoalStateExtension,
  { isMultiConfig }: HandlerEntry,
): boolean {
  return isMultiConfig || settings !== undefined || settingsNode !== undefined;
}

/** What one extension waits for. */
export interface Dependency {
  readonly handlerName: string;
  readonly extensionName?: string | undefined;
}

/** The handlers in the order of the goal state. One that is there in two versions is two entries. */
export function groupByHandler({ extensions }: GoalState): readonly HandlerEntry[] {
  const groups = new Map<string, GoalStateExtension[]>();
  for (const extension of extensions) {
    const key = formatHandlerFolder(extension.handlerName.toLowerCase(), extension.version);
    groups.set(key, [...(groups.get(key) ?? []), extension]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { handlerName, version, requestedState } = first;
    const isMultiConfig = first.extensionName !== undefined;
    return [{ handlerName, version, state: requestedState, isMultiConfig, extensions: group }];
  });
}

/** The extensions of the nearest level below; none for level 0. */
export function dependenciesOf(
  { extensions }: GoalState,
  { dependencyLevel }: GoalStateExtension,
): readonly Dependency[] {
  const lower = extensions.map((one) => one.dependencyLevel).filter((level) => level < dependencyLevel);
  if (dependencyLevel <= 0 || lower.length === 0) return [];
  const nearest = Math.max(...lower);
  return extensions
    .filter((one) => one.dependencyLevel === nearest)
    .map(({ handlerName, extensionName }) => ({ handlerName, extensionName }));
}
