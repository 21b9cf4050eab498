/** What the status says of each step: while the run works, when it has succeeded, and when it was taken back. */
import type { HandlerError, StatusValue, Substatus } from '@handlerkit/sdk';
import type { StepName, StepReport } from './step.ts';

/** How far one step has come. */
export interface StepState {
  readonly name: StepName;
  /** There when the step has been carried out. */
  readonly report?: StepReport;
  /** There when planning it or carrying it out has failed. */
  readonly error?: HandlerError;
  /** There when changes of this step could not be taken back, or something is left to clear away: what, for people. */
  readonly left?: readonly string[];
}

/** Where the run is. `planned`: a step could not be planned, and none has acted. */
export type RunPhase = 'working' | 'succeeded' | 'planned' | 'taken back';

/** One substatus for each name, in the order of the steps; two steps of one name are told in one. */
export function describeSteps(states: readonly StepState[], phase: RunPhase): readonly Substatus[] {
  const names = [...new Set(states.map(({ name }) => name))];
  return names.map((name) => {
    const parts = states.filter((state) => state.name === name).map((state) => describeStep(state, phase));
    const [worst = 'success'] = WORST_FIRST.filter((value) => parts.some(({ status }) => status === value));
    return {
      name,
      status: worst,
      code: parts.find(({ code }) => code !== 0)?.code ?? 0,
      message: [...new Set(parts.map(({ message }) => message))].join('\n'),
    };
  });
}

/** The lines of a success, one for each step: what was changed, or that nothing had to be. */
export function summarize(states: readonly StepState[]): string {
  return describeSteps(states, 'succeeded')
    .map(({ name, message }) => `${name}: ${message.replaceAll('\n', '; ')}`)
    .join('\n');
}

type Part = Omit<Substatus, 'name'>;

const WORST_FIRST: readonly StatusValue[] = ['error', 'warning', 'transitioning', 'success'];

function describeStep(state: StepState, phase: RunPhase): Part {
  const { report, error, left = [] } = state;
  if (error !== undefined) {
    const rest = left.length === 0 ? '' : `\n${notTakenBack(left)}`;
    return { status: 'error', code: error.statusCode, message: `${error.message}${rest}` };
  }
  if (report === undefined) return notCarriedOut(phase);
  if (phase === 'taken back') return describeTakenBack(report, left);
  const warnings = [
    ...(report.warning === undefined ? [] : [report.warning]),
    ...(left.length === 0 ? [] : [`could not be cleared away: ${left.join(', ')}`]),
  ];
  const message = [report.message, ...warnings.map((one) => `Warning: ${one}`)].join('\n');
  return { status: warnings.length === 0 ? 'success' : 'warning', code: 0, message };
}

function notCarriedOut(phase: RunPhase): Part {
  if (phase === 'working') return { status: 'transitioning', code: 0, message: 'not finished yet' };
  return { status: 'warning', code: 0, message: 'not begun: nothing was changed' };
}

function describeTakenBack(report: StepReport, left: readonly string[]): Part {
  if (left.length > 0) return { status: 'error', code: LEFT_CODE, message: notTakenBack(left) };
  if (!report.changed) return { status: 'success', code: 0, message: report.message };
  return { status: 'warning', code: 0, message: 'carried out, then taken back because another step failed' };
}

/** Of a step that did nothing wrong, and whose changes are still there. */
const LEFT_CODE = -1;

function notTakenBack(left: readonly string[]): string {
  return `changed, and could not be taken back: ${left.join(', ')}`;
}
