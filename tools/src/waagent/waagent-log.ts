/**
 * What the real agent's log tells of its work: which commands it runs and how they end, and when a goal state is done.
 * Reads the lines of agent 2.7 as well as those of 2.15. Pure: text in, events out.
 * Source: WALinuxAgent `common/logger.py`, `ga/exthandlers.py` launch_command, run, report_ext_handlers_status; agent-contract 6, 13.2.
 */
import { basename } from 'node:path';
import type { Operation } from '@handlerkit/sdk/contract';
import { AGENT_VARIABLES, isOperation, parseHandlerFolder } from '@handlerkit/sdk/contract';
import type { AgentEvent, OperationStarted } from '../agent/agent-event.ts';

/** What one record of the log says that matters here. */
export type LogNews =
  | { readonly kind: 'event'; readonly event: AgentEvent }
  /** The agent has run all commands of the goal state with this incarnation. */
  | { readonly kind: 'processed'; readonly incarnation: number }
  /**
   * The agent could not put its status report together: nothing is uploaded. After a crash it starts anew, and runs every
   * `enable` again.
   */
  | {
      readonly kind: 'unreported';
      readonly atMs: number;
      readonly isCrash: boolean;
      readonly reason: string;
    };

/** Reads a log piece by piece. */
export interface LogReader {
  /**
   * Takes what was appended to the log, and gives the news in it. The last record may go on in the next piece: it waits
   * there until another one begins, or `isPause` says that nothing came for a while.
   */
  read(text: string, isPause?: boolean): readonly LogNews[];
}

export function createLogReader(): LogReader {
  let waiting = '';
  const state: ReadingState = { operation: undefined, running: undefined };
  return {
    read(text, isPause = false) {
      waiting += text;
      const starts = [...waiting.matchAll(RECORD_START)].map((match) => match.index);
      const end = isPause && waiting.endsWith('\n') ? waiting.length : (starts.at(-1) ?? 0);
      const news = starts
        .filter((start) => start < end)
        .flatMap((start, index) => readRecord(waiting.slice(start, starts[index + 1] ?? end), state));
      waiting = waiting.slice(end);
      return news;
    },
  };
}

interface ReadingState {
  /** What the last title said that is to be run. */
  operation: Operation | undefined;
  running: { readonly started: OperationStarted; readonly atMs: number } | undefined;
}

