import { expect, it } from 'vitest';
import { formatAgentStatus } from './agent-status.ts';
import { judgeStatus } from './status-verdict.ts';

const STATUS = {
  name: 'Contoso.Greeter.web',
  activity: 'Enable',
  code: -1,
  message: 'It failed: https://x.example/a?sig=secret',
  time: '2026-01-02T03:04:05Z',
} as const;

it('formatAgentStatus writes the agent’s own bytes, without shared access signatures', () => {
  expect(formatAgentStatus(STATUS)).toBe(
    '[{"version": 1.0, "timestampUTC": "2026-01-02T03:04:05Z", "status": {"name": "Contoso.Greeter.web", "operation": "Enable", "status": "error", "code": -1, "formattedMessage": {"lang": "en-US", "message": "It failed: https://x.example/a?<redacted>"}}}]',
  );
});

it('formatAgentStatus writes null for an agent that was doing nothing yet, and the agent reads its file', () => {
  const text = formatAgentStatus({ ...STATUS, activity: null });
  const verdict = judgeStatus({ text, file: 'f', extension: 'e', handlerFolder: 'h', sequence: 0 });
  expect(verdict).toMatchObject({
    reported: { operation: null, status: 'error', code: -1 },
    explanation: undefined,
  });
});
