/**
 * The agent's own configuration, as far as it decides about extensions.
 * Source: WALinuxAgent 2.15 `common/conf.py` ConfigurationProvider; agent-contract 7.1, 7.9.
 */

/** Where the agent reads it. */
export const AGENT_CONFIGURATION_FILE = '/etc/waagent.conf';
/** Default of `Policy.PolicyFilePath`. */
export const AGENT_POLICY_FILE = '/etc/waagent_policy.json';

/** Names of the settings that are read here. */
export const AGENT_CONFIGURATION_KEYS = {
  extensionsEnabled: 'Extensions.Enabled',
  overProvisioning: 'EnableOverProvisioning',
  policyEnabled: 'Debug.EnableExtensionPolicy',
  policyFile: 'Policy.PolicyFilePath',
} as const;

/** What the agent goes by. */
export interface AgentConfiguration {
  /** False: no extension is processed. Default true. */
  readonly extensionsEnabled: boolean;
  /** True: a goal state that is on hold is left alone. Default true. */
  readonly overProvisioning: boolean;
  /** True: the policy file counts when there is one. Default false. */
  readonly policyEnabled: boolean;
  /** Absolute path. */
  readonly policyFile: string;
}

/** Reads the text of the file; what is not in it, or is neither `y` nor `n`, has its default. Never throws. */
export function parseAgentConfiguration(text: string): AgentConfiguration {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (line.startsWith('#') || at < 0) continue;
    const [value = ''] = line.slice(at + 1).split('#');
    values.set(line.slice(0, at).trim(), stripMarks(value).trim());
  }
  const textOf = (key: string, otherwise: string): string => {
    const value = values.get(key);
    return value === undefined || value === 'None' ? otherwise : value;
  };
  const isOn = (key: string, otherwise: boolean): boolean => {
    const value = textOf(key, '').toLowerCase();
    return value === 'y' || (value !== 'n' && otherwise);
  };
  return {
    extensionsEnabled: isOn(AGENT_CONFIGURATION_KEYS.extensionsEnabled, true),
    overProvisioning: isOn(AGENT_CONFIGURATION_KEYS.overProvisioning, true),
    policyEnabled: isOn(AGENT_CONFIGURATION_KEYS.policyEnabled, false),
    policyFile: textOf(AGENT_CONFIGURATION_KEYS.policyFile, AGENT_POLICY_FILE),
  };
}

/** Takes quotes and spaces from both ends. An expression for that would look at each run of them again and again. */
function stripMarks(text: string): string {
  const isMark = (at: number): boolean => text[at] === '"' || text[at] === ' ';
  let [from, to] = [0, text.length];
  while (from < to && isMark(from)) from++;
  while (to > from && isMark(to - 1)) to--;
  return text.slice(from, to);
}
