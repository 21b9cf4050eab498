import { readFileSync } from 'node:fs';
import { HandlerError } from '@handlerkit/sdk';
import { ContractError } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import { ToolError, toToolError, usageError } from './errors.ts';
import { MachineError } from './vm/machine-error.ts';

function thrownBy(action: () => unknown): unknown {
  try {
    return action();
  } catch (thrown) {
    return thrown;
  }
}

describe('what is thrown becomes an error for people', () => {
  it.each([
    [
      new ContractError('/a.json', 'x.y', 'must be a string'),
      'INVALID_FILE',
      'x.y must be a string.',
      '/a.json',
    ],
    [
      new ContractError('/a.json', 'entri', 'is not a known key; did you mean "entry"?'),
      'INVALID_FILE',
      'entri is not a known key; did you mean "entry"?',
      '/a.json',
    ],
    [new ContractError('/a.json', '', 'is empty'), 'INVALID_FILE', 'The file is empty.', '/a.json'],
    [new HandlerError('SETTINGS_INVALID', 'No.'), 'SETTINGS_INVALID', 'No.', undefined],
    [new MachineError('vm-locked', 'Busy.', 'Wait.'), 'VM_LOCKED', 'Busy.', undefined],
    [thrownBy(() => readFileSync('/none/such')), 'ENOENT', 'There is no such file or folder.', '/none/such'],
    [thrownBy(() => readFileSync('/')), 'EISDIR', 'A file was expected, but this is a folder.', undefined],
    [new TypeError('x is undefined'), 'INTERNAL', 'Something unexpected happened: x is undefined', undefined],
    ['text', 'INTERNAL', 'Something unexpected happened: text', undefined],
  ])('%o', (thrown, code, message, file) => {
    expect(toToolError(thrown)).toMatchObject({ code, message, file, exitCode: 1, cause: thrown });
  });

  it('keeps what a machine advises to do next', () => {
    expect(toToolError(new MachineError('vm-locked', 'Busy.', 'Wait.'))).toMatchObject({ hint: 'Wait.' });
  });

  it('stays what it is when it is one already', () => {
    const error = usageError('No.', 'Yes.');
    expect(toToolError(error)).toBe(error);
    expect(error).toMatchObject({ exitCode: 2, hint: 'Yes.' });
    expect(error).toBeInstanceOf(ToolError);
  });
});
