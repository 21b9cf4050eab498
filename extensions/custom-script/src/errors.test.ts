import { HandlerError } from '@handlerkit/sdk';
import { expect, it } from 'vitest';
import type { ScriptErrorName } from './errors.ts';
import { CLARIFICATION_CODES, scriptError, systemCode } from './errors.ts';

it('no two errors have the same clarification code, but for the two that the original has as 0', () => {
  const codes = Object.values(CLARIFICATION_CODES);
  expect(new Set(codes).size).toBe(codes.length - 1);
});

it.each<[ScriptErrorName, number, number]>([
  ['COMMAND_FAILED', 2, 1],
  ['NOTHING_TO_RUN', 23, 53],
  ['CONFIGURATION_INVALID', -21, 53],
  ['DOWNLOAD_NOT_FOUND', 53, 1],
])('%s has the code %i in the status and ends the operation with %i', (name, statusCode, exitCode) => {
  const cause = new Error('inner');
  const error = scriptError(name, 'text', cause);
  expect(error).toBeInstanceOf(HandlerError);
  expect(error).toMatchObject({ code: name, message: 'text', statusCode, exitCode, cause });
});

it('the system’s code of an error is its code, and nothing else of it', () => {
  expect(systemCode(Object.assign(new Error('/secret/path'), { code: 'ENOSPC' }))).toBe('ENOSPC');
  expect(systemCode(new Error('/secret/path'))).toBe('unknown reason');
  expect(systemCode('text')).toBe('unknown reason');
});
