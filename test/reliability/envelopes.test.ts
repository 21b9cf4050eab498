/** Envelopes that cannot be decrypted, in the short form of their campaign. */
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { envelopesCampaign } from './envelopes-campaign.ts';
import { shortForm } from './short-form.ts';

it('A14: an envelope that cannot be decrypted has one answer, whatever the cause', async () => {
  const figures = await envelopesCampaign.run('short', shortForm(tmpdir()));
  // Times are figures of the long form; here only the answers count.
  expect(figures.filter(({ isMet }) => isMet === false)).toEqual([]);
  expect(figures.find(({ what }) => what === 'causes')?.value).toBeGreaterThan(20);
});
