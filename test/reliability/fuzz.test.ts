/** Fuzzing in its short form, and the inputs that once broke a parser. */
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { fuzzCampaign, tryInput } from './fuzz-campaign.ts';
import { FUZZ_TARGETS } from './fuzz-targets.ts';
import { shortForm } from './short-form.ts';

/** Parser and input, each of which broke a promise before, or is the hardest of its kind. */
const KEPT: readonly (readonly [target: string, input: string])[] = [
  ...FUZZ_TARGETS.flatMap(({ name }) =>
    [
      '['.repeat(100_000),
      `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
      `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`,
      `"${'\\'.repeat(100_001)}`,
      ' '.repeat(200_000),
      `${'" '.repeat(100_000)}x`,
      '\u0000',
      '\ud800',
    ].map((input) => [name, input] as const),
  ),
  [
    'policy of the agent',
    '{"policyVersion":"0.1","extensionPolicies":{"allowListedExtensionsOnly":true,"signatureRequired":NaN}}',
  ],
  ['configuration of the agent', `Extensions.Enabled=${'" '.repeat(100_000)}x`],
  [
    'uploaded status',
    `{"aggregateStatus":{"guestAgentStatus":{"version":"2"},"handlerAggregateStatus":[{"handlerName":"A.B","handlerVersion":"1","status":${'{"a":'.repeat(60_000)}1${'}'.repeat(60_000)}}]}}`,
  ],
];

it('B JSON: no parser of the contract crashes, hangs or changes a value, whatever is read', async () => {
  const said: string[] = [];
  const figures = await fuzzCampaign.run('short', shortForm(tmpdir(), said));
  expect(
    figures.filter(({ isMet }) => isMet === false),
    said.join('\n'),
  ).toEqual([]);
});

describe('B JSON: an input that was hard once', () => {
  it.each(FUZZ_TARGETS)('$name', (target) => {
    const inputs = KEPT.filter(([name]) => name === target.name);
    expect(inputs.map(([, input]) => tryInput(target, input)).filter((one) => one !== undefined)).toEqual([]);
  });
});
