/**
 * Puts the settings of a goal state into a handler's `config/`.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` update_settings, update_settings_file; agent-contract 4.2.
 */
import {
  AGENT_ERROR_CODES,
  CONFIG_FOLDER,
  formatSettings,
  formatSettingsFile,
} from '@handlerkit/sdk/contract';
import { AgentError } from './agent-error.ts';
import { writeWhole } from './agent-files.ts';
import type { HandlerLog } from './agent-log.ts';
import type { GoalStateExtension } from './goal-state.ts';
import { sequenceOf } from './goal-state.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { pathIn } from './handler-instance.ts';
import { pythonOsError } from './python-os-error.ts';

/**
 * Writes the settings file, also when it is there already; an empty one, number 0, when the goal state has no settings.
 * Throws {@link AgentError} when it cannot be written.
 */
export async function writeSettings(
  handler: HandlerInstance,
  extension: GoalStateExtension,
  log: HandlerLog,
): Promise<void> {
  const file = formatSettingsFile(sequenceOf(extension), extension.extensionName);
  await log.info(
    extension.settings === undefined
      ? `Extension has no settings, write empty ${file}`
      : `Update settings file: ${file}`,
  );
  const text = extension.settings === undefined ? '' : formatSettings(extension.settings);
  try {
    await writeWhole(pathIn(handler, CONFIG_FOLDER, file), text);
  } catch (thrown) {
    const inner = pythonOsError(thrown, `${handler.folder}/${CONFIG_FOLDER}/${file}`);
    const problem = `Failed to update settings file\nInner error: ${inner}`;
    throw new AgentError('ExtensionError', problem, AGENT_ERROR_CODES.unknownFailure);
  }
}
