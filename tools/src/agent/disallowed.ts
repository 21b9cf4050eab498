/**
 * Extensions that the owner of a VM does not allow: by the agent's configuration, or by a policy.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` handle_ext_handlers, __handle_ext_disallowed_error; agent-contract 7.9.
 * The agent's other gate, the signature of a package, stops nothing in this version and is left out: it has no effect
 * that a handler could notice.
 */
import type { AgentConfiguration, AgentPolicy } from '@handlerkit/sdk/contract';
import {
  AGENT_CONFIGURATION_FILE,
  AGENT_ERROR_CODES,
  InvalidPolicy,
  isAllowed,
  parseAgentConfiguration,
  parseAgentPolicy,
} from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import { readIfThere } from './agent-files.ts';
import type { GoalStateExtension, RequestedState } from './goal-state.ts';
import { fullNameOf } from './goal-state.ts';
import { systemReason } from './python-os-error.ts';

export interface Refusal {
  readonly message: string;
  /** True when extensions that wait for this one must not start; else each is refused for itself. */
  readonly blocksOthers: boolean;
}

/** What the owner of the VM says of its extensions; read once for each goal state. */
export interface Permissions {
  readonly configuration: AgentConfiguration;
  /** Why this extension is not processed; `undefined` when it may be. */
  refusalOf(extension: GoalStateExtension, state: RequestedState): Refusal | undefined;
}

/** Reads configuration and policy as the VM sees them. A policy that cannot be read refuses every extension. */
export async function readPermissions(machine: Machine): Promise<Permissions> {
  const configuration = await readConfiguration(machine);
  const policy = configuration.policyEnabled
    ? await readPolicy(machine, configuration.policyFile)
    : undefined;
  return {
    configuration,
    refusalOf(extension, state) {
      if (!configuration.extensionsEnabled) {
        const message = `Extension '${fullNameOf(extension)}'${DISABLED}'${AGENT_CONFIGURATION_FILE}'`;
        return { message, blocksOthers: false };
      }
      if (typeof policy === 'string') return { message: `${REFUSED}${policy}`, blocksOthers: false };
      if (policy === undefined || isAllowed(policy, extension.handlerName)) return undefined;
      const verb = state === 'enabled' ? 'run' : 'uninstall';
      const message = `${REFUSED}failed to ${verb} extension '${extension.handlerName}' because it is not specified as an allowed extension. To ${verb}, add the extension to the list of allowed extensions in the policy file ('${configuration.policyFile}').`;
      return { message, blocksOthers: true };
    },
  };
}

/** Reads `/etc/waagent.conf` of the VM; the agent's defaults where there is none. */
export async function readConfiguration(machine: Machine): Promise<AgentConfiguration> {
  const text = await readIfThere(machine.hostPath(AGENT_CONFIGURATION_FILE));
  return parseAgentConfiguration(text ?? '');
}

/** Code of a refused extension. */
export function refusalCode(state: RequestedState): number {
  return state === 'enabled' ? AGENT_ERROR_CODES.enable : AGENT_ERROR_CODES.disable;
}

/** True for a message of the agent that says that an extension was refused. */
export function isRefusal(message: string | null): boolean {
  return message?.startsWith(REFUSED) === true || /^Extension '[^']*' will not be/.test(message ?? '');
}

const REFUSED = 'Extension will not be processed: ';
const DISABLED =
  ' will not be processed since extension processing is disabled. To enable extension processing, set Extensions.Enabled=y in ';

/** The policy, the reason why it is refused, or `undefined` when there is none. */
async function readPolicy(machine: Machine, file: string): Promise<AgentPolicy | string | undefined> {
  let text: string | undefined;
  try {
    text = await readIfThere(machine.hostPath(file));
  } catch (thrown) {
    return systemReason(thrown);
  }
  if (text === undefined) return undefined;
  try {
    return parseAgentPolicy(text, file);
  } catch (thrown) {
    if (thrown instanceof InvalidPolicy) return `[InvalidPolicyError] ${thrown.message}`;
    throw thrown;
  }
}
