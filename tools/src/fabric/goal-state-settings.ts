/**
 * The settings of one extension in a goal state, as JSON text. Azure leaves out what is not there, where the agent writes
 * null into the settings file. Source: fabric.md 3; agent-contract 12.3.
 */
import type { GoalStateSettings } from '../agent/goal-state.ts';

/** One member for each half of the settings that there is. */
export interface SettingsMembers {
  readonly protectedSettingsCertThumbprint?: string;
  readonly protectedSettings?: string;
  readonly publicSettings?: Readonly<Record<string, unknown>>;
}

/** The members, in Azure's order. */
export function settingsMembers(settings: GoalStateSettings | undefined): SettingsMembers {
  const { publicSettings = null, protectedSettings = null, thumbprint = null } = settings ?? {};
  return {
    ...(thumbprint === null ? {} : { protectedSettingsCertThumbprint: thumbprint }),
    ...(protectedSettings === null ? {} : { protectedSettings }),
    ...(publicSettings === null ? {} : { publicSettings }),
  };
}

/** The text of a settings node of the extensions config, not yet escaped for XML. */
export function formatGoalStateSettings(settings: GoalStateSettings | undefined): string {
  return JSON.stringify({ runtimeSettings: [{ handlerSettings: settingsMembers(settings) }] });
}
