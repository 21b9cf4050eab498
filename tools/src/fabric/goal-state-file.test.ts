import { ContractError } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import { exampleGoalState } from './fixtures/example-goal-state.ts';
import type { FabricGoalState } from './goal-state-file.ts';
import { EMPTY_GOAL_STATE, formatGoalStateFile, laterTime, parseGoalStateFile } from './goal-state-file.ts';

/** What an agent is to meet: states that there are not, versions to choose from, settings as the platform words them. */
function faulty(): Partial<FabricGoalState> {
  const [first, second] = exampleGoalState().extensions;
  if (first === undefined || second === undefined) throw new Error('the example has two extensions');
  const settingsNode = { version: '1.2.4', sequence: undefined, text: 'no JSON' };
  const packages = [{ version: '1.2.3', packageFile: '/packages/one.zip' }];
  return {
    onHold: true,
    extensions: [
      { ...first, requestedState: 'paused', packages, settingsNode },
      { ...second, extensionState: '', settingsNode: { sequence: '7', text: '{}' } },
    ],
  };
}

describe('the file of the goal state', () => {
  it.each([
    ['an empty one', EMPTY_GOAL_STATE],
    ['one with all that there can be', exampleGoalState()],
    ['one that is faulty on purpose', exampleGoalState(faulty())],
  ])('is read as it was written: %s', (_, goalState) => {
    expect(parseGoalStateFile(formatGoalStateFile(goalState), 'goal-state.json')).toEqual(goalState);
  });

  it.each([
    ['', 'empty'],
    ['{}', 'nothing in it'],
    [formatGoalStateFile(EMPTY_GOAL_STATE).replace('handlerkit-goal-state/1', 'other'), 'another format'],
    [formatGoalStateFile({ ...EMPTY_GOAL_STATE, incarnation: -1 }), 'a number below zero'],
    [formatGoalStateFile({ ...EMPTY_GOAL_STATE, createdOn: 'yesterday' }), 'no time'],
  ])('is refused: %s', (text) => {
    expect(() => parseGoalStateFile(text, 'goal-state.json')).toThrow(ContractError);
  });

  it('is made later than the former one, whatever the clock says', () => {
    const now = new Date('2026-01-02T03:04:05.678Z');
    expect(laterTime(now, undefined)).toBe('2026-01-02T03:04:05.678Z');
    expect(laterTime(now, { createdOn: '2026-01-02T03:04:05.677Z' })).toBe('2026-01-02T03:04:05.678Z');
    expect(laterTime(now, { createdOn: '2027-01-01T00:00:00.000Z' })).toBe('2027-01-01T00:00:00.001Z');
  });
});
