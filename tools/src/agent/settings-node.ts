/**
 * Reads the settings of a goal state that come as the platform words them, with what is wrong in them.
 * Source: WALinuxAgent 2.15 `common/protocol/extensions_goal_state_from_extensions_config.py` _parse_plugin_settings,
 * __parse_and_add_extension_settings; agent-contract 4.2, 4.3, 12.3.
 */
import { parseSettings, pythonJsonError } from '@handlerkit/sdk/contract';
import type { GoalState, GoalStateExtension, GoalStateSettings, SettingsNode } from './goal-state.ts';

/**
 * The same goal state in which every entry has its settings, or says why it has none. Throws `ContractError` for settings
 * that are JSON of another form, on which the agent gives up as a whole.
 */
export function readSettingsNodes(goalState: GoalState): GoalState {
  return { ...goalState, extensions: goalState.extensions.map(readSettingsNode) };
}

function readSettingsNode(extension: GoalStateExtension): GoalStateExtension {
  const { settingsNode: node, ...rest } = extension;
  if (node === undefined) return extension;
  const fault = findFault(extension, node);
  if (fault !== undefined) {
    return { ...rest, settings: undefined, configurationFault: `[ExtensionsConfigError] ${fault}` };
  }
  return { ...rest, sequence: Number(node.sequence), settings: readText(node.text) };
}

function findFault(extension: GoalStateExtension, node: SettingsNode): string | undefined {
  const { handlerName, version, extensionName } = extension;
  if (node.version !== undefined && node.version !== version) {
    return `Extension PluginSettings Version Mismatch! Expected PluginSettings version: ${version} for Extension: ${handlerName} but found versions: (${node.version})`;
  }
  if (node.sequence === undefined || node.sequence === '') {
    return `SeqNo not specified for the Extension: ${extensionName ?? handlerName}`;
  }
  return undefined;
}

/** A text that is no JSON counts as settings without values; the sequence number stays. */
function readText(text: string): GoalStateSettings {
  if (pythonJsonError(text) !== undefined) {
    return { publicSettings: null, protectedSettings: null, thumbprint: null };
  }
  const { publicSettings, protectedSettings, thumbprint } = parseSettings(text, 'RuntimeSettings');
  return { publicSettings, protectedSettings: protectedSettings ?? null, thumbprint: thumbprint ?? null };
}
