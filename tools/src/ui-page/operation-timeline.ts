/**
 * The operations that the agent ran, read from its log: with either agent, and whichever command made it run. Pure.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` launch_command and its callers, whose lines the embedded agent writes too;
 * agent-contract 11.
 */
import { isOperation, OPERATION_TITLES, OPERATIONS, parseAgentVariables } from '@handlerkit/sdk/contract';
import type { ShownOperation } from './page-state.ts';

/** The last `limit` operations in the text of an agent's log, which may begin in the middle of a line. */
export function readOperations(log: string, limit: number): readonly ShownOperation[] {
  const timeline: Timeline = { done: [], pending: new Map() };
  for (const line of log.split('\n')) follow(timeline, line);
  const all = [...timeline.done, ...[...timeline.pending.values()].map(({ shown }) => shown)];
  return all.sort((a, b) => Date.parse(a.startedAt) - Date.parse(b.startedAt)).slice(-limit);
}

interface Timeline {
  readonly done: ShownOperation[];
  /** By the name of the handler: an agent does one thing at a time with a handler. */
  readonly pending: Map<string, Pending>;
}

interface Pending {
  readonly shown: ShownOperation;
  readonly command: string;
}

/** `2026-01-01T00:00:00.000000Z INFO ExtHandler [Contoso.Greeter-1.0.0] text`; the name is missing for the agent itself. */
const LINE = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) [A-Z]+ \S+ (?:\[([\w.-]+?)-(\d[\d.]*)\] )?(.*)$/;
const START = /^(\w+) extension:? \[(.*)\]$/;
const VARIABLES = ' with environment variables: ';
/** The real agent says its own name before. */
const GOAL_STATE = /^(?:ExtHandler )?ProcessExtensionsGoalState (?:started|completed)/;

function follow(timeline: Timeline, line: string): void {
  const [, time, handlerName, version, text] = LINE.exec(line) ?? [];
  if (time === undefined || text === undefined) return;
  if (handlerName === undefined || version === undefined) {
    // Whatever has not ended by then has lost its agent.
    if (GOAL_STATE.test(text)) for (const name of [...timeline.pending.keys()]) cutOff(timeline, name);
    return;
  }
  const [, title, command] = START.exec(text) ?? [];
  const operation = OPERATIONS.find((one) => OPERATION_TITLES[one] === title);
  if (operation !== undefined && command !== undefined && isOperation(operation)) {
    cutOff(timeline, handlerName);
    const shown: ShownOperation = {
      startedAt: new Date(time).toISOString(),
      handlerName,
      version,
      extensionName: null,
      operation,
      sequence: null,
      outcome: 'running',
      ending: '',
      durationMs: null,
    };
    timeline.pending.set(handlerName, { shown, command });
    return;
  }
  const pending = timeline.pending.get(handlerName);
  if (pending === undefined) return;
  const variables = text.startsWith('Executing command: ') ? text.indexOf(VARIABLES) : -1;
  if (variables !== -1) {
    const shown = { ...pending.shown, ...readVariables(text.slice(variables + VARIABLES.length)) };
    timeline.pending.set(handlerName, { ...pending, shown });
    return;
  }
  const ending = text === `Command: ${pending.command}` ? 'exit 0' : readFailure(text);
  if (ending !== undefined) end(timeline, handlerName, pending, new Date(time), ending);
}

/** The words of a failure, which may stand behind others: `[ExtensionOperationError] Non-zero exit code: 3, …`. */
function readFailure(text: string): string | undefined {
  const exit = /Non-zero exit code: (-?\d+)/.exec(text);
  if (exit !== null) return `exit ${exit[1]}`;
  if (/(?:^|[\] ])Timeout\(\d+(?:\.\d+)?\): /.test(text)) return 'timed out';
  if (text.includes("Failed to launch '")) return 'not started';
  return undefined;
}

function end(
  timeline: Timeline,
  handlerName: string,
  { shown }: Pending,
  endedAt: Date,
  ending: string,
): void {
  timeline.pending.delete(handlerName);
  const durationMs = Math.max(0, endedAt.getTime() - Date.parse(shown.startedAt));
  const outcome = ending === 'exit 0' ? 'succeeded' : 'failed';
  timeline.done.push({ ...shown, outcome, ending, durationMs });
}

function cutOff(timeline: Timeline, handlerName: string): void {
  const pending = timeline.pending.get(handlerName);
  if (pending === undefined) return;
  timeline.pending.delete(handlerName);
  timeline.done.push({ ...pending.shown, outcome: 'cut-off', ending: 'cut off' });
}

function readVariables(text: string): Pick<ShownOperation, 'sequence' | 'extensionName'> {
  try {
    const { sequenceNumber = null, extensionName = null } = parseAgentVariables(JSON.parse(text));
    return { sequence: sequenceNumber, extensionName };
  } catch {
    // A line that was cut, or of an agent that writes it in another way: the operation is shown without.
    return { sequence: null, extensionName: null };
  }
}
