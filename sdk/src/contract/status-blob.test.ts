import { expect, it } from 'vitest';
import { ContractError } from './json.ts';
import { parseUploadedStatus } from './status-blob.ts';

it('a value that is nested too deeply to be shown is refused with its place', () => {
  const status = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const handler = `{"handlerName": "A.B", "handlerVersion": "1.0", "status": ${status}}`;
  const text = `{"aggregateStatus": {"guestAgentStatus": {"version": "2"}, "handlerAggregateStatus": [${handler}]}}`;
  const read = (): unknown => parseUploadedStatus(text, 'f');
  expect(read).toThrow(ContractError);
  expect(read).toThrow('f: aggregateStatus.handlerAggregateStatus[0].status is nested too deeply');
});