const RECORD_START = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (?:VERBOSE|INFO|WARNING|ERROR) /gm;
const RECORD = /^(\S+) ([A-Z]+) (.*)$/s;
/** The handler's folder stands in brackets, after the names of the process and the thread. */
const OF_HANDLER = /^(?:\w+ ){0,2}\[([^[\]\s]+)-(\d[^\s[\]-]*)\] (.*)$/s;
const TITLE = /^(Install|Enable|Disable|Update|Uninstall) extension:? \[/;
const START = /^Executing command: (.*) with environment variables: (\{.*\})\s*$/s;
const SUCCESS = /^Command: [^\n]*\n?(.*)$/s;
const FAILURE = /\[Extension\w*Error\] (?:Non-zero exit code: (-?\d+)|(Timeout)\(\d+\)):?,? ?[^\n]*\n?(.*)$/s;
const PROCESSED =
  /ProcessExtensions(?:In)?GoalState (?:completed|failed) \[(?:Incarnation: |incarnation_)(\d+)/;
const UNREPORTED = /^(?:\w+ ){1,2}Failed to report status: (.*)$/s;
const CRASH = /^(?:\w+ ){1,2}Agent \S+ failed with exception: (.*)$/s;

function readRecord(record: string, state: ReadingState): readonly LogNews[] {
  const [, stamp = '', , rest = ''] = RECORD.exec(record.trimEnd()) ?? [];
  const atMs = Date.parse(stamp);
  const ofHandler = OF_HANDLER.exec(rest);
  if (ofHandler !== null) {
    const [, handlerName = '', version = '', text = ''] = ofHandler;
    return readHandlerRecord({ handlerName, version, text, atMs }, state);
  }
  const processed = PROCESSED.exec(rest)?.[1];
  if (processed !== undefined && !rest.includes('Event: name=')) {
    return [...endRunning(state, atMs, undefined), { kind: 'processed', incarnation: Number(processed) }];
  }
  const unreported = UNREPORTED.exec(rest)?.[1];
  if (unreported !== undefined) {
    return [{ kind: 'unreported', atMs, isCrash: false, reason: lastLine(unreported) }];
  }
  const crash = CRASH.exec(rest)?.[1];
  if (crash !== undefined) return [{ kind: 'unreported', atMs, isCrash: true, reason: lastLine(crash) }];
  return endFailed(state, atMs, rest);
}

/** The end of the command that runs, if the text tells of its failure, and the agent's sentence about that. */
function endFailed(state: ReadingState, atMs: number, text: string): readonly LogNews[] {
  const failure = FAILURE.exec(text);
  const handlerName = state.running?.started.handlerName;
  if (failure === null || handlerName === undefined) return [];
  const sentence = withoutDuration(text.slice(failure.index));
  const note = { kind: 'note', handlerName, text: sentence } as const;
  return [...endRunning(state, atMs, failure), { kind: 'event', event: note }];
}

function readHandlerRecord(
  record: { handlerName: string; version: string; text: string; atMs: number },
  state: ReadingState,
): readonly LogNews[] {
  const { handlerName, version, text, atMs } = record;
  const title = TITLE.exec(text)?.[1]?.toLowerCase();
  if (title !== undefined && isOperation(title)) state.operation = title;
  const start = START.exec(text);
  if (start !== null && state.operation !== undefined) {
    const former = endRunning(state, atMs, undefined);
    const variables = start[2] ?? '';
    const extensionName = readVariable(variables, AGENT_VARIABLES.extensionName);
    // The brackets hold the configuration's name as well, the folder never does.
    const folder = basename(readVariable(variables, AGENT_VARIABLES.extensionPath) ?? '');
    const started: OperationStarted = {
      kind: 'operation-started',
      ...(parseHandlerFolder(folder) ?? { handlerName, version }),
      ...(extensionName === undefined ? {} : { extensionName }),
      operation: state.operation,
      commandLine: start[1] ?? '',
    };
    state.running = { started, atMs };
    return [...former, { kind: 'event', event: started }];
  }
  const success = SUCCESS.exec(text);
  if (success === null) return endFailed(state, atMs, text);
  return endRunning(state, atMs, { exitCode: 0, output: success[1] ?? '' });
}

type Ending = RegExpExecArray | { readonly exitCode: number; readonly output: string } | undefined;

/** The end of the command that runs; without a word of how it ended its exit code is not known. */
function endRunning(state: ReadingState, atMs: number, ending: Ending): readonly LogNews[] {
  const { running } = state;
  if (running === undefined) return [];
  state.running = undefined;
  const { kind: _, ...operation } = running.started;
  return [
    {
      kind: 'event',
      event: {
        ...operation,
        kind: 'operation-ended',
        ...readEnding(ending),
        durationMs: Math.max(0, Math.round(atMs - running.atMs)),
      },
    },
  ];
}

function readEnding(ending: Ending): { exitCode: number | null; timedOut: boolean; output: string } {
  if (ending === undefined) return { exitCode: null, timedOut: false, output: '' };
  if (!Array.isArray(ending)) return { ...ending, timedOut: false };
  const [, code, timeout, output = ''] = ending;
  return {
    exitCode: code === undefined ? null : Number(code),
    timedOut: timeout !== undefined,
    output: withoutDuration(output),
  };
}

/** The agent's events end with it. */
function withoutDuration(text: string): string {
  return text.replace(/\n?, duration=\d+$/, '');
}

function readVariable(json: string, name: string): string | undefined {
  try {
    const variables: unknown = JSON.parse(json);
    if (typeof variables !== 'object' || variables === null) return undefined;
    const value: unknown = Reflect.get(variables, name);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Of a Python traceback the line that says what went wrong. */
function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
