/**
 * Carries out the steps of a run: all are planned before the first one acts, then they act in order, and when one fails
 * everything is taken back, the last change first. The status tells at any time how far each step has come.
 */
import type { EnableResult, Logger, StatusReporter } from '@handlerkit/sdk';
import { HandlerError, toHandlerError } from '@handlerkit/sdk';
import type { StepPlan } from './plan.ts';
import type { PlannedStep } from './step.ts';
import type { SteppedContext } from './step-context.ts';
import type { RunPhase, StepState } from './step-status.ts';
import { describeSteps, summarize } from './step-status.ts';
import type { Undo, UndoList } from './undo.ts';
import { createUndoList } from './undo.ts';

/** What a run is made of. */
export interface StepRun {
  readonly steps: readonly StepPlan[];
  readonly stepped: SteppedContext;
  readonly log: Logger;
  readonly status: Pick<StatusReporter, 'transitioning'>;
  /** Called when all is planned, before the first change. */
  onBegin(): void;
}

/**
 * Gives the result of a run that has succeeded. Throws the error of the step that failed, with the code that it had and
 * a substatus for each step, after everything was taken back; when planning fails, with the errors of all steps.
 */
export async function carryOut(run: StepRun): Promise<EnableResult> {
  const { log, stepped, status } = run;
  const states: State[] = run.steps.map(({ name }) => ({ name, changes: new Set() }));
  const steps = await planAll(run, states);
  run.onBegin();
  const undo = createUndoList(log);
  try {
    for (const { planned, state } of steps) {
      stepped.context.signal.throwIfAborted();
      await status.transitioning(state.name, describeSteps(states, 'working'));
      await act(planned, state, undo, run);
    }
  } catch (thrown) {
    stepped.beginTakingBack();
    log.warn('the changes are taken back');
    markLeft(states, await undo.rollBack());
    throw failure(states, toHandlerError(thrown), 'taken back');
  }
  markLeft(states, await undo.finish());
  const text = summarize(states);
  const isChanged = states.some(({ report }) => report?.changed === true);
  return {
    message: isChanged ? text : `nothing had to be changed\n${text}`,
    substatus: describeSteps(states, 'succeeded'),
  };
}

/** A step on its way. */
interface State extends StepState {
  /** What it has given to be taken back or cleared away. */
  readonly changes: Set<string>;
  report?: StepState['report'] & object;
  error?: HandlerError;
  left?: readonly string[];
}

/** Plans every step, also after one that cannot be planned, so that everything that is wrong is told at once. */
async function planAll(run: StepRun, states: readonly State[]): Promise<readonly ReadyStep[]> {
  const { signal } = run.stepped.context;
  const ready: ReadyStep[] = [];
  for (const [index, state] of states.entries()) {
    signal.throwIfAborted();
    try {
      const planned = await run.steps[index]?.plan();
      if (planned !== undefined) ready.push({ planned, state });
    } catch (thrown) {
      signal.throwIfAborted();
      state.error = toHandlerError(thrown);
    }
  }
  const first = states.find(({ error }) => error !== undefined)?.error;
  if (first !== undefined) throw failure(states, first, 'planned');
  return ready;
}

interface ReadyStep {
  readonly planned: PlannedStep;
  readonly state: State;
}

async function act(
  planned: PlannedStep,
  state: State,
  undo: UndoList,
  { log, stepped }: StepRun,
): Promise<void> {
  const { name, changes } = state;
  const noted: Undo = {
    add: (what, action) => {
      changes.add(what);
      undo.add(what, action);
    },
    afterSuccess: (what, action) => {
      changes.add(what);
      undo.afterSuccess(what, action);
    },
  };
  try {
    state.report = await planned.act(noted);
    log.info('step carried out', { step: name, changed: state.report.changed });
  } catch (thrown) {
    const { signal } = stepped.context;
    // What fails because the run is to end is not the step's fault.
    state.error = toHandlerError(signal.aborted ? signal.reason : thrown);
    throw state.error;
  }
}

function markLeft(states: readonly State[], left: readonly string[]): void {
  if (left.length === 0) return;
  for (const state of states) {
    const own = left.filter((what) => state.changes.has(what));
    if (own.length > 0) state.left = own;
  }
}

/** The error for the status: what failed, then what became of the changes. Its first line is the reason. */
function failure(states: readonly State[], error: HandlerError, phase: RunPhase): HandlerError {
  const reasons = listReasons(states);
  // The end that was asked for from outside is nobody's fault, and no step's.
  if (reasons.length === 0) reasons.push(error.message);
  const left = states.flatMap((state) => state.left ?? []);
  return new HandlerError(error.code, [...reasons, describeChanges(states, phase, left)].join('\n'), {
    cause: error,
    statusCode: error.statusCode,
    clarificationCode: error.clarificationCode,
    exitCode: error.exitCode,
    substatus: [...describeSteps(states, phase), ...error.substatus],
  });
}

/** `account, sudo: the reason`, one line for each. */
function listReasons(states: readonly State[]): string[] {
  const names = new Map<string, Set<string>>();
  for (const { name, error } of states) {
    if (error !== undefined) names.set(error.message, (names.get(error.message) ?? new Set()).add(name));
  }
  return [...names].map(([message, own]) => `${[...own].join(', ')}: ${message}`);
}

function describeChanges(states: readonly State[], phase: RunPhase, left: readonly string[]): string {
  const hasBegun = states.some(({ changes }) => changes.size > 0);
  if (phase === 'planned' || !hasBegun) return 'Nothing was changed.';
  if (left.length === 0) return 'Everything that was changed has been taken back.';
  return `Could not be taken back: ${left.join(', ')}. Look at that before you try again; all other changes were taken back.`;
}
