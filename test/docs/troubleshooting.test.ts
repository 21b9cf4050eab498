/** The tables of `docs/troubleshooting.md` say what the contract and the SDK say. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERROR_TABLE } from '@handlerkit/sdk';
import { AGENT_ERRORS, EXIT_CODE_NOT_EXECUTABLE, EXIT_CODES } from '@handlerkit/sdk/contract';
import { expect, it } from 'vitest';
import { REPOSITORY } from '../handlerkit-command.ts';
import { readTable } from './page-table.ts';

const text = readFileSync(join(REPOSITORY, 'docs/troubleshooting.md'), 'utf8');

it('has each code of the agent, with the cause and the cure of the contract', () => {
  expect(readTable(text, 'Codes of the agent')).toEqual(
    AGENT_ERRORS.map(({ code, name, cause, cure }) => [String(code), name, cause, cure]),
  );
});

it('has each exit code, and those of the shell', () => {
  const rows = readTable(text, 'Exit codes');
  expect(rows.slice(0, -2).map(([code, name]) => [name, Number(code)])).toEqual(Object.entries(EXIT_CODES));
  expect(rows.slice(-2).map(([code]) => Number(code))).toEqual([EXIT_CODE_NOT_EXECUTABLE, 127]);
});

it('has each code of the SDK, with its numbers', () => {
  const rows = readTable(text, 'Codes of the SDK').map(([code = '', exitCode, statusCode]) => [
    code.replaceAll('`', ''),
    { exitCode: Number(exitCode), statusCode: Number(statusCode) },
  ]);
  expect(Object.fromEntries(rows)).toEqual(ERROR_TABLE);
});

it('leaves no cause and no cure out', () => {
  for (const heading of ['Codes of the agent', 'Exit codes', 'Codes of the SDK'])
    for (const row of readTable(text, heading))
      expect(row.slice(-2).map((one) => one.length > 5)).toEqual([true, true]);
});
