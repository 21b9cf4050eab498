/** Output without end, in the short form of its campaign. */
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { outputCampaign } from './output-campaign.ts';
import { shortForm } from './short-form.ts';

it('A15: output of any size and kind takes constant memory and gives a status that the agent takes', async () => {
  const figures = await outputCampaign.run('short', shortForm(tmpdir()));
  expect(figures.filter(({ isMet }) => isMet === false)).toEqual([]);
  expect(figures.length).toBeGreaterThan(10);
});
