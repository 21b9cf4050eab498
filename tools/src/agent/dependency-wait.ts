/**
 * Holds up the extensions of a higher dependency level until those of the lower ones have succeeded.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` wait_for_handler_completion, is_ext_handling_complete; agent-contract 7.6.
 */
import { DEPENDENCY_POLL_SECONDS } from '@handlerkit/sdk/contract';
import type { GoalStateExtension } from './goal-state.ts';
import { fullNameOf } from './goal-state.ts';
import type { AgentContext } from './handler-context.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { hasStatus, readStatus } from './status-reading.ts';

/**
 * Looks at the extension's status until it is `success` or `error`, or the time is over. `undefined` when the next
 * extension may start, else why none may. An extension without settings is not waited for.
 */
export async function awaitDependency(
  agent: AgentContext,
  handler: HandlerInstance,
  extension: GoalStateExtension,
  deadline: Date,
): Promise<string | undefined> {
  if (extension.settings === undefined) return undefined;
  let last = 'None';
  while (agent.now() <= deadline) {
    const status = await statusOf(agent, handler, extension);
    if (status === 'success') return undefined;
    if (status === 'error' || status === null) {
      return `Dependent Extension ${fullNameOf(extension)} did not succeed. Status was ${status ?? 'None'}`;
    }
    last = status;
    agent.signal?.throwIfAborted();
    await agent.sleep(DEPENDENCY_POLL_SECONDS * 1000);
    agent.signal?.throwIfAborted();
  }
  return `Dependent Extension ${fullNameOf(extension)} did not reach a terminal state within the allowed timeout. Last status was ${last}`;
}

/** A missing file is not read five times over here: it simply means "not yet", which the agent calls a warning. */
async function statusOf(agent: AgentContext, handler: HandlerInstance, extension: GoalStateExtension) {
  if (!(await hasStatus(handler, extension))) return 'warning';
  return (await readStatus(handler, extension, agent)).reported.status;
}
