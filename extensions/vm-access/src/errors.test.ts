import { readFileSync } from 'node:fs';
import { HandlerError } from '@handlerkit/sdk';
import { expect, it } from 'vitest';
import { accessError, STATUS_CODES } from './errors.ts';

it('no two errors have the same code', () => {
  const codes: readonly number[] = Object.values(STATUS_CODES);
  expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
  expect(codes).not.toContain(0);
});

it.each([
  ['CONFIGURATION_INVALID', 10, 53],
  ['PROGRAM_MISSING', 52, 52],
  ['COMMAND_FAILED', -2, 1],
] as const)(
  '%s has the code %i in the status and ends the operation with %i',
  (name, statusCode, exitCode) => {
    const cause = new Error('inner');
    const error = accessError(name, 'text', { cause });
    expect(error).toBeInstanceOf(HandlerError);
    expect(error).toMatchObject({ code: name, message: 'text', statusCode, exitCode, cause });
  },
);

it('every code is told in the README, with its name', () => {
  const text = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const told = [...text.matchAll(/^\| (-?\d+) +\| `([A-Z_]+)`/gm)].map(([, code, name]) => [
    name,
    Number(code),
  ]);
  expect(Object.fromEntries(told)).toEqual(STATUS_CODES);
});
