import { describe, expect, it } from 'vitest';
import { AGENT_ERRORS, findAgentError } from './agent-errors.ts';
import { AGENT_ERROR_CODES } from './operations.ts';

describe('the table of the agent’s error codes', () => {
  it('has every code of the agent once, in the order of the numbers', () => {
    const codes = AGENT_ERRORS.map((row) => row.code);
    expect(codes).toEqual(Object.values(AGENT_ERROR_CODES).toSorted((a, b) => a - b));
  });

  it.each(AGENT_ERRORS)(
    'explains $code with a cause that continues a sentence and a cure that is one',
    (row) => {
      expect(row.cause).toMatch(/^[^.]\S.*[^.]$/);
      expect(row.cure).toMatch(/^[A-Z].*\.$/);
      expect(findAgentError(row.code)).toBe(row);
    },
  );

  it('has no row for a code that does not exist', () => {
    expect(findAgentError(1006)).toBeUndefined();
  });
});
